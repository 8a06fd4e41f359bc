"""What the projections are told of each voxel."""

import numpy as np
import pytest

from inphase.errors import DataError
from inphase.pattern import MaskState
from inphase.retrieval.problem import Problem


def test_constraint_encodes_the_three_states():
    """Measured: the modulus (zero too); masked: kept (-inf); padding: cut at the bound."""
    modulus = np.array([[3.0, 0.0], [5.0, 7.0]], np.float32)
    mask = np.array([[0, 0], [MaskState.MASKED, MaskState.PADDING]], np.uint8)
    constraint = Problem(modulus, mask, padding_bound=0.5).constraint()
    np.testing.assert_array_equal(constraint, np.array([[3, 0], [-np.inf, -0.5]], np.float32))


def test_free_voxels_are_hidden():
    """A free voxel is not visible and its value is kept by the projection."""
    modulus = np.full((2, 2), 2.0, np.float32)
    free = np.array([[True, False], [False, False]])
    problem = Problem(modulus, np.zeros((2, 2), np.uint8), free=free)
    assert problem.visible.sum() == 3
    assert problem.constraint()[0, 0] == -np.inf


def test_a_padding_bound_of_zero_still_cuts():
    """Zero has no sign: the bound must not turn into "measured zero" or "keep"."""
    mask = np.array([0, MaskState.PADDING], np.uint8)
    constraint = Problem(np.ones(2, np.float32), mask).constraint()
    assert -1e-6 < constraint[1] < 0


@pytest.mark.parametrize(
    ("modulus", "mask"),
    [
        (np.ones((4, 5)), np.zeros((4, 5))),  # odd side
        (np.ones((4, 4)), np.zeros((4, 6))),  # shapes differ
        (np.full((4, 4), np.nan), np.zeros((4, 4))),
        (-np.ones((4, 4)), np.zeros((4, 4))),
        (np.zeros((4, 4)), np.zeros((4, 4))),  # no counts
        (np.ones((4, 4)), np.ones((4, 4))),  # all masked
        (np.ones((2, 2, 2, 2)), np.zeros((2, 2, 2, 2))),
    ],
)
def test_an_unusable_problem_is_refused(modulus, mask):
    """One clear error instead of NaN after 600 iterations."""
    with pytest.raises(DataError):
        Problem(modulus.astype(np.float32), mask.astype(np.uint8))


def test_nan_under_the_mask_is_no_fault():
    """Detectors mark gaps with anything; the mask decides."""
    modulus = np.array([1, np.nan], np.float32)
    assert np.isneginf(Problem(modulus, np.array([0, 1], np.uint8)).constraint()[1])
