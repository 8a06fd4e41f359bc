"""From the exit wave to the detector: what size a pixel of the object has, and how the wave gets there."""

import math
from dataclasses import dataclass

from inphase.errors import DataError
from inphase.geometry import PLANCK_EV_M, wavelength_m

Pair = tuple[float, float]
# of visible light and of 1 MeV; of the longest beamlines and of a chip on the sample; of a chip and of a scintillator
_WAVELENGTHS, _DISTANCES, _PIXELS = (1e-12, 1e-5), (1e-6, 100.0), (1e-9, 1e-2)


@dataclass(frozen=True)
class FarField:
    """A detector so far away that it sees the Fourier transform of the exit wave.

    wavelength_m, distance_m: from the sample to the detector. detector_pixel_m: (row, column).
    """

    wavelength_m: float
    distance_m: float
    detector_pixel_m: Pair

    def __post_init__(self) -> None:
        _check(self.wavelength_m, self.distance_m, self.detector_pixel_m)

    def pixel_m(self, shape: tuple[int, int]) -> Pair:
        """Pixel of the object, (row, column) in metres: lambda z / (N d)."""
        row, column = (
            self.wavelength_m * self.distance_m / (n * d) for n, d in zip(shape, self.detector_pixel_m, strict=True)
        )
        return row, column


@dataclass(frozen=True)
class NearField:
    """A detector in the Fresnel region of the sample, in a parallel beam or in the cone behind a focus.

    wavelength_m, distance_m: from the sample to the detector. detector_pixel_m: (row, column). focus_m: from the focus
    to the sample, infinite for a parallel beam. By the Fresnel scaling theorem (Paganin, Coherent X-Ray Optics, 2006,
    section 1.5) the cone is a parallel beam with everything at the detector smaller by the magnification M and the
    distance shorter by it.
    """

    wavelength_m: float
    distance_m: float
    detector_pixel_m: Pair
    focus_m: float = math.inf

    def __post_init__(self) -> None:
        _check(self.wavelength_m, self.distance_m, self.detector_pixel_m)
        if not self.focus_m > 0:
            raise DataError(
                f"the distance from the focus to the sample is {self.focus_m} m: give a positive one, or inf for a "
                "parallel beam"
            )

    @property
    def magnification(self) -> float:
        """M = (focus to detector) / (focus to sample), 1 for a parallel beam."""
        return 1 + self.distance_m / self.focus_m

    @property
    def effective_distance_m(self) -> float:
        """Of the parallel beam that gives the same pattern."""
        return self.distance_m / self.magnification

    def pixel_m(self, shape: tuple[int, int]) -> Pair:
        """Pixel of the object, (row, column) in metres: d / M, whatever the shape."""
        row, column = (d / self.magnification for d in self.detector_pixel_m)
        return row, column

    def fresnel_numbers(self) -> Pair:
        """p^2 / (lambda z) of one pixel of the object, (row, column)."""
        row, column = (p**2 / (self.wavelength_m * self.effective_distance_m) for p in self.pixel_m((1, 1)))
        return row, column


Optics = FarField | NearField


def optics(energy_kev: float, distance_m: float, detector_pixel_m: Pair, focus_m: float | None = None) -> Optics:
    """Far field, or near field where the distance from the focus to the sample is given (inf: a parallel beam)."""
    if not (math.isfinite(energy_kev) and energy_kev > 0):
        raise DataError(f"the energy of a ptychographic measurement must be a positive number of keV, not {energy_kev}")
    if focus_m is None:
        return FarField(wavelength_m(energy_kev), distance_m, detector_pixel_m)
    return NearField(wavelength_m(energy_kev), distance_m, detector_pixel_m, focus_m)


def _check(wavelength: float, distance: float, pixels: Pair) -> None:
    """Raises DataError for what is no length, and for lengths that no instrument has: their unit is another one."""
    for name, length, (least, most) in (
        ("wavelength", wavelength, _WAVELENGTHS), ("distance", distance, _DISTANCES),
        *(("detector pixel", pixel, _PIXELS) for pixel in pixels),
    ):  # fmt: skip
        if not (math.isfinite(length) and length > 0):
            raise DataError(f"the {name} of a ptychographic measurement must be a positive number, not {length}")
        if not least <= length <= most:
            told = (
                f"{length:.3g} m" if name != "wavelength" else f"{length:.3g} m ({PLANCK_EV_M / length / 1e3:.3g} keV)"
            )
            raise DataError(
                f"a {name} of {told} is none of a ptychographic measurement: energies are taken in keV and lengths in "
                "metres. Is the unit right?"
            )
