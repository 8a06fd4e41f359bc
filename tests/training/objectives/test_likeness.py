"""training.objectives.likeness: the crystal or its twin, from a network that predicts once."""

import pytest
import torch

from tests.training.objectives.conftest import Case, Oracle
from training.features import features_of
from training.losses import modulus_errors
from training.objectives import build


def test_the_truth_and_its_twin_cost_nothing(case: Case) -> None:
    """Of any scale and phase offset, also beside its place; there is no other loss than that of the truth."""
    twin = case.objects.flip(1, 2, 3).roll((1, 1, 1), (1, 2, 3)).conj()
    for objects in (case.objects, 0.3 * twin * torch.exp(torch.tensor(2j)), twin.roll((2, -1), (1, 3))):
        oracle = Oracle(objects.abs(), objects.angle())
        loss, figures = build("likeness")(oracle, features_of(case.sample.measurement), case.sample)
        assert loss < 1e-4
        assert figures["likeness"].item() == pytest.approx(1, abs=1e-4)
        assert figures["chi2"] < 1e-6


def test_it_is_what_is_unlike_and_the_share_of_r(case: Case) -> None:
    """Noise around the crystal, alike to nothing at any place, has its share of the intensity;
    R is that of `losses`.
    """
    generator = torch.Generator().manual_seed(0)
    noise = torch.polar(torch.full(case.objects.shape, 0.1), 7 * torch.rand(case.objects.shape, generator=generator))
    wrong = torch.where(case.objects.abs() > 0, case.objects, noise)
    within, whole = (x.abs().square().sum((1, 2, 3)) for x in (case.objects, wrong))
    alike = (within / whole).mean().item()
    assert 0.5 < alike < 0.95
    oracle = Oracle(wrong.abs(), wrong.angle())
    loss, figures = build("likeness", modulus_weight=0.25)(oracle, features_of(case.sample.measurement), case.sample)
    assert figures["likeness"].item() == pytest.approx(
        alike, abs=2e-3
    )  # the place, to an eighth of a voxel, is found in noise
    r_factor = modulus_errors(wrong, case.sample.measurement)[0].mean()
    assert loss.item() == pytest.approx(1 - alike + 0.25 * r_factor.item(), abs=2e-3)


def test_the_gradient_leads_towards_the_truth(case: Case) -> None:
    """From noise around the twin, a few steps down the slope make it more alike."""
    generator = torch.Generator().manual_seed(0)
    twin = case.objects.flip(1, 2, 3).roll((1, 1, 1), (1, 2, 3)).conj()
    noise = torch.rand(twin.shape, generator=generator)
    oracle = Oracle(0.5 * twin.abs() + 0.3 * noise, twin.angle())
    features = features_of(case.sample.measurement)
    optimizer = torch.optim.Adam(oracle.parameters(), 0.02)
    found = []
    for _ in range(10):
        loss, figures = build("likeness")(oracle, features, case.sample)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(figures["likeness"].item())
    assert found[-1] > found[0] + 0.1
