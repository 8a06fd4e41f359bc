"""training.objectives.autophasenn: equation 1 of the paper."""

import numpy as np
import pytest
import torch

from tests.training.objectives.conftest import FRAME, Case, Oracle
from training.features import features_of
from training.objectives import build
from training.objectives.autophasenn import within_support
from training.transform import embed, forward


def test_the_truth_costs_nothing(case: Case) -> None:
    """An object of even density, of any scale, has no error (single precision)."""
    oracle = Oracle(0.3 * case.objects.abs(), case.objects.angle())
    loss, figures = build("autophasenn")(oracle, features_of(case.sample.measurement), case.sample)
    assert loss < 1e-6
    assert figures["chi2"] < 1e-9


def test_it_is_the_mean_absolute_error_of_moduli_over_their_maximum(case: Case) -> None:
    """numpy on the known voxels, for a wrong object of which a part lies below a tenth of the maximum."""
    generator = torch.Generator().manual_seed(1)
    wrong = Oracle(torch.rand(2, 16, 16, 16, generator=generator) ** 2, torch.rand(2, 16, 16, 16, generator=generator))
    loss, _ = build("autophasenn")(wrong, features_of(case.sample.measurement), case.sample)
    m = case.sample.measurement
    errors = []
    for amplitude, phase, intensity, mask, hidden in zip(
        wrong.amplitude, wrong.phase, m.intensity, m.mask, m.hidden, strict=True
    ):
        known = ((mask == 0) & ~hidden).numpy()
        kept = torch.where(amplitude < 0.1 * amplitude.max(), 0.0, amplitude)
        estimated = forward(embed(torch.polar(kept, phase), FRAME)).abs().detach().numpy()[known]
        measured = intensity.sqrt().numpy()[known]
        errors.append(np.abs(estimated / estimated.max() - measured / measured.max()))
    assert loss.item() == pytest.approx(np.concatenate(errors).mean(), rel=1e-5)


def test_no_label_is_seen(case: Case) -> None:
    """Without the objects in the batch the loss is the same."""
    blind = type(case.sample)(torch.zeros(0), case.sample.measurement, case.sample.oversampling)
    features = features_of(case.sample.measurement)
    losses = [
        build(name)(case.oracle, features, s)[0] for name in ("autophasenn", "modulus") for s in (case.sample, blind)
    ]
    assert torch.equal(losses[0], losses[1])
    assert torch.equal(losses[2], losses[3])


def test_the_support_is_the_contour_at_a_tenth(case: Case) -> None:
    """What lies below 10 % of the maximum is empty, the rest as it was; the gradient reaches what is kept."""
    amplitude = torch.tensor([0.5, 0.049, 0.051]).view(1, 3, 1, 1).requires_grad_()
    kept = within_support(amplitude, 0.1)
    torch.testing.assert_close(kept.detach().flatten(), torch.tensor([0.5, 0.0, 0.051]))
    kept.sum().backward()
    assert amplitude.grad is not None
    assert amplitude.grad.flatten().tolist() == [1.0, 0.0, 1.0]
