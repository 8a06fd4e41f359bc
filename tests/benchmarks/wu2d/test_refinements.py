"""benchmarks.wu2d.refinements: its measures by hand."""

import numpy as np
import pytest

from benchmarks.wu2d.refinements import randomised, residue
from inphase import fourier
from tests.flat import crystal


def test_a_residue_is_eq_5_after_the_best_scale() -> None:
    """Of the object itself, whatever its scale, nothing; of another, the least of many scales."""
    obj, other = crystal((64, 64)), np.roll(crystal((64, 64)), 3, 0) * 0.5
    other[:30] = 0
    modulus = np.abs(fourier.forward(obj)).astype(np.float32)
    assert residue(3 * obj, modulus) == pytest.approx(0, abs=1e-6)
    far = np.abs(fourier.forward(other))
    scales = np.linspace(0.1, 10, 2000)
    errors = [np.sum((s * far - modulus) ** 2) / np.sum(modulus**2) for s in scales]
    assert residue(other, modulus) == pytest.approx(min(errors), abs=1e-4)


def test_random_starts_differ_in_their_phases_alone() -> None:
    """Unit amplitude within the support, no phase twice."""
    support = np.zeros((8, 8), bool)
    support[2:6, 2:6] = True
    starts = randomised(support, 3)
    np.testing.assert_allclose(np.abs(starts.objects), np.broadcast_to(support, (3, 8, 8)), atol=1e-6)
    assert not np.allclose(starts.objects[0], starts.objects[1])
