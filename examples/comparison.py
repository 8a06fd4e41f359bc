"""Reconstructions side by side, and how well they show the simulated crystal behind the data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inphase import ambiguity, fourier, metrics
from inphase.formats.result import Result


@dataclass(frozen=True)
class View:
    """One object to show: complex (N0, N1, N2), aligned to the others; its support; its chi2, None for a known truth.

    kernel: of partial coherence, None where the light is taken for coherent.
    """

    name: str
    object: NDArray[np.complex64]
    support: NDArray[np.bool_]
    chi2: float | None
    kernel: NDArray[np.float32] | None = None


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


def compare(results: Mapping[str, Result], truth: NDArray[np.complex64] | None) -> tuple[list[View], list[Agreement]]:
    """Results of one measurement brought onto each other, and onto the truth where it is known;
    then how well they agree.

    results: by name, on one grid; the last is the reference where there is no truth. truth: centred, on the measured
    grid.
    """
    *_, last = results.values()
    ideal = last.object
    if truth is not None:
        part = last.document["preprocess"]
        centring = next(step["numbers"] for step in part["steps"] if step["name"] == "centring")
        ideal = on_grid(truth, centring["start"], part["binning"], last.object.shape)
    views = []
    for name, result in results.items():
        obj, own = _aligned(result.object, result.support, ideal)
        chi2 = float(result.document["metrics"]["final"]["chi2"])
        views.append(View(name, obj, own, chi2, result.coherence_kernel))
    if truth is None:
        return views, []
    true_support = support(ideal)
    agreements = [
        Agreement(
            metrics.ssim(view.object, ideal, view.support, true_support),
            metrics.phase_error(view.object, ideal, view.support & true_support),
        )
        for view in views
    ]
    return [*views, View("truth", ideal, true_support, None)], agreements


def _aligned(
    obj: NDArray[np.complex64], own: NDArray[np.bool_], reference: NDArray[np.complex64]
) -> tuple[NDArray[np.complex64], NDArray[np.bool_]]:
    """The object and its support, moved onto a reference:
    twin, position and global phase, which no pattern can tell.
    """
    moved, alignment = ambiguity.align(obj, reference)
    if alignment.twin:
        own = np.roll(np.flip(own), 1, axis=(0, 1, 2))
    return moved, np.roll(own, [round(shift) for shift in alignment.shift_voxels], axis=(0, 1, 2))


def _inside(obj: NDArray[np.complexfloating]) -> NDArray[np.bool_]:
    amplitude = np.abs(obj)
    return np.asarray(amplitude > 0.1 * amplitude.max())
