"""inphase.features: what the reduced modulus is."""

import numpy as np
import pytest
import scipy.fft

from inphase import fourier
from inphase.features import FEATURES, feature_shape, halving, reduced_modulus, volume_features


def test_halving_is_a_cut_of_the_cosine_transform_of_every_block() -> None:
    """scipy's dctn and idctn on a block of 16^3 keep the lower half of the coefficients; constants stay."""
    block = np.random.default_rng(0).random((16, 16, 16))
    cut = scipy.fft.dctn(block, norm="ortho")[:8, :8, :8]
    expected = scipy.fft.idctn(cut, norm="ortho") * 0.5**1.5
    m = halving(16)
    np.testing.assert_allclose(np.einsum("ai,bj,ck,ijk->abc", m, m, m, block), expected, atol=1e-6)
    np.testing.assert_allclose(halving(64) @ np.ones(64), np.ones(32), atol=1e-6)


def test_reduced_modulus_is_the_far_field_of_half_the_frame() -> None:
    """A ball of 10 voxels in a frame of 64 gives what it gives in a frame of 32, half a voxel of the 64 off, to 3 %.

    The cosine transform interpolates within a block and not across its faces: that is what the tolerance is for. (A
    ball of more than 16 voxels has fringes that 32 voxels cannot hold: they are averaged, not sampled.)
    """
    axis = np.arange(32) - 16.0
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    ball = (z**2 + y**2 + x**2 < 25).astype(np.complex64)
    frame = np.zeros((64, 64, 64), np.complex64)
    frame[16:48, 16:48, 16:48] = ball
    found = reduced_modulus((np.abs(fourier.forward(frame)) ** 2).astype(np.float32))
    ramp = np.exp(-2j * np.pi * 0.25 * axis / 32)  # voxel j of the halved grid lies at 2 j + 1/2 of the other
    expected = np.abs(fourier.forward(ball * ramp[:, None, None] * ramp[:, None] * ramp))
    np.testing.assert_allclose(found, expected / expected.max(), atol=0.03)


def test_a_grid_that_blocks_do_not_fill_is_refused() -> None:
    """Blocks of 16."""
    with pytest.raises(ValueError, match="blocks of 16"):
        halving(40)


def test_only_what_is_wanted_is_made() -> None:
    """`names` chooses."""
    intensity = np.random.default_rng(1).random((32, 32, 32), np.float32)
    found = volume_features(intensity, np.zeros((32, 32, 32), np.uint8), names=["reduced", "valid"])
    assert {name: value.shape for name, value in found.items()} == {
        "reduced": (1, 16, 16, 16),
        "valid": (1, 32, 32, 32),
    }


@pytest.mark.parametrize("grid", [(32, 16, 64), (32, 48)])
def test_shapes_are_told_before_features_are_made(grid: tuple[int, ...]) -> None:
    """Those of one pattern, for every feature."""
    intensity = np.random.default_rng(1).random(grid, np.float32)
    found = volume_features(intensity, np.zeros(grid, np.uint8))
    assert {name: (1, *feature_shape(name, grid)) for name in FEATURES} == {n: f.shape for n, f in found.items()}
