"""training.objectives.wu2d: equation 4 by numpy, and which twin is the target."""

import math

import numpy as np
import pytest
import torch

from tests.training.objectives.conftest import Oracle
from training.data import Sample
from training.features import features_of
from training.objectives.truth import twins
from training.objectives.wu2d import RealAndReciprocal, Twin, bent_upwards, targets, unwrapped
from training.simulate.frames import FrameSettings, measure_frame
from training.simulate.particles import ParticleSettings, particles
from training.transform import far_modulus

FRAME, BOX = (64, 64), (32, 32)


def batch(seed: int = 0, size: int = 6) -> Sample:
    generator = torch.Generator().manual_seed(seed)
    objects = particles(size, FRAME, BOX, ParticleSettings(), generator)
    return Sample(objects, measure_frame(objects, FRAME, FrameSettings(), generator), torch.ones(size, 2))


def loss_of(objects: torch.Tensor, sample: Sample, twin: Twin = "broken") -> tuple[float, dict[str, torch.Tensor]]:
    """Of a network that predicts the targets of these objects."""
    amplitude, turns = targets(objects)
    oracle = Oracle(amplitude, 2 * math.pi * (turns - 0.5))
    loss, figures = RealAndReciprocal(twin=twin)(oracle, features_of(sample.measurement, ("modulus",)), sample)
    return float(loss.detach()), figures


def test_the_loss_is_equation_4() -> None:
    """(L1(A) + L1(phase) + 4 L3) / 6 of a wrong prediction, pattern by pattern, by numpy."""
    sample = batch()
    wrong = sample.objects.roll(1, 0)
    loss, figures = loss_of(wrong, sample, "drawn")
    amplitude, turns = (x.numpy().astype(float) for x in targets(sample.objects))
    other, phase = (x.numpy().astype(float) for x in targets(wrong))

    def relative(predicted: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        return np.linalg.norm((predicted - wanted).reshape(6, -1), axis=1) / np.linalg.norm(
            wanted.reshape(6, -1), axis=1
        )

    image = torch.polar(*(torch.from_numpy(x) for x in (other, 2 * math.pi * (phase - 0.5))))
    moduli = far_modulus(image, FRAME).numpy(), np.sqrt(sample.measurement.clean.numpy())
    pearson = np.array([np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(*moduli, strict=True)])
    expected = (relative(other, amplitude) + relative(phase, turns) + 4 * (1 - pearson)) / 6
    assert loss == pytest.approx(expected.mean(), rel=1e-4)
    assert float(figures["modulus"].detach()) == pytest.approx((1 - pearson).mean(), rel=1e-4)


def test_the_true_image_costs_next_to_nothing() -> None:
    """What is left is the faint rim, where the target has no phase."""
    sample = batch()
    loss, figures = loss_of(bent_upwards(sample.objects), sample)
    assert loss < 5e-3
    assert float(figures["chi2"].detach()) < 5e-3


@pytest.mark.parametrize(("twin", "indifferent"), [("broken", False), ("either", True), ("drawn", False)])
def test_a_twin_is_right_only_where_either_is(twin: Twin, indifferent: bool) -> None:
    """The other enantiomorph has the same pattern; as a target it counts only for `either`."""
    sample = batch()
    right = sample.objects if twin == "drawn" else bent_upwards(sample.objects)
    loss, _ = loss_of(twins(right), sample, twin)
    assert (loss < 5e-3) == indifferent


def test_broken_targets_do_not_depend_on_which_twin_was_drawn() -> None:
    """An object and its twin have one target; without that, two."""
    objects = batch(size=16).objects
    for one, other in zip(targets(bent_upwards(objects)), targets(bent_upwards(twins(objects))), strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=0)
    assert float((targets(objects)[1] - targets(twins(objects))[1]).abs().max()) > 0.1


def test_a_phase_that_crosses_pi_does_not_jump() -> None:
    """A ramp over 1.5 radians around pi comes out as that ramp about zero, whatever the global phase."""
    ramp = torch.linspace(-0.75, 0.75, 32).expand(32, 32)
    for offset in (0.0, math.pi, -2.0):
        found = unwrapped(
            torch.polar(torch.ones(1, 32, 32), ramp[None] + offset), torch.ones(1, 32, 32, dtype=torch.bool)
        )
        torch.testing.assert_close(found[0], ramp.contiguous(), atol=1e-5, rtol=0)


def test_targets_lie_between_zero_and_one() -> None:
    """The paper's: the phase shifted and scaled to (0, 1), zero where there is no particle."""
    amplitude, turns = targets(batch().objects)
    assert float(amplitude.max()) == pytest.approx(1.0)
    inside = amplitude > 0.1
    assert not turns[~inside].any()
    assert 0 < float(turns[inside].min()) < float(turns[inside].max()) < 1
