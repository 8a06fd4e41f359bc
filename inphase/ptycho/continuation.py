"""From the image of some frames to that of more: the object goes on growing where it lies."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inphase.errors import DataError
from inphase.ptycho import orientation
from inphase.ptycho.measurement import Measurement
from inphase.ptycho.positions import canvas
from inphase.ptycho.reconstruction import Reconstruction

LIT: Final = 1e-3  # of the largest coverage: where less light fell, an object means nothing


@dataclass(frozen=True)
class Begun:
    """measured: with the earlier probe as its guess, positions turned as they were. object: (Y, X) complex64, the
    earlier one on the larger field, and 1 where it was not lit. origin_px: (2,) where its pixel (0, 0) lies.
    """

    measured: Measurement
    object: NDArray[np.complex64]
    origin_px: NDArray[np.float64]


def continued(measured: Measurement, earlier: Reconstruction, margin: int = 0) -> Begun:
    """Where a reconstruction of these frames begins when others of the same scan have been reconstructed.

    The new field holds the earlier one and the windows of all frames with `margin` pixels around them, and lies a whole
    number of pixels from it: nothing is interpolated. Raises DataError for a probe of another shape, TooLargeError
    before a field beyond all bounds is allocated.
    """
    if earlier.probe.shape[1:] != measured.shape:
        raise DataError(
            f"{measured.source}: an image to continue has a probe of {earlier.probe.shape[1:]} pixels, the patterns "
            f"have {measured.shape}"
        )
    turned = replace(_turned(measured, earlier), probe=earlier.probe)
    # in whole pixels from the earlier field's corner
    window = np.array(turned.shape)
    first = np.floor(turned.positions_px.min(axis=0) - margin - earlier.origin_px)
    last = np.ceil(turned.positions_px.max(axis=0) + margin - earlier.origin_px)
    first, last = np.minimum(first, 0), np.maximum(last, np.array(earlier.object.shape) - window)
    obj = np.ones(canvas(np.vstack([first, last]), turned.shape, 0), np.complex64)
    obj[_inside(-first, earlier)] = np.where(earlier.coverage > LIT, earlier.object, np.complex64(1))
    return Begun(turned, obj, earlier.origin_px + first)


def _inside(offset: NDArray[np.float64], earlier: Reconstruction) -> tuple[slice, ...]:
    """Where the earlier field lies in one whose corner is so many pixels away."""
    return tuple(slice(b, b + n) for b, n in zip(np.rint(offset).astype(int), earlier.object.shape, strict=True))


def _turned(measured: Measurement, earlier: Reconstruction) -> Measurement:
    """With positions as the earlier reconstruction has those of the same frames; as given where there are none."""
    _, ours, theirs = np.intersect1d(measured.ids, earlier.ids, return_indices=True)
    if not len(ours):
        return measured
    pixel = np.asarray(measured.pixel_m or (1.0, 1.0))
    given, found = measured.positions_px[ours] * pixel, earlier.positions_px[theirs] * pixel
    return orientation.turned(measured, orientation.between(given, found))


def joined(earlier: Reconstruction, found: Reconstruction) -> Reconstruction:
    """The newest image with what it owes to the one that it continues: coverage and frames of both.

    coverage: the stronger of the two. positions_px, ids: the new ones go before earlier ones of the same frames.
    """
    inside = _inside(earlier.origin_px - found.origin_px, earlier)
    coverage = found.coverage.copy()
    coverage[inside] = np.maximum(coverage[inside], earlier.coverage)
    old = ~np.isin(earlier.ids, found.ids)
    ids = np.concatenate([earlier.ids[old], found.ids])
    order = np.argsort(ids)
    return replace(
        found,
        coverage=coverage,
        ids=ids[order],
        positions_px=np.concatenate([earlier.positions_px[old], found.positions_px])[order],
    )


def likeness(earlier: Reconstruction, found: Reconstruction) -> float:
    """|sum c a conj(b)| / (|a| |b|) where both were lit, c the weaker coverage: 1 where nothing has changed."""
    inside = _inside(earlier.origin_px - found.origin_px, earlier)
    a, b = earlier.object, found.object[inside]
    weight = np.minimum(earlier.coverage, found.coverage[inside])
    weight = np.where(weight > LIT, weight, 0)
    norm = np.sqrt((weight * np.abs(a) ** 2).sum(dtype=np.float64) * (weight * np.abs(b) ** 2).sum(dtype=np.float64))
    return float(np.abs((weight * a * b.conj()).sum(dtype=np.complex128)) / norm) if norm > 0 else 0.0
