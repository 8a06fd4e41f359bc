"""training.evaluate.images: eq. 5 by hand, what a pattern does not tell, and the search by brute force."""

import math

import pytest
import torch

from training.evaluate.images import Neighbours, doublings, scores
from training.objectives.truth import twins
from training.simulate.particles import ParticleSettings, particles
from training.transform import far_modulus

FRAME, BOX = (64, 64), (32, 32)


@pytest.fixture(scope="module")
def objects() -> torch.Tensor:
    return particles(6, FRAME, BOX, ParticleSettings(), torch.Generator().manual_seed(3))


def test_what_the_pattern_does_not_tell_costs_nothing(objects: torch.Tensor) -> None:
    """The twin, two pixels beside, with another global phase: the same image."""
    other = twins(objects).roll((2, -1), (1, 2)) * torch.polar(torch.ones(()), torch.tensor(1.3))
    found = scores(other, objects, FRAME)
    for error in (found.modulus, found.scaled, found.amplitude, found.phase):
        assert float(error.abs().max()) < 1e-5


def test_errors_are_those_of_equation_5(objects: torch.Tensor) -> None:
    """An amplitude a tenth too large everywhere: chi2 of amplitude and modulus is 0.01, scaled it is nothing."""
    found = scores(1.1 * objects, objects, FRAME)
    torch.testing.assert_close(found.amplitude, torch.full((6,), 0.01), rtol=1e-3, atol=0)
    torch.testing.assert_close(found.modulus, torch.full((6,), 0.01), rtol=1e-3, atol=0)
    assert float(found.scaled.abs().max()) < 1e-5
    assert float(found.phase.abs().max()) < 1e-5


def test_a_wrong_phase_counts_in_turns(objects: torch.Tensor) -> None:
    """Half of a disc a tenth of a turn off, the offset taken out: 0.05 turns of phases near a half, 0.01."""
    axis = torch.arange(32) - 16
    disc = ((axis[:, None] ** 2 + axis**2) < 100).float()[None]
    half = (axis > 0).expand(32, 32)[None]
    wrong = disc * torch.polar(torch.ones(()), 0.2 * math.pi * half)
    found = scores(wrong, disc.to(torch.complex64), FRAME)
    assert float(found.phase) == pytest.approx(0.05**2 / 0.5**2, rel=0.02)
    assert float(found.amplitude) < 1e-10


def test_the_nearest_is_that_of_a_search_one_by_one(objects: torch.Tensor) -> None:
    """Added in parts, with one of the wanted patterns among them: that one is found, the others as by a loop."""
    known = particles(40, FRAME, BOX, ParticleSettings(), torch.Generator().manual_seed(4))
    known[33] = twins(objects[2:3])[0]
    wanted, moduli = far_modulus(objects, FRAME), far_modulus(known, FRAME)
    search = Neighbours(wanted)
    for part in moduli.split(15):
        search.add(part)
    assert search.size == 40
    assert int(search.number[2]) == 33
    assert float(search.error[2]) < 1e-5
    for one, number in zip(wanted, search.number, strict=True):
        errors = [1 - float((one * m).sum() / one.norm() / m.norm()) ** 2 for m in moduli]
        assert errors[int(number)] == pytest.approx(min(errors), abs=1e-6)


def test_sizes_double_up_to_the_last() -> None:
    assert list(doublings(100, 500)) == [100, 200, 400, 500]
    assert list(doublings(100, 100)) == [100]
