"""Displacement, strain and lattice of a result, once reflection, material and energy are known."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any, Final

import msgspec
import numpy as np

from inphase import ambiguity
from inphase.errors import DataError
from inphase.formats.cubic import STRAIN, STRAIN_MAPS, in_laboratory
from inphase.formats.result import Result
from inphase.formats.writers import write_result, writer_for
from inphase.geometry import Geometry
from inphase.imaging import report
from inphase.imaging.maps import maps_of, statistics
from inphase.material import Material, Miller, length, material
from inphase.refraction import corrected
from inphase.results.source import Given, result_of, taken
from inphase.strain import ISOSURFACE, crystal_voxels

BEFORE: Final = "the object before refraction was taken off"
IMPLAUSIBLE: Final = 0.03  # mean strain: unknown direct beams make 1 %, and two reflections differ by more


@dataclass(frozen=True)
class StrainMaps:
    """What `strain_maps` found.

    strain: the summary of the maps. lattice: of the lattice parameter in metres, where hkl is known. relaxed_m: the
    spacing of the material's planes; mean_strain: of the crystal's mean lattice against it, None where either is
    unknown. refraction: what was taken off, delta and beta, now or when the file was made, or None. notes: what was
    assumed. result: with the maps; without the measured pattern where refraction was taken off, for it is that of the
    object before.
    """

    result: Result
    strain: report.Strain
    hkl: Miller | None
    lattice: report.Statistics | None
    relaxed_m: float | None
    mean_strain: float | None
    refraction: tuple[float, float] | None
    notes: tuple[str, ...]

    def to_builtins(self) -> dict[str, Any]:
        """The figures without the volumes, as JSON takes them."""
        names = ("strain", "hkl", "lattice", "relaxed_m", "mean_strain", "refraction", "notes")
        found: dict[str, Any] = msgspec.to_builtins({name: getattr(self, name) for name in names})
        return found


def strain_maps(
    given: Given,
    output: str | PathLike[str] | None = None,
    *,
    hkl: Miller | None = None,
    of: str | None = None,
    energy_kev: float | None = None,
    refraction: bool = False,
    beta: float = 0.0,
    isosurface: float = ISOSURFACE,
    geometry: Geometry | None = None,
) -> StrainMaps:
    """Make the maps of a result anew, and write it with them where an output is named.

    of: the material, a symbol of `inphase.material`. hkl: the reflection, by default the one that the file was told
    before; with it `lattice_parameter` is among the maps (cubic). refraction: whether the phase that the crystal itself
    makes is taken off the object first, and with `beta` its loss; it needs a material, and the energy where the result
    does not tell it. isosurface, geometry: as in `inphase.strain` and `inphase.convert`. Raises DataError for what is
    missing.
    """
    if output is not None:
        writer_for(str(output))
    found = taken(given)
    result = result_of(found, geometry)
    if result.geometry is None or result.geometry.q_centre is None:
        raise DataError(f"{found.source}: tells no geometry with Q: give the measurement that it was made from")
    if beta and not refraction:
        raise DataError("beta is taken off together with refraction: ask for it as well (refraction=, --refraction)")
    known, notes = None if of is None else material(of), []
    hkl = _reflection(result.document) if hkl is None else hkl
    obj, taken_off = result.object, _taken_off(result.document)
    if refraction and taken_off is not None:
        raise DataError(f"{found.source}: refraction was taken off this object already, with delta {taken_off[0]:.3g}")
    # lines have a place in the laboratory, where the light has its way, whatever frame the voxels were brought into
    grid = in_laboratory(result).geometry
    assert grid is not None
    if refraction:
        delta, energy = _refractive(known, energy_kev, result.document)
        inside = crystal_voxels(result.amplitude, result.support, isosurface)
        obj = corrected(obj, inside, grid, energy_kev=energy, delta=delta, beta=beta)
        taken_off = (delta, beta)
        notes.append(f"refraction at {energy:g} keV by the electron density of {of}, without dispersion near edges")
        notes.append(f"chi2 and the other metrics of the result stay those of {BEFORE}, which is what fits the pattern")
        notes.append("the object as stored is taken for the real crystal: of its twin the correction would be wrong")
    made = maps_of(obj, result.support, grid, isosurface)
    if made.strain is None:
        raise DataError(f"{found.source}: {made.reason}")
    derived = {**result.derived, **made.arrays}
    lattice = None
    if hkl is not None:
        derived["lattice_parameter"] = made.arrays["d_spacing"] * np.float32(length(hkl))
        lattice = statistics(derived["lattice_parameter"], np.isfinite(derived["lattice_parameter"]))
    relaxed = None if known is None or hkl is None else known.spacing_m(hkl)
    mean_strain = None if relaxed is None else made.strain.d_spacing_m / relaxed - 1
    if mean_strain is not None and abs(mean_strain) > IMPLAUSIBLE:
        notes.append(
            f"a mean strain of {mean_strain:.1%} is that of no crystal: the reflection, the material or the angles are "
            "others"
        )
    if refraction:
        flat, _ = ambiguity.flattened(np.where(result.support, obj, 0))
        phase_flat = np.where(result.support, np.angle(flat), 0).astype(np.float32)
        result = replace(result, object=obj, phase_flat=phase_flat).without_pattern(BEFORE)
    answer = StrainMaps(
        result=replace(result, derived=derived),
        strain=made.strain,
        hkl=hkl,
        lattice=lattice,
        relaxed_m=relaxed,
        mean_strain=mean_strain,
        refraction=taken_off,
        notes=tuple(notes),
    )
    if output is not None:
        told = answer.to_builtins()
        # the summary of a job is that of its own maps, which these replace
        document = {**result.document, STRAIN: told["strain"], "strain_reason": None, STRAIN_MAPS: told}
        write_result(str(output), replace(answer.result, document=document).arrays())
    return answer


def _reflection(document: Mapping[str, Any]) -> Miller | None:
    """Which the file was told before: without it, its lattice parameter would be that of other maps."""
    told = (document.get(STRAIN_MAPS) or {}).get("hkl")
    return None if told is None else (int(told[0]), int(told[1]), int(told[2]))


def _taken_off(document: Mapping[str, Any]) -> tuple[float, float] | None:
    """delta and beta that were taken off before."""
    told = (document.get(STRAIN_MAPS) or {}).get("refraction")
    return None if told is None else (float(told[0]), float(told[1]))


def _refractive(known: Material | None, energy_kev: float | None, document: Mapping[str, Any]) -> tuple[float, float]:
    """delta and the energy in keV."""
    if known is None:
        raise DataError("refraction is that of a material: name it, such as --material Au")
    told = (document.get("input") or {}).get("metadata") or {}
    energy = energy_kev if energy_kev is not None else float(told.get("energy_kev", 0))
    if not energy > 0:
        raise DataError("the energy is unknown: give it in keV (energy_kev=, --energy)")
    return known.delta(energy), energy
