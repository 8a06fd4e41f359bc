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
    """numpy: mean |a - a'|, mean |phi - phi'| / 2 pi, mean difference of the reduced moduli;
    the last step adds them.
    """
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


def test_the_nearer_twin_is_the_target(case: Case) -> None:
    """With `either_twin` a prediction of the twin, shifted, costs as little as the truth; without it costs."""
    twin = case.objects.flip(1, 2, 3).roll((1, 1, 1), (1, 2, 3)).conj().roll(2, 1)
    oracle = Oracle(twin.abs(), twin.angle())
    features = features_of(case.sample.measurement)
    for either, costs in ((True, False), (False, True)):
        objective = ShapePhaseFourier(either_twin=either)
        objective.step = Step.ALL
        _, figures = objective(oracle, features, case.sample)
        assert (figures["shape"].item() > 0.01) is costs
        assert (figures["phase"].item() > 0.001) is costs


def test_phases_that_nobody_has_trained_do_not_choose_the_twin(case: Case) -> None:
    """While the shape is learned, the twin's amplitude costs nothing whatever phase stands beside it."""
    twin = case.objects.flip(1, 2, 3).roll((1, 1, 1), (1, 2, 3)).conj().roll(2, 1)
    noise = torch.rand(twin.shape, generator=torch.Generator().manual_seed(1)) * 2 * torch.pi
    objective = ShapePhaseFourier(either_twin=True)
    features = features_of(case.sample.measurement)
    costs = {}
    for step in (Step.SHAPE, Step.ALL):
        objective.step = step
        costs[step] = objective(Oracle(twin.abs(), noise), features, case.sample)[1]["shape"].item()
    assert costs[Step.SHAPE] < 1e-6
    assert costs[Step.ALL] > 0.01


def test_balanced_errors_weigh_crystal_and_surroundings_alike(case: Case) -> None:
    """Nothing at all costs half, and so does everything;
    unbalanced, nothing costs the little that the crystal fills.
    """
    features = features_of(case.sample.measurement)
    filled = (case.objects.abs() > 0.5).float().mean().item()
    for value in (0.0, 1.0):
        oracle = Oracle(torch.full_like(case.objects.real, value), torch.zeros_like(case.objects.real))
        balanced = ShapePhaseFourier(balanced=True)(oracle, features, case.sample)[1]["shape"].item()
        plain = ShapePhaseFourier()(oracle, features, case.sample)[1]["shape"].item()
        assert balanced == pytest.approx(0.5, abs=1e-5)
        assert plain == pytest.approx(filled if value == 0 else 1 - filled, rel=1e-4)
