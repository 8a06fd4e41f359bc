"""training.objectives.correlation: what a cascade is asked for at each of its steps."""

import pytest
import torch
from torch import Tensor, nn

from tests.training.objectives.conftest import Case
from training.losses import modulus_errors
from training.networks.network import Network
from training.objectives.correlation import Correlation


class Steps(Network):
    """A cascade that predicts what it was told, (B, 2, m, m, m) for each step."""

    inputs = ("modulus",)

    def __init__(self, *objects: Tensor) -> None:
        super().__init__()
        self.found = nn.ParameterList(torch.stack([o.real, o.imag], 1) for o in objects)

    def objects(self, modulus: Tensor, steps: int | None = None) -> list[Tensor]:
        return list(self.found)[:steps]


def test_the_truth_costs_nothing(case: Case) -> None:
    """Nor does its twin, at any step; a wrong object does."""
    twin = case.objects.flip(1, 2, 3).roll((1, 1, 1), (1, 2, 3)).conj()
    features = {"modulus": case.sample.measurement.intensity.sqrt()}
    objective = Correlation()
    objective.prepare(nn.Identity(), 1.0, 0)
    assert objective(Steps(case.objects, twin), features, case.sample)[0] < 1e-4
    assert objective(Steps(case.objects, twin.roll(5, 1) * twin), features, case.sample)[0] > 0.1


def test_the_corrections_join_when_their_time_has_come(case: Case) -> None:
    """Before `alone` of the budget only the first step counts: a wrong second one costs nothing."""
    features = {"modulus": case.sample.measurement.intensity.sqrt()}
    cascade = Steps(case.objects, torch.ones_like(case.objects))
    objective = Correlation(alone=0.2)
    for progress, counts in ((0.19, False), (0.2, True)):
        objective.prepare(cascade, progress, 0)
        assert (objective(cascade, features, case.sample)[0].item() > 0.1) is counts


def test_in_training_r_is_of_one_step_in_turn_and_else_of_all(case: Case) -> None:
    """The mean over as many training steps as the cascade has is what validation says."""
    features = {"modulus": case.sample.measurement.intensity.sqrt()}
    generator = torch.Generator().manual_seed(1)
    objects = [case.objects * torch.rand(case.objects.shape, generator=generator) for _ in range(3)]
    cascade, objective = Steps(*objects), Correlation()
    losses, errors = [], []
    for step in range(3):
        objective.prepare(cascade, 1.0, step)
        loss, figures = objective(cascade, features, case.sample)
        losses.append(loss.item())
        errors.append(figures["R"].item())
    expected = [modulus_errors(o, case.sample.measurement)[0].mean().item() for o in objects]
    assert errors == pytest.approx(expected, rel=1e-4)
    with torch.no_grad():
        whole, figures = objective(cascade, features, case.sample)
    assert sum(losses) / 3 == pytest.approx(whole.item(), rel=1e-5)
    assert figures["R"].item() == pytest.approx(expected[-1], rel=1e-4)
