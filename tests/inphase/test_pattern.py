"""The pattern and its identity."""

import hashlib

import numpy as np
import pytest

from inphase.pattern import Domain, MaskState, Pattern, digest


def test_a_pattern_knows_its_shape_modulus_and_valid_voxels() -> None:
    """modulus is the square root; only VALID voxels are valid."""
    intensity = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    mask = np.zeros((2, 3, 4), np.uint8)
    mask[0, 0, 0], mask[1, 2, 3] = MaskState.MASKED, MaskState.PADDING
    made = Pattern(intensity, mask)
    assert made.shape == (2, 3, 4)
    assert made.domain is Domain.COUNTS
    np.testing.assert_array_equal(made.modulus**2, np.sqrt(intensity) ** 2)
    assert made.modulus.dtype == np.float32
    np.testing.assert_array_equal(made.valid, mask == 0)


def test_mask_states_are_those_of_the_stored_files() -> None:
    """The numbers are a file format: 0 valid, 1 masked, 2 padding."""
    assert [int(state) for state in MaskState] == [0, 1, 2]


def test_digest_is_sha256_of_type_shape_and_bytes() -> None:
    """Checked against hashlib by hand."""
    data = np.arange(6, dtype="<i4").reshape(2, 3)
    assert digest(data) == hashlib.sha256(b"<i4(2, 3)" + data.tobytes()).hexdigest()


@pytest.mark.parametrize("other", [np.arange(6, dtype="<i8").reshape(2, 3), np.arange(6, dtype="<i4").reshape(3, 2)])
def test_digest_tells_type_and_shape_apart(other: np.ndarray) -> None:
    """The same numbers in another type or shape are another input; memory layout does not matter."""
    data = np.arange(6, dtype="<i4").reshape(2, 3)
    assert digest(data) != digest(other)
    assert digest(data) == digest(np.asfortranarray(data))


def test_a_pattern_knows_its_counts_and_how_many_voxels_are_in_a_state() -> None:
    """Beside numpy's own sum and count."""
    intensity = np.random.default_rng(0).poisson(3.0, (9, 40, 30)).astype(np.float32)
    mask = np.random.default_rng(1).integers(0, 3, intensity.shape).astype(np.uint8)
    made = Pattern(intensity, mask)
    assert made.total == intensity.sum()
    assert [made.number(state) for state in MaskState] == np.bincount(mask.ravel()).tolist()
