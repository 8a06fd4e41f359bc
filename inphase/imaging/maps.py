"""The maps that a result has beside the object: displacement, strain and d-spacing where the geometry is known, and of
an image the phase without wraps.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inphase.ambiguity import Canonical
from inphase.defects import dislocations, offsets_disagree
from inphase.errors import DataError
from inphase.geometry import Geometry
from inphase.imaging import report
from inphase.strain import ISOSURFACE, strain, unwrapped


@dataclass(frozen=True)
class Maps:
    """arrays: those that a result has with a geometry (`inphase.imaging.arrays`), or none;
    then `reason` says why, and `strain` is None.
    """

    arrays: dict[str, NDArray[Any]]
    strain: report.Strain | None
    reason: str | None


def maps(result: Canonical, geometry: Geometry | None) -> Maps:
    """The maps of a stored object; geometry: of its grid."""
    return maps_of(result.object, result.support, geometry)


def maps_of(
    obj: NDArray[np.complex64],
    support: NDArray[np.bool_],
    geometry: Geometry | None,
    isosurface: float = ISOSURFACE,
) -> Maps:
    """The maps of an object within its support; geometry: of its grid."""
    if geometry is None:
        return Maps(
            {}, None, "the geometry is unknown: give q_steps and q_centre (1/m) with the measurement, or its angles"
        )
    if geometry.q_centre is None:
        return Maps({}, None, "the momentum transfer is unknown: give q_centre (1/m) beside q_steps")
    if obj.ndim != 3:
        return Maps({}, None, "strain is that of a volume, and this is the projection of one: measure a rocking curve")
    try:
        made = strain(obj, support, geometry, isosurface=isosurface)
    except DataError as error:
        return Maps({}, None, str(error))
    if not np.isfinite(made.strain).any():
        return Maps({}, None, "no voxel above the isosurface has a neighbour along every axis: no strain is known")
    lines, residues = dislocations(obj, made.inside, geometry)
    summary = report.Strain(
        q_per_m=tuple(made.q_per_m.tolist()),
        q_length_per_m=float(np.linalg.norm(made.q_per_m)),
        isosurface=isosurface,
        voxels=int(made.inside.sum()),
        d_spacing_m=_mean(made.d_spacing_m),
        strain_mean=_mean(made.strain_with_ramp),
        strain_rms=_mean(made.strain.astype(np.float64) ** 2) ** 0.5,
        statistics={
            name: statistics(volume, made.inside)
            for name, volume in (("strain", made.strain), ("displacement", made.displacement_m))
        },
        residues=residues,
        dislocations=lines,
        offsets_disagree=offsets_disagree(obj, made.inside),
    )
    return Maps(
        {
            "displacement": made.displacement_m,
            "strain": made.strain,
            "strain_with_ramp": made.strain_with_ramp,
            "d_spacing": made.d_spacing_m,
        },
        summary,
        None,
    )


def image_maps(result: Canonical) -> dict[str, NDArray[Any]]:
    """What only results of two axes have: the phase without ramp and wraps (Herraez et al. 2002), NaN outside.

    For display, as in Wu et al., IUCrJ 8, 12 (2021), appendix C: around a zero of the object it has a cut. Outside is
    what does not belong to the support.
    """
    if result.object.ndim != 2:
        return {}
    flat = np.abs(result.object) * np.exp(1j * result.phase_flat)
    return {"phase_unwrapped": unwrapped(flat, result.support).astype(np.float32)}


def statistics(volume: NDArray[np.floating], inside: NDArray[np.bool_]) -> report.Statistics:
    """Of a map over the crystal; what is not known of it does not count, and parts without a voxel are None."""
    bulk = ndimage.binary_erosion(inside)
    parts = [_spread(volume[part]) for part in (inside, inside & ~bulk, bulk)]
    assert parts[0] is not None, "a map is known somewhere"
    return report.Statistics(parts[0], parts[1], parts[2])


def _spread(values: NDArray[np.floating]) -> report.Spread | None:
    known = values[np.isfinite(values)].astype(np.float64)
    return report.Spread(float(known.mean()), float(known.std())) if known.size else None


def _mean(values: NDArray[np.floating]) -> float:
    """Of what is known; voxels without a neighbour have no strain."""
    return float(np.nanmean(values, dtype=np.float64))
