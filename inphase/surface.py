"""The surface of an object where its amplitude crosses a level, with what a map says of it there."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import marching_cubes

from inphase.errors import DataError

_FINEST: Final = 160


@dataclass(frozen=True)
class Surface:
    """A closed mesh of triangles whose corners turn anticlockwise, seen from outside.

    voxels: (n, 3) float64, in indices of the array. vertices: (n, 3) float32, x y z from the array's centre N // 2, in
    the unit of the basis. normals: (n, 3) float32, unit vectors that point outwards. faces: (m, 3) uint32, into the
    vertices.
    """

    voxels: NDArray[np.float64]
    vertices: NDArray[np.float32]
    normals: NDArray[np.float32]
    faces: NDArray[np.uint32]


def isosurface(
    amplitude: NDArray[np.floating], level: float, basis: NDArray[np.float64] | None = None, *, finest: int = _FINEST
) -> Surface:
    """Where an amplitude (N, N, N) crosses `level`, a share of its largest value between 0 and 1.

    basis: (3, 3), row a is the step of x y z along axis a; without one the axes are z y x and a voxel has the side 1.
    finest: voxels along the longest side of the crystal above which the surface is coarser than they are.
    DataError for anything but a volume, a level out of range, or an amplitude that is zero.
    """
    if amplitude.ndim != 3:
        raise DataError(f"only a volume has a surface, this object has the shape {amplitude.shape}")
    if not 0 < level < 1:
        raise DataError(f"the level of a surface is a share of the largest amplitude, between 0 and 1, not {level}")
    top = float(amplitude.max())
    if not top > 0 or not np.isfinite(top):
        raise DataError("the amplitude is zero or not finite: it has no surface")
    box = ndimage.find_objects((amplitude >= level * top).astype(np.uint8))[0]
    # one voxel more on each side, of the array or, at its end, of nothing: the surface is closed
    padded = np.pad(amplitude, 1)[tuple(slice(part.start, part.stop + 2) for part in box)]
    step = -(-max(padded.shape) // finest)
    padded = np.pad(padded, [(0, -(side - 1) % step) for side in padded.shape])
    corners, faces, *_ = marching_cubes(padded.astype(np.float32), level * top, step_size=step)  # type: ignore[no-untyped-call]
    voxels = corners + np.array([part.start - 1 for part in box])
    centre = np.array([side // 2 for side in amplitude.shape])
    placed = (voxels - centre) @ (np.eye(3)[::-1] if basis is None else basis)
    return _outward(voxels, placed, faces)


def _outward(voxels: NDArray[np.float64], placed: NDArray[np.float64], faces: NDArray[np.integer]) -> Surface:
    """With normals; where the basis mirrors, the corners are turned round."""
    first, second, third = (placed[faces[:, corner]] for corner in range(3))
    across = np.cross(second - first, third - first)
    if np.einsum("ij,ij->", first, across) < 0:  # six times the volume within
        faces, across = faces[:, ::-1], -across
    normals = np.zeros_like(placed)
    for corner in range(3):
        np.add.at(normals, faces[:, corner], across)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    np.divide(normals, length, out=normals, where=length > 0)
    return Surface(voxels, placed.astype(np.float32), normals.astype(np.float32), faces.astype(np.uint32))


def phase_at(obj: NDArray[np.complexfloating], surface: Surface) -> NDArray[np.float32]:
    """(n,) phase of an object in radians at the vertices: of the interpolated complex value, so that no wrap shows."""
    places = surface.voxels.T
    parts = [ndimage.map_coordinates(part.astype(np.float32), places, order=1) for part in (obj.real, obj.imag)]
    phase: NDArray[np.float32] = np.arctan2(parts[1], parts[0]).astype(np.float32)
    return phase


def value_at(values: NDArray[np.floating], surface: Surface) -> NDArray[np.float32]:
    """(n,) a map at the vertices; where the map is NaN, the nearest voxel that has a value counts.
    DataError where none has.
    """
    known = _continued(values).astype(np.float32)
    found: NDArray[np.float32] = ndimage.map_coordinates(known, surface.voxels.T, order=1)
    return found


def value_of_faces(values: NDArray[np.floating], surface: Surface) -> NDArray[np.float32]:
    """(m,) as `value_at` for each triangle: that of the voxel at its middle, never a mean across a wrap of a phase."""
    middles = surface.voxels[surface.faces].mean(axis=1)
    known = _continued(values).astype(np.float32)
    found: NDArray[np.float32] = ndimage.map_coordinates(known, middles.T, order=0, mode="nearest")
    return found


def _continued(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """A map with the value of the nearest voxel that has one wherever it is NaN. DataError where none has."""
    unknown = np.isnan(values)
    if unknown.all():
        raise DataError("the map has no values: nothing can be shown on the surface")
    if not unknown.any():
        return values
    nearest = ndimage.distance_transform_edt(unknown, return_distances=False, return_indices=True)
    return np.asarray(values[tuple(nearest)])
