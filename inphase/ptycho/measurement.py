"""A ptychographic measurement: patterns, where the beam was for each, and what is known of the beam."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inphase.errors import DataError
from inphase.formats.hidden import account
from inphase.pattern import MOST_MASKED, MaskState
from inphase.preprocess.corrections import Corrections, Response
from inphase.ptycho.frames import usable
from inphase.ptycho.optics import Optics, Pair
from inphase.ptycho.positions import Kept, coordinates, field
from inphase.ptycho.units import Ruler

if TYPE_CHECKING:
    from inphase.ptycho.reconstruction import Reconstruction

_ALL: Final = slice(None)


@dataclass(frozen=True)
class Measurement:
    """Frames that can be reconstructed: every one is finite, was lit, and overlaps with others.

    patterns: (n, y, x), of any real type; the DC pixel is (y // 2, x // 2). 0 where masked. They are as the detector
        gave them; `counts` are what is reconstructed.
    positions_px: (n, 2) float64, (row, column) of the window's corner on the object, in pixels of the object; growing
        along the rows and columns of the patterns.
    mask: (n, y, x) uint8 of MaskState; it may be one frame seen many times.
    probe: (modes, y, x) complex64, a guess, its centre at (y // 2, x // 2); None where there is none.
    optics: None where they are not known: the far field, in pixels.
    ids: (n,) int64, which frame of the file each one is.
    source: the file, for people. notes: what was left out, altered or assumed on the way here, in sentences.
    corrections: dark and flat field of the detector, under the patterns; None where the patterns are counts.
    """

    patterns: NDArray[Any]
    positions_px: NDArray[np.float64]
    mask: NDArray[np.uint8]
    probe: NDArray[np.complex64] | None
    optics: Optics | None
    ids: NDArray[np.int64]
    source: str = "arrays"
    notes: tuple[str, ...] = ()
    corrections: Corrections | None = None

    @cached_property
    def response(self) -> Response | None:
        """Of the detector's pixels, by its dark and flat field; None where there are neither. Raises DataError."""
        return None if self.corrections is None else Response.of(self.corrections, self.shape)

    @property
    def shape(self) -> tuple[int, int]:
        """Of a pattern, (y, x)."""
        return self.patterns.shape[1], self.patterns.shape[2]

    @property
    def pixel_m(self) -> Pair | None:
        """Pixel of the object (row, column), None where the optics are not known."""
        return None if self.optics is None else self.optics.pixel_m(self.shape)

    @property
    def positions_m(self) -> NDArray[np.float64] | None:
        """(n, 2) metres, (row, column); None where the optics are not known."""
        return None if self.pixel_m is None else self.positions_px * np.asarray(self.pixel_m)

    @property
    def counts_photons(self) -> bool:
        """Whether the counts are whole numbers wherever they are known, as the detector gave them: where a dark field
        was subtracted or a flat field divided out, they scatter otherwise than photons.
        """
        if self.response is not None and self.response.alters:
            return False
        if self.patterns.dtype.kind in "ui":
            return True
        return all(
            bool((frame == np.rint(frame))[mask == MaskState.VALID].all())
            for frame, mask in zip(self.patterns, self.mask, strict=True)
        )

    def counts(self, frames: NDArray[np.integer] | slice = _ALL) -> NDArray[Any]:
        """Of some frames (..., y, x), with what the dark field shows subtracted and the flat field divided out; the
        patterns themselves where neither changes any. What is masked means nothing.
        """
        some = self.patterns[frames]
        if self.response is None or not self.response.alters:
            return some
        return self.response.counts(some)

    def __len__(self) -> int:
        return len(self.patterns)

    def __repr__(self) -> str:
        beam = "no probe" if self.probe is None else f"{len(self.probe)} probe modes"
        return f"Measurement({len(self)} patterns of {self.shape}, {beam}, {self.source})"

    def noted(self, *notes: str) -> Self:
        """With more notes."""
        return replace(self, notes=(*self.notes, *notes))

    def in_beam_of(self, found: "Reconstruction") -> Self:
        """With the probe and the positions of a reconstruction of these very frames. Raises DataError for others."""
        if not np.array_equal(self.ids, found.ids):
            raise DataError(f"{self.source}: {found} is of other frames")
        probe = probe_of(found.probe, self.shape, found.report.source)
        return replace(self, probe=probe, positions_px=found.positions_px.astype(np.float64))

    def only(self, frames: NDArray[Any] | Sequence[int]) -> Self:
        """Some of its frames, by index or bool."""
        keep = np.asarray(frames)
        return replace(
            self,
            patterns=self.patterns[keep],
            positions_px=self.positions_px[keep],
            mask=self.mask[keep],
            ids=self.ids[keep],
        )


def from_arrays(
    patterns: ArrayLike,
    positions: ArrayLike,
    *,
    unit: str = "pixel",
    mask: ArrayLike | None = None,
    probe: ArrayLike | None = None,
    optics: Optics | None = None,
    pixel_m: Pair | None = None,
    ids: ArrayLike | None = None,
    source: str = "arrays",
    notes: Sequence[str] = (),
    part: bool = False,
    corrections: Corrections | None = None,
) -> Measurement:
    """Arrays as a measurement, checked; what cannot be used is left out and told in its notes.

    patterns: (n, y, x) counts, DC pixel at (y // 2, x // 2). positions: (n, 2), (row, column); unit: "pixel" of the
    object, or "m", "mm", "um" or "nm", which need the optics, or pixel_m: the pixel of the object (row, column) where
    they are not known. mask: (y, x) or (n, y, x), true or non-zero where a pixel is unknown. probe: (y, x) or
    (modes, y, x). ids: (n,), by default 0, 1, 2, ... part: the frames are some of a field that lies together as a
    whole: they need not do so without the others. corrections: dark and flat field of the detector, which are applied
    to the patterns wherever their counts are asked for; their bad pixels are masked.

    Left out are frames that hold no counts or mostly NaN, and frames whose position is not finite or so far from the
    others that their windows do not touch (`positions.field`). Pixels that are NaN, infinite or negative
    are masked. Raises DataError where shapes do not fit, or where too much would be left out.
    """
    frames = _patterns(patterns, source)
    n, shape = len(frames), frames.shape[1:]
    where = coordinates(positions, source)
    if where.shape != (n, 2):
        raise DataError(
            f"{source}: {n} patterns need {n} positions (row, column), found an array of shape {where.shape}"
        )
    ruler = _ruler(unit, pixel_m if optics is None else optics.pixel_m((shape[0], shape[1])), source)
    where = where / ruler.pixel
    names = np.arange(n, dtype=np.int64) if ids is None else np.asarray(ids, np.int64)
    if names.shape != (n,) or len(np.unique(names)) != n:
        raise DataError(
            f"{source}: {n} patterns need {n} different ids, found {len(np.unique(names))} in {names.shape}"
        )
    # positions first: they are small, and a wrong one must not cost the memory of its object
    placed = Kept(np.ones(n, bool), ()) if part else field(where, (shape[0], shape[1]), names, source, ruler)
    maps, response = _maps(corrections, (shape[0], shape[1]), source)
    states, said = _mask(mask, frames, source, response)
    if response is not None:
        states, said = with_bad(states, response.bad), (*said, str(response))
    checked = usable(frames, states, names, source, response)
    keep = placed.keep & checked.keep
    found = Measurement(
        checked.patterns,
        where,
        checked.mask,
        None if probe is None else probe_of(probe, shape, source),
        optics,
        names,
        source,
        (*notes, *said, *placed.notes, *checked.notes),
        maps,
    )
    return found if keep.all() else found.only(keep)


def _ruler(unit: str, pixel_m: Pair | None, source: str) -> Ruler:
    try:
        return Ruler(unit, pixel_m)
    except DataError as error:
        raise DataError(f"{source}: {error}") from error


def _patterns(patterns: ArrayLike, source: str) -> NDArray[Any]:
    frames = np.asarray(patterns, order="C")  # what is computed differs in its last bits by the order in memory
    if frames.ndim != 3 or frames.dtype.kind not in "uif" or min(frames.shape, default=0) < 2:
        raise DataError(
            f"{source}: patterns are real numbers with the axes (frame, row, column), at least two of each; found "
            f"{frames.dtype} {frames.shape}"
        )
    return frames


def _maps(
    corrections: Corrections | None, shape: tuple[int, int], source: str
) -> tuple[Corrections | None, Response | None]:
    """The maps under the patterns, and what they say of the pixels. Raises DataError."""
    if corrections is None:
        return None, None
    try:
        maps, response = corrections.on(shape), Response.of(corrections, shape)
    except DataError as error:
        raise DataError(f"{source}: {error}") from error
    check_maps(response, source)
    return maps, response


def with_bad(states: NDArray[np.uint8], bad: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """MaskState of each frame (n, y, x) with bad pixels (y, x) of all."""
    once = states.strides[0] == 0
    masked = np.where(bad, np.uint8(MaskState.MASKED), states[:1] if once else states)
    return np.broadcast_to(masked, states.shape)


def check_maps(response: Response, source: str) -> None:
    """Raises DataError for a dark and a flat field that leave next to nothing."""
    bad = response.bad
    if (share := float(np.count_nonzero(bad)) / bad.size) > MOST_MASKED:
        raise DataError(
            f"{source}: dark and flat field call {share:.1%} of the pixels bad. Do they belong to these frames, and is "
            "the dark field in counts of one frame?"
        )


def _mask(
    mask: ArrayLike | None, frames: NDArray[Any], source: str, response: Response | None
) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """The mask as MaskState of each frame, and a note on it. Raises DataError."""
    shape = frames.shape
    if mask is None:
        return np.broadcast_to(np.uint8(MaskState.VALID), shape), ()
    found = np.asarray(mask)
    if found.shape not in (shape, shape[1:]):
        raise DataError(f"{source}: the mask {found.shape} fits neither the patterns {shape} nor one of them")
    if found.dtype.kind not in "buif":
        raise DataError(f"{source}: a mask is true or not zero where a pixel is unknown, this one holds {found.dtype}")
    bad = found != 0
    said = account(frames, bad, f"{source}, mask", response)
    states = np.broadcast_to(np.where(bad, np.uint8(MaskState.MASKED), np.uint8(MaskState.VALID)), shape)
    return states, (f"Of the mask, {said}.",) if bad.any() else ()


def probe_of(probe: ArrayLike, shape: tuple[int, ...], source: str) -> NDArray[np.complex64]:
    """The modes (modes, *shape) of a probe for patterns of that shape. Raises DataError."""
    found = np.asarray(probe)
    if found.dtype.kind not in "buifc":
        raise DataError(f"{source}: a probe holds complex numbers, this one {found.dtype}")
    modes = found[None] if found.ndim == 2 else found
    if modes.ndim != 3 or modes.shape[1:] != shape:
        raise DataError(
            f"{source}: a probe has the shape of a pattern, or (modes, row, column); found {found.shape} for patterns "
            f"of {shape}"
        )
    if not np.isfinite(modes).all() or not modes.any():
        raise DataError(f"{source}: the probe is empty or not finite: leave it out, and one is made from the patterns")
    return modes.astype(np.complex64, order="C")
