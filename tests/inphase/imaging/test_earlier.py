"""An image on another grid, against the same object sampled there."""

import numpy as np
import pytest
from numpy.typing import NDArray

from inphase import fourier
from inphase.ambiguity import twin
from inphase.imaging.earlier import Earlier, similarity
from inphase.imaging.report import Preprocessing

FULL = (96, 80, 72)  # measured voxels


def grid(offset: tuple[int, ...], binning: tuple[int, ...], shape: tuple[int, ...]) -> Preprocessing:
    """As a report has it."""
    return Preprocessing((), 1.0, 1.0, 0.0, binning, offset, shape, None)


def body(done: Preprocessing) -> NDArray[np.complex128]:
    """A smooth object with a phase, sampled on a grid: its far field about the grid's DC voxel is the measured one.

    Real space in turns per measured voxel, so that F(q) = sum o exp(-2 pi i q r) with q in measured voxels.
    """
    axes = [
        ((np.arange(n) - n // 2) / (n * b)).reshape([-1 if a == axis else 1 for a in range(3)])
        for axis, (n, b) in enumerate(zip(done.shape, done.binning, strict=True))
    ]
    centre = [
        first + n // 2 * b + (b - 1) / 2 - full // 2
        for first, n, b, full in zip(done.offset, done.shape, done.binning, FULL, strict=True)
    ]
    widths, ramp = (0.05, 0.04, 0.03), sum(c * r for c, r in zip(centre, axes, strict=True))
    away = sum(((r - 0.01) / w) ** 2 for r, w in zip(axes, widths, strict=True))
    phase = 30 * axes[0] * axes[1] * 10 + 8 * axes[2]
    return np.exp(-away / 2 + 1j * (phase - 2 * np.pi * ramp))  # type: ignore[no-any-return]


def test_the_same_grid_gives_the_same_object() -> None:
    """Nothing is interpolated where nothing has changed."""
    done = grid((0, 0, 0), (1, 1, 1), (64, 64, 64))
    obj = body(done).astype(np.complex64)
    assert Earlier(obj, done).on(done) is obj


@pytest.mark.parametrize(
    "other",
    [
        grid((16, 8, 4), (1, 1, 1), (64, 64, 64)),
        grid((20, 8, 4), (1, 1, 1), (64, 64, 64)),
        grid((14, 5, -20), (1, 1, 2), (64, 64, 48)),
        grid((-50, 8, 3), (3, 1, 1), (64, 64, 64)),
    ],
    ids=["same", "moved", "binned and moved", "thrice as coarse"],
)
def test_an_object_on_another_grid_is_the_same_object(other: Preprocessing) -> None:
    """Amplitude, phase and the place of the far field; 5 % is what linear interpolation of voxels costs."""
    first = grid((16, 8, 4), (1, 1, 1), (64, 64, 64))
    moved = Earlier(body(first).astype(np.complex64), first).on(other)
    truth = body(other)
    inside = np.abs(truth) > 0.1
    assert moved.shape == other.shape
    assert np.abs(moved - truth)[inside].max() < 0.05
    peak = np.unravel_index(np.abs(fourier.forward(moved)).argmax(), other.shape)
    assert peak == np.unravel_index(np.abs(fourier.forward(truth)).argmax(), other.shape)


def test_similarity_knows_no_place_twin_phase_or_scale() -> None:
    """The amplitudes of one object are alike; a cube and a bar of two of them share half of the bar's light."""
    done = grid((0, 0, 0), (1, 1, 1), (64, 64, 64))
    obj = body(done)
    assert similarity(3j * np.roll(twin(obj), (3, -2, 5), (0, 1, 2)), obj) == pytest.approx(1, abs=1e-3)
    cube, bar = np.zeros((32, 32, 32), np.complex64), np.zeros((32, 32, 32), np.complex64)
    cube[4:12, 4:12, 4:12] = 1
    bar[16:24, 16:24, 8:24] = 1j
    assert similarity(cube, bar) == pytest.approx(np.sqrt(0.5), abs=1e-2)  # a shift by a part of a voxel rings at edges
