"""What a file holds of a measurement, and how a measurement is made of it: what files leave open is decided here."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from inphase.errors import DataError
from inphase.formats.maps import corrections
from inphase.geometry import PLANCK_EV_M
from inphase.preprocess import marks
from inphase.preprocess.corrections import Corrections, Response
from inphase.ptycho.frames import no_counts
from inphase.ptycho.measurement import Measurement, from_arrays
from inphase.ptycho.optics import NearField, Optics, Pair, optics
from inphase.ptycho.positions import coordinates, typical_step
from inphase.ptycho.units import FINEST_PX, Ruler, check_unit

CURVE = "a rocking curve is read by `inphase reconstruct`, over HTTP by /v1/reconstructions"
_TOGETHER = 256  # frames of which a copy is made at a time
LARGEST_M = 0.1  # positions below it, and not whole numbers, are metres: no scan in pixels is that small


@dataclass(frozen=True)
class Given:
    """What the caller says; it goes before what the file says. dark, flat: maps of the detector, of which the frames
    show the region `roi` (`inphase.formats.Reading`).
    """

    energy_kev: float | None = None
    distance_m: float | None = None
    detector_pixel_m: float | None = None
    focus_m: float | None = None
    unit: str | None = None
    dark: Path | None = None
    flat: Path | None = None
    roi: str | None = None

    def __post_init__(self) -> None:
        """Raises DataError for a unit that is none."""
        check_unit(self.unit)

    def corrections(self) -> Corrections | None:
        """The maps, read; None where none are named. Raises DataError."""
        return corrections(self.dark, self.flat, self.roi)

    def optics(self) -> Optics | None:
        """Where nothing else is known; None where nothing is told. Raises DataError for a part of it."""
        energy, distance, pixel = self.energy_kev, self.distance_m, self.detector_pixel_m
        if energy is None or distance is None or pixel is None:
            if any(part is not None for part in (energy, distance, pixel, self.focus_m)):
                raise DataError("energy, distance and detector pixel belong together: give what lacks, or none of them")
            return None
        return optics(energy, distance, (pixel, pixel), self.focus_m)

    def numbers(self) -> NDArray[np.float64]:
        """(4,) of the optics: NaN is not told, and infinity is a number, which JSON has not."""
        told = (self.energy_kev, self.distance_m, self.detector_pixel_m, self.focus_m)
        return np.array([math.nan if number is None else number for number in told])

    @classmethod
    def of_numbers(cls, numbers: NDArray[np.float64], unit: str) -> Self:
        """The inverse."""
        energy, distance, pixel, focus = (None if math.isnan(number) else number for number in numbers.tolist())
        return cls(energy, distance, pixel, focus, unit)


@dataclass(frozen=True)
class Contents:
    """What a file holds; None where it does not.

    patterns: (n, y, x), names: where they are. positions: (n, 2) as the file has them, (row, column); unit: "pixel"
    or a length by its name in `inphase.formats.units.METRES`, None where it is open. mask: non-zero is bad. probe:
    (modes, y, x). modulus: whether the file's rules say that fractional numbers are square roots of counts. ids: (n,).
    corrections: dark and flat field.
    """

    source: str
    patterns: NDArray[Any]
    positions: NDArray[Any]
    unit: str | None = None
    mask: NDArray[Any] | None = None
    probe: NDArray[Any] | None = None
    energy_kev: float | None = None
    distance_m: float | None = None
    detector_pixel_m: tuple[float, float] | None = None
    object_pixel_m: tuple[float, float] | None = None
    modulus: bool = False
    ids: NDArray[np.int64] | None = None
    notes: tuple[str, ...] = ()
    corrections: Corrections | None = None


def assembled(held: Contents, given: Given) -> Measurement:
    """The measurement, with a note on everything that was decided or altered."""
    notes = list(held.notes)
    beam = _optics(held, given)
    patterns = _frames_first(held.patterns, len(held.positions), held.source, notes)
    patterns = _counts(patterns, held.modulus, notes)
    mask = held.mask
    maps, response = _maps(held, given, patterns.shape[1:])
    if not isinstance(beam, NearField) and _dc_in_corner(patterns, mask, response):
        patterns = np.fft.fftshift(patterns, axes=(1, 2))
        mask = None if mask is None else np.fft.fftshift(mask, axes=(-2, -1))
        maps = _shifted(maps)
        notes.append("The patterns have their DC pixel in the corner: it was moved to the centre.")
    if not isinstance(beam, NearField):
        notes.append("The detector was taken to stand in the far field, as the caller names no focus.")
    pixel_m = held.object_pixel_m if beam is None else beam.pixel_m((patterns.shape[1], patterns.shape[2]))
    where, unit = _placed(held, given, pixel_m, patterns.shape[1:], notes)
    return from_arrays(
        patterns,
        where,
        unit=unit,
        mask=mask,
        probe=_modes(held.probe),
        optics=beam,
        pixel_m=pixel_m,
        ids=held.ids,
        source=held.source,
        notes=notes,
        corrections=maps,
    )


def _maps(held: Contents, given: Given, frame: tuple[int, ...]) -> tuple[Corrections | None, Response | None]:
    """Those that the caller names, or else those of the file, under the frames, and what they say of the pixels.

    Raises DataError.
    """
    found = given.corrections() or held.corrections
    if found is None:
        return None, None
    try:
        return found.on(frame), Response.of(found, frame)
    except DataError as error:
        raise DataError(f"{held.source}: {error}") from error


def _shifted(maps: Corrections | None) -> Corrections | None:
    """The maps of frames whose DC pixel was moved from the corner to the centre."""
    if maps is None:
        return None
    dark, flat = (None if chip is None else np.fft.fftshift(chip) for chip in (maps.dark, maps.flat))
    return Corrections(dark, flat)


def energy_of(wavelength_m: float) -> float:
    """keV of a wavelength in metres."""
    return PLANCK_EV_M / wavelength_m / 1e3


def _optics(held: Contents, given: Given) -> Optics | None:
    energy = held.energy_kev if given.energy_kev is None else given.energy_kev
    distance = held.distance_m if given.distance_m is None else given.distance_m
    pixel = held.detector_pixel_m if given.detector_pixel_m is None else (given.detector_pixel_m,) * 2
    if energy is None or distance is None or pixel is None:
        lacking = [name for name, value in (("energy", energy), ("distance", distance), ("detector pixel", pixel))
                   if value is None]  # fmt: skip
        if not np.isnan(given.numbers()).all():
            raise DataError(
                f"{held.source}: energy, distance and detector pixel belong together, and the file tells no "
                f"{' and no '.join(lacking)}: give what lacks, or none of them"
            )
        return None
    try:
        return optics(energy, distance, pixel, given.focus_m)
    except DataError as error:
        raise DataError(f"{held.source}: {error}") from error


def _frames_first(patterns: NDArray[Any], count: int, source: str, notes: list[str]) -> NDArray[Any]:
    """(n, y, x), also of files that have the frames last, or further axes of length 1."""
    if patterns.dtype.kind not in "uif":
        raise DataError(f"{source}: patterns are real numbers, these are {patterns.dtype}")
    found = patterns
    while found.ndim > 3 and 1 in found.shape:
        found = found.squeeze(found.shape.index(1))
    if found.ndim != 3:
        raise DataError(f"{source}: patterns have three axes (frame, row, column), found {patterns.shape}")
    if found.shape[0] != count and found.shape[2] == count and found.shape[0] == found.shape[1]:
        notes.append("The patterns have their frames along the last axis: it was moved to the front.")
        return np.ascontiguousarray(np.moveaxis(found, 2, 0))
    if found.shape[0] != count:
        raise DataError(
            f"{source}: {found.shape[0]} patterns and {count} positions: they must be as many. Were the last ones of a "
            "scan lost, then cut the longer of the two"
        )
    return found


def _counts(patterns: NDArray[Any], modulus: bool, notes: list[str]) -> NDArray[Any]:
    """Square roots become counts, where the file's rules have square roots and the numbers are not whole."""
    if not modulus or patterns.dtype.kind in "ui":
        return patterns
    some = patterns[: min(8, len(patterns))]
    some = some[np.isfinite(some)]
    if some.size == 0 or np.allclose(some, np.rint(some), rtol=0, atol=1e-6):
        return patterns
    notes.append("The patterns are not whole numbers: they were taken for square roots of counts, and squared.")
    return np.square(patterns.astype(np.float32))


def _dc_in_corner(patterns: NDArray[Any], mask: NDArray[Any] | None, response: Response | None) -> bool:
    """Whether more counts lie along the edges than along the lines through the centre, on an eighth of the sides each.

    Along the edges lie the highest frequencies if DC is in the centre, and DC itself if it is in the corner. The
    lines also tell of a beam with a dark middle, whose ring a square around the centre would miss. What a mask of one
    frame, a mark or a map of the detector names is no light.
    """
    if not patterns.size:  # what is wrong with it is said later
        return False
    dark = marks.find(patterns, float(patterns.max(initial=0))).pixels
    if mask is not None and mask.shape == dark.shape:
        dark = dark | (mask != 0)
    mean: NDArray[np.floating] = np.zeros(patterns.shape[1:])
    for begin in range(0, len(patterns), _TOGETHER):  # a copy of all may be more than there is
        some = patterns[begin : begin + _TOGETHER]
        wrong = no_counts(some)
        some = some if wrong is None else np.where(wrong, some.dtype.type(0), some)
        mean += some.sum(axis=0, dtype=np.float64)
    if response is not None:
        mean = response.counts(mean / len(patterns))
    mean[dark] = 0
    return _along_the_middle(np.fft.fftshift(mean)) > _along_the_middle(mean)


def _along_the_middle(image: NDArray[np.floating]) -> float:
    """Sum over the rows and the columns next to the centre."""
    rows, columns = (slice(n // 2 - max(1, n // 16), n // 2 + max(1, n // 16)) for n in image.shape)
    return float(image[rows].sum() + image[:, columns].sum())


def _placed(
    held: Contents, given: Given, pixel_m: Pair | None, shape: tuple[int, int], notes: list[str]
) -> tuple[NDArray[np.float64], str]:
    """Positions with their unit: the caller's, else the file's, else the one that the numbers allow."""
    where = coordinates(held.positions, held.source)
    unit = given.unit or held.unit
    if given.unit is not None and held.unit not in (None, given.unit):
        notes.append(f"Positions were taken in {given.unit}, as the caller says; the file has them in {held.unit}.")
    if unit is not None:
        return where, unit
    largest = float(np.nanmax(np.abs(where), initial=0.0))
    if 0 < largest < LARGEST_M:
        unit, words = "m", "metres"
    else:
        unit, words = "pixel", "pixels"
        _doubt(typical_step(where), Ruler("pixel", pixel_m), shape, held.source)
    notes.append(
        f"The file does not tell the unit of its positions: as the largest is {largest:.3g}, they were taken for "
        f"{words}."
    )
    return where, unit


def _doubt(step: float, ruler: Ruler, shape: tuple[int, int], source: str) -> None:
    """Raises DataError for positions that are hardly pixels, where nobody says so. step: 0 of fewer than two different
    positions, which have no unit: what is wrong with them is said later.
    """
    if 0 < step < FINEST_PX or ruler.doubted(step, shape):
        raise DataError(
            f"{source}: does not tell the unit of its positions, and if they are pixels, neighbours are {step:.2g} of "
            f"them apart, in windows of {shape[0]} x {shape[1]}: are they in um or mm?{ruler.hint(step, shape)} The "
            "unit has to be named (unit, --unit), also where they are pixels (--unit pixel)"
        )


def _modes(probe: NDArray[Any] | None) -> NDArray[Any] | None:
    """(modes, y, x): of further axes the first entry, as variable probes have them."""
    if probe is None:
        return None
    found = probe
    while found.ndim > 3:
        found = found[0]
    return found


def positive(value: float | None) -> float | None:
    """A length or energy that a file gives; None for what is none."""
    return value if value is not None and math.isfinite(value) and value > 0 else None
