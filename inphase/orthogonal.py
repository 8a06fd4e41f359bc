"""From the sheared grid of a rocking scan onto cubic voxels in the frame of the laboratory, the sample or the crystal.

The complex field is interpolated, never its wrapped phase. Its ramp is taken off before and kept as a vector: between
voxels whose phases differ by radians, an interpolated field would lose amplitude.
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from inphase import ambiguity
from inphase.errors import DataError
from inphase.geometry import Geometry

Frame = Literal["laboratory", "sample", "crystal"]

MARGIN = 2  # voxels kept around the support
MAX_VOXELS = 512**3
_SPLINE: Final = (
    3  # cubic: at sigma >= 2 the field is smooth on the scale of a voxel, and a linear one would damp its phase
)


@dataclass(frozen=True)
class Orthogonal:
    """An object on cubic voxels, axes (z, y, x) of its frame; the origin, N // 2, is that of the sheared grid.

    object: (nz, ny, nx) complex64, WITHOUT the ramp; `with_ramp` puts it back.
    support: bool, of the same shape. voxel_m: edge of a voxel.
    ramp_per_m: (3,) rad/m, (x, y, z) of the frame: the gradient of the phase that was taken off.
    rotation: (3, 3), laboratory -> frame.
    q_per_m: (3,) 1/m, (x, y, z) of the frame: Q at the pattern's DC voxel; None where unknown.
    """

    object: NDArray[np.complex64]
    support: NDArray[np.bool_]
    voxel_m: float
    frame: Frame
    ramp_per_m: NDArray[np.float64]
    rotation: NDArray[np.float64]
    q_per_m: NDArray[np.float64] | None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along (z, y, x)."""
        nz, ny, nx = self.object.shape
        return nz, ny, nx

    def geometry(self) -> Geometry:
        """Of this grid, in this frame: inphase.strain takes it with `with_ramp()` as it takes the sheared one."""
        return Geometry.of_voxels(_basis(self.voxel_m), self.shape, self.q_per_m)

    def with_ramp(self) -> NDArray[np.complex64]:
        """The object with its ramp, as it was retrieved."""
        per_voxel = _basis(self.voxel_m) @ self.ramp_per_m
        return np.asarray(ambiguity.unramped(self.object, (-per_voxel).tolist()), np.complex64)


def orthogonal(
    obj: NDArray[np.complexfloating],
    support: NDArray[np.bool_],
    geometry: Geometry,
    *,
    frame: Frame = "laboratory",
    voxel_m: float | None = None,
) -> Orthogonal:
    """A centred object (N0, N1, N2) and its support, with the geometry of their grid, on cubic voxels.

    frame: "laboratory": x outboard, y up, z along the beam, the crystal as in the scan's middle frame. "sample": the
        same axes with all circles of the sample at zero. "crystal": Q along +y, by the shortest rotation from the
        laboratory (what is left free, the turn about Q, is not defined by one reflection).
    voxel_m: edge of a voxel; by default the smallest distance between the grid's planes, so that nothing is lost.

    Raises DataError where the frame is unknown for this geometry, the support empty, or the result above 512^3 voxels.
    """
    if not support.any():
        raise DataError("the support is empty: there is nothing to bring onto another grid")
    n0, n1, n2 = obj.shape
    basis = geometry.voxel_basis_m((n0, n1, n2))
    dual = np.linalg.inv(basis).T  # rows b_a: index along a = b_a . r
    rotation = rotation_to(frame, geometry)
    edge = float(1 / np.linalg.norm(dual, axis=1).max()) if voxel_m is None else voxel_m
    shape = _shape_around(support, basis @ rotation.T, edge)
    ramp = ambiguity.mean_gradient(obj)
    flat = ambiguity.unramped(obj, ramp)
    to_index = dual @ rotation.T @ _basis(edge).T  # of the new grid's index, on the old grid's
    offset = np.array(obj.shape) // 2 - to_index @ (np.array(shape) // 2)

    field = ndimage.affine_transform(flat.astype(np.complex64), to_index, offset, shape, order=_SPLINE)
    share = ndimage.affine_transform(support.astype(np.float32), to_index, offset, shape, order=1)
    q = geometry.q_centre
    return Orthogonal(
        object=np.asarray(field, np.complex64),
        support=share >= 0.5,
        voxel_m=edge,
        frame=frame,
        ramp_per_m=rotation @ (np.asarray(ramp) @ dual),
        rotation=rotation,
        q_per_m=None if q is None else rotation @ q,
    )


def rotation_to(frame: Frame, geometry: Geometry) -> NDArray[np.float64]:
    """(3, 3) that turns a laboratory vector into the frame. DataError where the geometry does not tell."""
    if frame == "laboratory":
        return np.eye(3)
    if frame == "sample":
        if geometry.sample_rotation is None:
            raise DataError(
                "the angles of the sample's circles are unknown: its frame cannot be found, take the laboratory's"
            )
        return geometry.sample_rotation
    q = geometry.q_centre
    if q is None or not np.linalg.norm(q) > 0:
        raise DataError(
            "the momentum transfer (q_centre) is unknown: the crystal's frame cannot be found, take the laboratory's"
        )
    up = np.array([0.0, 1.0, 0.0])
    unit = q / np.linalg.norm(q)
    across = np.cross(unit, up)
    sine = float(np.linalg.norm(across))
    axis = (
        across / sine if sine > 1e-12 else np.array([1.0, 0.0, 0.0])
    )  # Q along y: none or half a turn, about any axis
    turn: NDArray[np.float64] = Rotation.from_rotvec(np.arctan2(sine, unit @ up) * axis).as_matrix()
    return turn


def _basis(edge: float) -> NDArray[np.float64]:
    """(3, 3): steps of a cubic grid along its array axes (z, y, x), as (x, y, z)."""
    return edge * np.eye(3)[::-1]


def _shape_around(support: NDArray[np.bool_], basis: NDArray[np.float64], edge: float) -> tuple[int, int, int]:
    """Even sides of a box about the origin that holds every voxel of the support and a margin."""
    if not edge > 0 or not np.isfinite(edge):
        raise DataError(f"a voxel of {edge} m: give its edge in metres, above zero")
    places = np.argwhere(support) - np.array(support.shape) // 2
    reach = np.abs(places @ basis).max(axis=0)[::-1]  # (z, y, x)
    nz, ny, nx = (int(2 * (np.ceil(r / edge) + MARGIN)) for r in reach)
    if float(nz) * ny * nx > MAX_VOXELS:
        raise DataError(
            f"{nz} x {ny} x {nx} voxels of {edge:.3g} m are above the limit of {MAX_VOXELS}: take larger ones"
        )
    return nz, ny, nx
