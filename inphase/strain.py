"""From the phase of a reconstruction to displacement, strain and d-spacing.

With F(q) = sum o exp(-i q.r) (inphase.fourier) and planes displaced by u, o(r) = s(r) exp(-i [G.u(r) + (Q - G).r]): Q
is the momentum transfer at the array's DC voxel, G the reference reciprocal lattice vector. Therefore, in the
laboratory frame,
    phase            = -G.u                              for Q = G
    local lattice    G(r) = Q + grad phase               whatever reference is chosen
    d(r)             = 2 pi / |G(r)|
    strain           = d u_Q / d x_Q = -(q . grad phase) / |Q|,  q = Q / |Q|,  u_Q = u . q,  x_Q = r . q

The mean gradient of the phase (its ramp) says how far the Bragg peak's centre of mass lies from the DC voxel. Without
it the reference is the crystal's own mean lattice; with it, the lattice at Q. Robinson & Harder, Nat. Mater. 8, 291
(2009).

Strain and d-spacing need no unwrapping: the gradient is taken from the phase differences of neighbours, each wrapped
into (-pi, pi], as Hofmann et al., Phys. Rev. Mater. 4, 013801 (2020) do by their phase offsets. They are right wherever
the phase changes by less than pi from voxel to voxel, so everywhere but at a dislocation's core. The displacement is
unwrapped (Herraez et al., Appl. Opt. 41, 7437 (2002)); beside a dislocation it has a cut that no unwrapping can avoid.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.restoration import unwrap_phase

from inphase import ambiguity
from inphase.errors import DataError
from inphase.geometry import Geometry

ISOSURFACE = 0.3  # of the largest amplitude: below, the phase of a surface voxel is mostly that of noise


@dataclass(frozen=True)
class Strain:
    """Maps of one reflection, float32 (N0, N1, N2) on the grid of the object; NaN outside `inside`.

    inside: bool, the voxels that count: within the support and not below the isosurface.
    displacement_m: metres along Q, without the ramp; arg sum |o| o is zero in it. Between separate pieces it is known
        up to whole lattice planes.
    strain: along Q, without the ramp: relative to the crystal's mean lattice.
    strain_with_ramp: relative to the lattice at q_per_m.
    d_spacing_m: metres, of the reflecting planes; the ramp belongs to it.
    ramp: radians per voxel and axis, the phase gradient that was removed (inphase.ambiguity.Canonical.ramp).
    q_per_m: (3,) 1/m, Q at the array's DC voxel.
    """

    inside: NDArray[np.bool_]
    displacement_m: NDArray[np.float32]
    strain: NDArray[np.float32]
    strain_with_ramp: NDArray[np.float32]
    d_spacing_m: NDArray[np.float32]
    ramp: tuple[float, ...]
    q_per_m: NDArray[np.float64]

    def cubic_lattice_parameter_m(self, hkl: tuple[int, int, int]) -> NDArray[np.float32]:
        """a = d sqrt(h^2 + k^2 + l^2) of a cubic crystal, metres."""
        if hkl == (0, 0, 0):
            raise DataError("the reflection (0, 0, 0) has no planes: name the Miller indices, such as (1, 1, 1)")
        lattice: NDArray[np.float32] = self.d_spacing_m * np.float32(np.linalg.norm(hkl))
        return lattice


def strain(
    obj: NDArray[np.complexfloating],
    support: NDArray[np.bool_],
    geometry: Geometry,
    *,
    isosurface: float = ISOSURFACE,
) -> Strain:
    """Displacement, strain and d-spacing of a centred object (N0, N1, N2) with the geometry of its grid.

    support: of the retrieval; a voxel counts where it also has at least `isosurface` of the amplitude's 99.9th
        percentile within the support. Its surface is where the maps end: gradients there are one-sided and never reach
        across.
    The sign is that of inphase.fourier; conjugate what a program of the other sign (cohere) has made. The twin of an
    object gives the mirrored strain and the mirrored, negated displacement: which one is real, geometry and facets must
    say.

    Raises DataError where Q is unknown or nothing is left inside.
    """
    q = geometry.q_centre
    if q is None:
        raise DataError(
            "the momentum transfer at the centre (q_centre) is unknown: without it a phase is no displacement"
        )
    length = float(np.linalg.norm(q))
    if not length > 0:
        raise DataError("q_centre is zero: a pattern around the direct beam has no reflecting planes, so no strain")
    inside = crystal_voxels(np.abs(obj), support, isosurface)
    flat, ramp = ambiguity.flattened(obj)
    (box,) = ndimage.find_objects(inside.astype(np.uint8))  # most of the grid is empty
    gradient = phase_gradient(flat[box], inside[box])
    # rows b_a with b_a . r_c = delta_ac, so that grad phase = sum_a (difference along a) b_a
    dual = np.linalg.inv(geometry.voxel_basis_m(_shape(obj))).T
    along_q = -(dual @ q) / length**2
    slope = np.asarray(ramp)
    lattice = np.einsum("a...,ac->c...", gradient + slope.reshape(3, 1, 1, 1), dual) + q.reshape(3, 1, 1, 1)
    relative = np.einsum("a...,a->...", gradient, along_q)

    def placed(values: NDArray[np.float64]) -> NDArray[np.float32]:
        whole = np.full(obj.shape, np.nan, np.float32)
        whole[box] = values
        return whole

    return Strain(
        inside=inside,
        displacement_m=placed(-unwrapped(flat[box], inside[box]) / length),
        strain=placed(relative),
        strain_with_ramp=placed(relative + slope @ along_q),
        d_spacing_m=placed(2 * np.pi / np.linalg.norm(lattice, axis=0)),
        ramp=ramp,
        q_per_m=q,
    )


def crystal_voxels(
    amplitude: NDArray[np.floating], support: NDArray[np.bool_], isosurface: float = ISOSURFACE
) -> NDArray[np.bool_]:
    """Voxels of the support with at least `isosurface` of the amplitude's 99.9th percentile there.
    DataError if none.
    """
    if not 0 <= isosurface < 1:
        raise DataError(f"the isosurface is a share of the largest amplitude, from 0 to below 1, not {isosurface}")
    level = float(np.percentile(amplitude[support], 99.9)) if support.any() else 0.0
    if not level > 0 or not np.isfinite(level):
        raise DataError("the object is empty or not finite within its support: it has no strain")
    inside: NDArray[np.bool_] = support & (amplitude >= isosurface * level)
    return inside


def phase_gradient(obj: NDArray[np.complexfloating], inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(ndim, ...) radians per voxel along each axis: mean of the wrapped differences to the neighbours inside.

    One-sided at the surface; NaN outside, and where neither neighbour along an axis is inside.
    """
    gradient = np.full((obj.ndim, *obj.shape), np.nan)
    for axis in range(obj.ndim):
        values, known = np.moveaxis(obj, axis, 0), np.moveaxis(inside, axis, 0)
        both = known[1:] & known[:-1]
        difference = np.where(both, np.angle(values[1:] * np.conj(values[:-1])), 0.0)
        total, count = np.zeros(values.shape), np.zeros(values.shape)
        for part in (slice(None, -1), slice(1, None)):
            total[part] += difference
            count[part] += both
        np.divide(total, count, out=np.moveaxis(gradient[axis], axis, 0), where=count > 0)
    return gradient


def unwrapped(obj: NDArray[np.complexfloating], inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Phase in radians without wraps, NaN outside; each piece of `inside` by itself, weighted mean within (-pi, pi].

    Raises DataError where a voxel inside is not finite, of which the unwrapping would never end.
    """
    if not np.isfinite(obj[inside]).all():
        raise DataError("the object is not finite within the crystal: it has no phase to unwrap")
    phase = np.full(obj.shape, np.nan)
    pieces, _ = ndimage.label(inside)
    within = (slice(1, -1),) * obj.ndim
    for piece, box in enumerate(ndimage.find_objects(pieces), start=1):
        voxels = pieces[box] == piece
        # the margin keeps thin pieces as many-dimensional as they are
        wrapped = np.ma.masked_array(
            np.pad(np.angle(obj[box]).astype(np.float64), 1), np.pad(~voxels, 1, constant_values=True)
        )
        smooth = np.asarray(unwrap_phase(wrapped, rng=0).filled(np.nan))[within][voxels]  # type: ignore[no-untyped-call]
        weight = np.abs(obj[box])[voxels]
        mean = float(weight @ smooth / weight.sum())
        phase[box][voxels] = smooth - 2 * np.pi * np.ceil((mean - np.pi) / (2 * np.pi))
    return phase


def _shape(obj: NDArray[np.generic]) -> tuple[int, int, int]:
    if obj.ndim != 3:
        raise DataError(f"strain needs a three-dimensional object, this one has the shape {obj.shape}")
    n0, n1, n2 = obj.shape
    return n0, n1, n2
