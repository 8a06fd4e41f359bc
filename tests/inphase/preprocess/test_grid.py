"""Cropping, padding, and how bright the padding may be."""

import numpy as np
import pytest

from inphase.geometry import Geometry
from inphase.pattern import MaskState, Pattern
from inphase.preprocess import grid
from inphase.preprocess.centring import Window
from tests.inphase.preprocess.simulated import pattern


def window(start: tuple[int, int, int], shape: tuple[int, int, int], bins: tuple[int, int, int] = (1, 1, 1)) -> Window:
    return Window(start, bins, shape, (0, 0, 0), (1.0, 1.0, 1.0))


@pytest.mark.parametrize("start", [(-3, 2, 5), (4, -9, 0), (2, 2, 2)])
def test_voxels_keep_their_place_and_nothing_wraps(start: tuple[int, int, int]) -> None:
    """Each voxel of the window is the measured one there, or PADDING."""
    raw = np.random.default_rng(0).poisson(50, (11, 14, 9)).astype(np.float32) + 1
    done, _ = grid.cut(pattern(raw), window(start, (8, 16, 12)))
    for index in np.ndindex(done.shape):
        source = tuple(i + s for i, s in zip(index, start, strict=True))
        if all(0 <= i < n for i, n in zip(source, raw.shape, strict=True)):
            assert done.intensity[index] == raw[source]
            assert done.mask[index] == MaskState.VALID
        else:
            assert done.intensity[index] == 0
            assert done.mask[index] == MaskState.PADDING


def test_bins_widen_the_window_and_the_geometry_moves() -> None:
    """The window has shape * bins voxels, and q_centre is that of its DC voxel."""
    steps = np.diag([1.0, 10.0, 100.0])
    raw = Pattern(
        np.ones((40, 40, 40), np.float32), np.zeros((40, 40, 40), np.uint8), geometry=Geometry(steps, np.zeros(3))
    )
    done, _ = grid.cut(raw, window((4, 5, 6), (8, 8, 8), (2, 3, 1)))
    assert done.shape == (16, 24, 8)
    assert done.geometry is not None
    np.testing.assert_allclose(done.geometry.q_centre, [4 + 8 - 20, 10 * (5 + 12 - 20), 100 * (6 + 4 - 20)])


def test_padding_bound_is_the_rms_modulus_of_the_last_two_layers() -> None:
    """Only the layers that touch padding count, and only their valid voxels."""
    intensity = np.zeros((16, 16, 16), np.float32)
    mask = np.full((16, 16, 16), MaskState.PADDING, np.uint8)
    mask[:, :, 3:14] = MaskState.VALID
    intensity[:, :, 3:14] = 100
    intensity[:, :, 3:5] = 4
    intensity[:, :, 12:14] = 16
    mask[:, :8, 12:14] = MaskState.MASKED
    expected = np.sqrt((2 * 16 * 16 * 4 + 2 * 16 * 8 * 16) / (2 * 16 * 16 + 2 * 16 * 8))
    assert grid.padding_bound(Pattern(intensity, mask)) == pytest.approx(expected)


def test_without_padding_there_is_no_bound() -> None:
    """0 where nothing is padded."""
    assert grid.padding_bound(pattern(np.ones((8, 8, 8)))) == 0.0
