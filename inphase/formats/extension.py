"""Maps that end at the crystal's edge, continued as far as a surface reaches that one colours with them.

A surface at 0.2 of the amplitude passes between voxels whose strain nobody knows. There the value of the nearest known
voxel stands, and `measured` says that it is not one.
"""

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inphase.errors import DataError
from inphase.formats.result import Result
from inphase.strain import crystal_voxels

SURFACE: Final = 0.2  # of the amplitude's scale
MAPS: Final = ("displacement", "strain", "strain_with_ramp", "d_spacing", "lattice_parameter")
MEASURED: Final = "measured"  # uint8: 1 where a map is measured, 0 where it is continued or there is none


def extended(result: Result) -> Result:
    """With `phase_flat` and the maps continued, and `measured` among the volumes; as it is without a crystal."""
    try:
        known = crystal_voxels(result.amplitude, result.support)
    except DataError:
        return result
    maps = {name: result.derived[name] for name in MAPS if name in result.derived}
    if maps:  # they end where they were made to end
        known = np.logical_and.reduce([np.isfinite(volume) for volume in maps.values()])
    if not known.any():
        return result
    scale = float(np.percentile(result.amplitude[result.support], 99.9))
    bright = (result.amplitude >= SURFACE * scale) & ndimage.binary_dilation(result.support)
    # the surface lies between a voxel above its level and one below: both need a value, diagonally as well
    box = np.ones((3,) * result.object.ndim, bool)
    reach = ndimage.binary_dilation(bright | known, box)
    spacing = result.voxel_size_m or (1.0,) * result.object.ndim
    nearest = ndimage.distance_transform_edt(~known, spacing, return_distances=False, return_indices=True)

    def continued(volume: NDArray[np.floating], elsewhere: float) -> NDArray[np.float32]:
        return np.where(reach, volume[tuple(nearest)], elsewhere).astype(np.float32)

    return replace(
        result,
        phase_flat=continued(result.phase_flat, 0.0),
        derived={
            **result.derived,
            **{name: continued(volume, np.nan) for name, volume in maps.items()},
            MEASURED: known.astype(np.uint8),
        },
    )
