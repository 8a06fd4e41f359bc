"""The way back to the measured grid."""

import numpy as np
import pytest

from inphase import fourier
from inphase.geometry import Geometry
from inphase.preprocess.placement import Placement
from tests.inphase.preprocess.simulated import crystal

GRID = (16, 20, 18)


def an_object(seed: int = 1) -> np.ndarray:
    return crystal(seed, GRID, (3.0, 3.3, 2.8)).object


@pytest.mark.parametrize("offset", [(0, 0, 0), (3, -4, 7), (-5, 9, -2)])
@pytest.mark.parametrize("shape", [(24, 33, 41), (15, 20, 17)])
def test_without_binning_the_far_field_is_moved_exactly(
    offset: tuple[int, int, int], shape: tuple[int, int, int]
) -> None:
    """bins 1: the far field of the result is the far field of the object at its place in the measurement,
    zero elsewhere.
    """
    way = Placement(shape, offset, (1, 1, 1), GRID)
    obj = an_object()
    back = way.to_measured(obj)
    assert back.shape == shape
    assert back.dtype == np.complex64
    np.testing.assert_allclose(fourier.forward(back), way.place(fourier.forward(obj)), atol=1e-4)  # single precision


@pytest.mark.parametrize("bins", [(3, 1, 5), (1, 3, 3)])
def test_odd_bins_agree_at_the_middle_of_each_bin(bins: tuple[int, int, int]) -> None:
    """The finer far field takes the coarse one's value, over the square root of the bin's volume,
    at every bin's middle.
    """
    way = Placement(tuple(n * b for n, b in zip(GRID, bins, strict=True)), (0, 0, 0), bins, GRID)  # type: ignore[arg-type]
    obj = an_object()
    fine = fourier.forward(way.to_measured(obj))
    middle = fine[bins[0] // 2 :: bins[0], bins[1] // 2 :: bins[1], bins[2] // 2 :: bins[2]]
    np.testing.assert_allclose(middle * np.sqrt(np.prod(bins)), fourier.forward(obj), atol=1e-4)


@pytest.mark.parametrize("bins", [(2, 1, 2), (3, 2, 4), (1, 1, 1)])
def test_photons_are_conserved_and_sum_binning_gives_the_grid_back(bins: tuple[int, int, int]) -> None:
    """The sum of |F|^2 stays, and its sums over bins follow the grid's |F|^2; they differ by the finite width of a bin,
    which multiplies the autocorrelation by a sinc: at sigma 3 by less than 0.1 at half of its extent."""
    shape = tuple(n * b for n, b in zip(GRID, bins, strict=True))
    way = Placement(shape, (0, 0, 0), bins, GRID)  # type: ignore[arg-type]
    obj = an_object()
    coarse = np.abs(fourier.forward(obj)) ** 2
    fine = np.abs(fourier.forward(way.to_measured(obj))) ** 2
    assert fine.sum() == pytest.approx(coarse.sum(), rel=1e-4)
    a, b, c = GRID
    summed = fine.reshape(a, bins[0], b, bins[1], c, bins[2]).sum(axis=(1, 3, 5))
    assert np.abs(summed - coarse).sum() / coarse.sum() < 0.15
    assert np.unravel_index(summed.argmax(), GRID) == np.unravel_index(coarse.argmax(), GRID)


def test_a_box_is_the_central_part_of_the_measured_grid() -> None:
    """Of object and support, as if the rest had been cut off afterwards."""
    way = Placement((40, 50, 45), (3, 5, 7), (2, 2, 2), GRID)
    obj, box = an_object(), (20, 36, 22)
    part = tuple(slice(n // 2 - k // 2, n // 2 - k // 2 + k) for n, k in zip(way.shape_in, box, strict=True))
    np.testing.assert_array_equal(way.to_measured(obj, box), way.to_measured(obj)[part])
    support = np.abs(obj) > 0
    np.testing.assert_array_equal(way.support_to_measured(support, box), way.support_to_measured(support)[part])


def test_place_repeats_voxels_over_their_bins() -> None:
    """Binning a placed volume by its own bins gives it back times the bin's volume; outside is the fill."""
    volume = np.random.default_rng(0).integers(1, 100, GRID)
    way = Placement((40, 50, 45), (3, 5, 7), (2, 2, 2), GRID)
    placed = way.place(volume, fill=-1)
    inside = placed[3:35, 5:45, 7:43]
    np.testing.assert_array_equal(inside.reshape(16, 2, 20, 2, 18, 2).sum(axis=(1, 3, 5)), volume * 8)
    assert (placed == -1).sum() == 40 * 50 * 45 - inside.size


def test_voxel_size() -> None:
    """d = 2 pi / (n b dq) per axis on orthogonal axes; the same wherever the window lies."""
    geometry = Geometry(np.diag([1e6, 2e6, 4e6]))
    way = Placement((201, 256, 256), (5, -3, 9), (4, 2, 1), (64, 64, 64))
    expected = [2 * np.pi / (64 * b * dq) for b, dq in zip((4, 2, 1), (1e6, 2e6, 4e6), strict=True)]
    np.testing.assert_allclose(way.voxel_size_m(geometry), expected)
    np.testing.assert_allclose(way.voxel_basis(geometry), np.diag(expected))
