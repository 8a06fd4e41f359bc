"""How well a reconstruction shows the simulated crystal behind the data."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inphase import ambiguity, fourier, metrics


@dataclass(frozen=True)
class Agreement:
    """ssim: structural similarity of the amplitudes, 1 is equal. phase_error: rms in radians inside both supports."""

    ssim: float
    phase_error: float


def on_grid(
    truth: NDArray[np.complex64], start: Sequence[int], bins: Sequence[int], shape: Sequence[int]
) -> NDArray[np.complex64]:
    """The crystal as an ideal measurement would show it on the result's grid.

    truth: centred object on the measured grid. Its far field is taken at the centre of each bin of the window that the
    preprocessing chose (first voxel `start`, `bins` measured voxels per voxel) and transformed back on `shape` voxels.
    """
    field = truth
    for axis, (n, first, step, size) in enumerate(zip(truth.shape, start, bins, shape, strict=True)):
        frequency = first + step * np.arange(size) + (step - 1) / 2 - n // 2
        waves = np.exp(-2j * np.pi / n * np.outer(frequency, np.arange(n) - n // 2)).astype(np.complex64)
        field = np.moveaxis(np.tensordot(waves, field, axes=(1, axis)), 0, axis)
    obj = fourier.backward(field)
    return (obj / np.percentile(np.abs(obj)[_inside(obj)], 99.9)).astype(np.complex64)


def support(obj: NDArray[np.complexfloating]) -> NDArray[np.bool_]:
    """Where the amplitude is above half of its 99.9th percentile: the crystal's surface, blurred by the grid."""
    amplitude = np.abs(obj)
    return amplitude > 0.5 * np.percentile(amplitude[_inside(obj)], 99.9)


def compare(obj: NDArray[np.complex64], own_support: NDArray[np.bool_], truth: NDArray[np.complex64]) -> Agreement:
    """Agreement of an object that was aligned to the truth (ambiguity.align), on the truth's grid."""
    true_support = support(truth)
    return Agreement(
        ssim=metrics.ssim(obj, truth, own_support, true_support),
        phase_error=metrics.phase_error(obj, truth, own_support & true_support),
    )


def aligned(
    obj: NDArray[np.complex64], own_support: NDArray[np.bool_], reference: NDArray[np.complex64]
) -> tuple[NDArray[np.complex64], NDArray[np.bool_]]:
    """The object and its support, moved onto a reference: twin, position and global phase, which no pattern can tell."""
    moved, alignment = ambiguity.align(obj, reference)
    if alignment.twin:
        own_support = np.roll(np.flip(own_support), 1, axis=(0, 1, 2))
    shift = [round(s) for s in alignment.shift_voxels]
    return moved, np.roll(own_support, shift, axis=(0, 1, 2))


def _inside(obj: NDArray[np.complexfloating]) -> NDArray[np.bool_]:
    amplitude = np.abs(obj)
    return np.asarray(amplitude > 0.1 * amplitude.max())
