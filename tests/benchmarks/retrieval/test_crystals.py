"""The crystals of the comparison of phase retrievals."""

import numpy as np
import pytest

from benchmarks.retrieval.crystals import EVALUATION_SEED, KINDS, TUNING_SEED, Kind, crystal
from inphase.fourier import forward


@pytest.mark.parametrize("kind", Kind)
def test_a_crystal_is_hard_centred_and_its_own_measurement(kind):
    """The phase's range exceeds pi, the truth has the clean pattern, whose centre of mass lies within a voxel of DC."""
    made = crystal(kind, 5)
    assert made.phase_range > np.pi
    intensity = np.abs(forward(made.truth)) ** 2
    np.testing.assert_allclose(intensity / intensity.sum(), made.clean / made.clean.sum(), atol=1e-7)
    centre = [(made.clean.sum(axis=tuple({0, 1, 2} - {axis})) @ np.arange(64)) / made.clean.sum() for axis in range(3)]
    np.testing.assert_allclose(centre, 32, atol=1)
    assert made.counts.sum() == pytest.approx(made.clean.sum(), rel=0.01)
    np.testing.assert_array_equal(crystal(kind, 5).counts, made.counts)


def test_the_evaluated_crystals_are_not_those_that_were_tuned_on():
    """The two sets of seeds are disjoint."""
    assert abs(EVALUATION_SEED - TUNING_SEED) >= len(KINDS)
