"""A result on cubic voxels, with the maps of strain made anew there."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inphase.errors import DataError
from inphase.formats.result import Result
from inphase.orthogonal import Frame, orthogonal
from inphase.strain import ISOSURFACE, strain

ORTHOGONALISED: Final = "orthogonalised"  # key of the document: the frame, its rotation, and the edge of a voxel
STRAIN: Final = "strain"  # the same: the summary of the maps, with the isosurface at which they end
STRAIN_MAPS: Final = "strain_maps"  # the same: what `inphase.strain_maps` found, and with which reflection


def frame_of(document: Mapping[str, Any]) -> str:
    """The frame in which the voxels of a result lie, by its document."""
    return str((document.get(ORTHOGONALISED) or {}).get("frame", "laboratory"))


def in_laboratory(result: Result) -> Result:
    """The same voxels with the basis and Q of the laboratory, whatever frame they were brought into.

    Raises DataError where the document does not tell how that frame lies in the laboratory.
    """
    frame = frame_of(result.document)
    if frame == "laboratory":
        return result
    told = result.document[ORTHOGONALISED].get("rotation")
    turn = np.asarray(np.nan if told is None else told, np.float64)
    if turn.shape != (3, 3) or not np.allclose(turn @ turn.T, np.eye(3), atol=1e-6):
        raise DataError(
            f"the voxels lie in the frame {frame}, and nothing tells how that lies in the laboratory's: take the "
            "result that they were made from"
        )
    basis, q, sample = result.voxel_basis_m, result.q_centre, result.sample_rotation
    return replace(
        result,
        voxel_basis_m=None if basis is None else basis @ turn,
        q_centre=None if q is None else q @ turn,
        sample_rotation=None if sample is None else sample @ turn,
    )


def on_cubic_voxels(result: Result, frame: Frame = "laboratory", voxel_m: float | None = None) -> Result:
    """The result in a frame (`inphase.orthogonal.orthogonal`): its basis and q_centre are in that frame, too.

    The complex field is interpolated with its ramp kept, so that the phase stays what it was. The maps end at the
    isosurface at which they ended, and have the lattice parameter where the reflection is known. The pattern, which
    lies on the sheared grid, is left out. What lies in another frame already is brought from there. Raises DataError
    where geometry or frame are unknown, the support is empty, or the result is too large.
    """
    result = in_laboratory(result)
    if result.geometry is None:
        raise DataError("the geometry of its grid is unknown: its voxels cannot be brought onto axes at right angles")
    made = orthogonal(result.object, result.support, result.geometry, frame=frame, voxel_m=voxel_m)
    geometry, field = made.geometry(), made.with_ramp()
    maps: dict[str, NDArray[Any]] = {}
    if geometry.q_centre is not None:
        found = strain(field, made.support, geometry, isosurface=_isosurface(result.document))
        maps = {
            "displacement": found.displacement_m,
            "strain": found.strain,
            "strain_with_ramp": found.strain_with_ramp,
            "d_spacing": found.d_spacing_m,
        }
        hkl = (result.document.get(STRAIN_MAPS) or {}).get("hkl")
        if hkl is not None:
            maps["lattice_parameter"] = found.cubic_lattice_parameter_m((hkl[0], hkl[1], hkl[2]))
    rotation = result.sample_rotation
    told = {"frame": frame, "rotation": made.rotation.tolist(), "voxel_m": made.voxel_m}
    return replace(
        result,
        object=field,
        support=made.support,
        phase_flat=np.where(made.support, np.angle(made.object), 0).astype(np.float32),
        voxel_size_m=(made.voxel_m,) * 3,
        voxel_basis_m=geometry.voxel_basis_m(made.shape),
        q_centre=geometry.q_centre,
        sample_rotation=None if rotation is None else rotation @ made.rotation.T,
        document={**result.document, ORTHOGONALISED: told},
        derived=maps,
    ).without_pattern("the object on the grid of its pattern, before it was brought onto cubic voxels")


def _isosurface(document: Mapping[str, Any]) -> float:
    """At which the maps of a result end."""
    told = (document.get(STRAIN) or {}).get("isosurface")
    return ISOSURFACE if told is None else float(told)
