"""q-space and the voxels of the object, against closed formulas and against each other under every crop,
pad and bin.
"""

import numpy as np
import pytest

from inphase.geometry import Geometry, wavelength_m
from inphase.pattern import Pattern
from inphase.preprocess import binning, grid
from inphase.preprocess.centring import Window
from inphase.preprocess.placement import Placement

SHEARED = Geometry(np.array([[2e6, 3e5, -1e5], [1e5, 5e6, 7e5], [0.0, -4e5, 4e6]]), np.array([1e10, 2e10, -5e9]))


def test_wavelength() -> None:
    """9 keV is 1.3776 Angstrom."""
    assert wavelength_m(9.0) == pytest.approx(1.3776e-10, rel=1e-4)


def test_real_space_is_the_dual_of_q_space() -> None:
    """r_a . (N_b dq_b) = 2 pi delta_ab for a sheared grid, so that the DFT's phase is exp(-i q.r)."""
    geometry = Geometry(np.random.default_rng(0).normal(size=(3, 3)) * 1e6)
    shape = (10, 20, 30)
    product = geometry.voxel_basis_m(shape) @ (geometry.q_steps * np.array(shape)[:, None]).T
    np.testing.assert_allclose(product, 2 * np.pi * np.eye(3), atol=1e-9)


@pytest.mark.parametrize("bins", [(4, 2, 2), (1, 3, 5)])
def test_binning_the_q_grid_keeps_the_voxel(bins: tuple[int, int, int]) -> None:
    """N voxels of b dq span the same q range as N b voxels of dq: same real-space basis."""
    whole = SHEARED.voxel_basis_m((64 * bins[0], 64 * bins[1], 64 * bins[2]))
    np.testing.assert_allclose(SHEARED.binned(bins).voxel_basis_m((64, 64, 64)), whole)


def test_moving_the_window_moves_q() -> None:
    """q_centre grows by the steps; where it is unknown it stays so, and q counts from there."""
    steps = np.diag([1.0, 2.0, 3.0])
    moved = Geometry(steps, np.zeros(3)).moved((1.0, 0.5, -2.0))
    np.testing.assert_allclose(moved.q_centre, [1.0, 1.0, -6.0])
    np.testing.assert_allclose(moved.q(np.array([1.0, 0.0, 0.0])), [2.0, 1.0, -6.0])
    assert Geometry(steps).moved((1.0, 1.0, 1.0)).q_centre is None
    np.testing.assert_allclose(Geometry(steps).q(np.array([1.0, 1.0, 1.0])), [1.0, 2.0, 3.0])


@pytest.mark.parametrize("seed", range(60))
def test_crop_pad_bin_then_q_equals_q(seed: int) -> None:
    """Any measured shape (odd too), any window (reaching outside too), any bins: the q that the cut and binned
    pattern's geometry gives a voxel is the mean of the q of the measured voxels in it, and its voxel basis is the
    transform's.
    """
    random = np.random.default_rng(seed)
    shape = tuple(int(n) for n in random.integers(5, 25, 3))
    bins = tuple(int(b) for b in random.integers(1, 5, 3))
    model = tuple(int(n) for n in random.integers(2, 9, 3))
    start = tuple(int(random.integers(1 - b * m, n)) for n, b, m in zip(shape, bins, model, strict=True))
    measured = Pattern(np.ones(shape, np.float32), np.zeros(shape, np.uint8), geometry=SHEARED)
    cut, _ = grid.cut(measured, Window(start, bins, model, (0, 0, 0), (1.0, 1.0, 1.0)))
    made = binning.binned(cut, bins)[0].geometry
    assert made is not None
    voxel = random.integers(0, model)
    inside = np.stack(np.meshgrid(*(np.arange(b) for b in bins), indexing="ij"), axis=-1).reshape(-1, 3)
    in_measured = np.array(start) + voxel * np.array(bins) + inside - np.array(shape) // 2
    np.testing.assert_allclose(made.q(voxel - np.array(model) // 2), SHEARED.q(in_measured).mean(axis=0), rtol=1e-12)
    way = Placement(shape, start, bins, model)
    np.testing.assert_allclose(made.voxel_basis_m(model), way.voxel_basis(SHEARED), rtol=1e-12)
    np.testing.assert_allclose(made.voxel_size_m(model), np.linalg.norm(way.voxel_basis(SHEARED), axis=1), rtol=1e-12)


def test_an_object_keeps_its_place_and_phase_under_any_grid() -> None:
    """Brute force: a few scatterers in metres. Their far field at q, summed directly, is the transform of the object
    that lies on the voxel basis, whatever the shape: the basis is right in length, direction and shear.
    """
    random = np.random.default_rng(1)
    for shape in ((8, 10, 12), (6, 6, 14)):
        basis = SHEARED.voxel_basis_m(shape)
        places = random.integers(-2, 3, (4, 3))
        weights = random.normal(size=4) + 1j * random.normal(size=4)
        obj = np.zeros(shape, complex)
        np.add.at(obj, tuple((places + np.array(shape) // 2).T), weights)
        far = np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(obj)))
        voxels = np.stack(np.meshgrid(*(np.arange(n) - n // 2 for n in shape), indexing="ij"), axis=-1)
        q = voxels @ SHEARED.q_steps
        np.testing.assert_allclose(far, np.exp(-1j * q @ (places @ basis).T) @ weights, atol=1e-9)
