"""training.objectives.cdinn: three errors, four steps."""

import numpy as np
import pytest
import torch

from inphase.features import reduced_modulus
from tests.training.objectives.conftest import Case, Oracle
from training import networks
from training.features import features_of
from training.objectives.cdinn import ShapePhaseFourier, Step
from training.transform import embed, forward


def test_the_truth_costs_nothing_in_any_step(case: Case) -> None:
    """Amplitude, phase and, where nothing is masked, the reduced modulus of the objects themselves have no error."""
    whole = type(case.sample.measurement)(
        case.sample.measurement.clean,
        case.sample.measurement.clean,
        torch.zeros_like(case.sample.measurement.mask),
        torch.zeros_like(case.sample.measurement.hidden),
    )
    sample = type(case.sample)(case.objects, whole, case.sample.oversampling)
    objective = ShapePhaseFourier()
    for step in Step:
        objective.step = step
        loss, _ = objective(case.oracle, features_of(whole), sample)
        assert loss < 1e-5


def test_errors_are_those_of_the_formulas(case: Case) -> None:
    """numpy: mean |a - a'|, mean |phi - phi'| / 2 pi, mean difference of the reduced moduli; the last step adds them."""
    generator = torch.Generator().manual_seed(1)
    wrong = Oracle(torch.rand(2, 16, 16, 16, generator=generator), torch.rand(2, 16, 16, 16, generator=generator))
    features = features_of(case.sample.measurement)
    objective = ShapePhaseFourier()
    objective.step = Step.ALL
    loss, figures = objective(wrong, features, case.sample)
    with torch.no_grad():
        field = forward(embed(torch.polar(wrong.amplitude, wrong.phase), (32, 32, 32))).abs().square().numpy()
    reduced = np.stack([reduced_modulus(f) for f in field])
    expected = {
        "shape": (wrong.amplitude - case.objects.abs()).abs().mean().item(),
        "phase": (wrong.phase - case.objects.angle()).abs().mean().item() / (2 * np.pi),
        "fourier": np.abs(reduced - features["reduced"].numpy()).mean(),
    }
    for name, value in expected.items():
        assert figures[name].item() == pytest.approx(value, rel=1e-4), name
    assert loss.item() == pytest.approx(sum(expected.values()), rel=1e-4)


def test_each_step_trains_its_own_parts(case: Case) -> None:
    """At the shares' ends the steps change; an optimiser moves the parts that the step names and no others."""
    network = networks.build("cdinn", widths=(8, 16, 32), dropout=0.0)
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    objective = ShapePhaseFourier(shares=(0.4, 0.2, 0.1, 0.3))
    features = features_of(case.sample.measurement)
    moved = {}
    for progress in (0.0, 0.39, 0.41, 0.61, 0.71, 1.0):
        objective.prepare(network, progress, 0)
        before = {name: value.clone() for name, value in network.named_parameters()}
        loss, _ = objective(network, features, case.sample)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        moved[progress] = {n.split(".")[0] for n, v in network.named_parameters() if not torch.equal(v, before[n])}
    shape, phase, both, everything = (
        {"encoder", "amplitude"},
        {"phase"},
        {"encoder", "phase"},
        {"encoder", "amplitude", "phase"},
    )
    assert list(moved.values()) == [shape, shape, phase, both, everything, everything]
