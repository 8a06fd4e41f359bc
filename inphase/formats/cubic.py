"""A result on cubic voxels, with the maps of strain made anew there."""

from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inphase.errors import DataError
from inphase.formats.result import Result
from inphase.orthogonal import Frame, orthogonal
from inphase.pattern import MaskState
from inphase.strain import strain

ORTHOGONALISED: Final = "orthogonalised"  # key of the document: the frame, and the edge of a voxel


def on_cubic_voxels(result: Result, frame: Frame = "laboratory", voxel_m: float | None = None) -> Result:
    """The result in a frame (`inphase.orthogonal.orthogonal`): its basis and q_centre are in that frame, too.

    The complex field is interpolated with its ramp kept, so that the phase stays what it was. The pattern, which lies
    on the sheared grid, is left out. Raises DataError where geometry or frame are unknown, the support is empty, or
    the result is too large.
    """
    if result.geometry is None:
        raise DataError("the geometry of its grid is unknown: its voxels cannot be brought onto axes at right angles")
    made = orthogonal(result.object, result.support, result.geometry, frame=frame, voxel_m=voxel_m)
    geometry, field = made.geometry(), made.with_ramp()
    maps: dict[str, NDArray[Any]] = {}
    if geometry.q_centre is not None:
        found = strain(field, made.support, geometry)
        maps = {
            "displacement": found.displacement_m,
            "strain": found.strain,
            "strain_with_ramp": found.strain_with_ramp,
            "d_spacing": found.d_spacing_m,
        }
    rotation = result.sample_rotation
    return replace(
        result,
        object=field,
        support=made.support,
        phase_flat=np.where(made.support, np.angle(made.object), 0).astype(np.float32),
        modulus=np.zeros(made.shape, np.float32),
        mask=np.full(made.shape, MaskState.PADDING, np.uint8),
        voxel_size_m=(made.voxel_m,) * 3,
        voxel_basis_m=geometry.voxel_basis_m(made.shape),
        q_centre=geometry.q_centre,
        sample_rotation=None if rotation is None else rotation @ made.rotation.T,
        coherence_kernel=None,
        document={**result.document, ORTHOGONALISED: {"frame": frame, "voxel_m": made.voxel_m}},
        derived=maps,
    )
