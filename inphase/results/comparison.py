"""Two reconstructions of one crystal: how alike they are once everything that a pattern cannot tell is taken off."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inphase import ambiguity, metrics, resolution
from inphase.ambiguity import Alignment, align
from inphase.errors import DataError
from inphase.formats.reconstruction import Reconstruction
from inphase.geometry import Geometry
from inphase.resolution import Curve, Resolution, Shells
from inphase.results.source import Given, support_of, taken
from inphase.strain import crystal_voxels, strain

_MARGIN = 4  # voxels around both objects in the box in which they are compared
# relative difference below which the steps of two grids are those of one, half a voxel over 500, and two momentum
# transfers are one, of which a strain is the same to a thousandth
_SAME = 1e-3
_SPLINE: Final = 3
_SAME_REFLECTION: Final = 0.05  # |Q_B - Q_A| / |Q_A|: a rotation of 3 degrees, or a strain that no crystal has
_ROUNDS = 2  # the ramp between two objects is known once they lie on each other, and they lie better without it


@dataclass(frozen=True)
class Difference:
    """Root mean square and mean of B minus A over the voxels that count."""

    rms: float
    mean: float


@dataclass(frozen=True)
class Comparison:
    """What `compare` found. A is the reference; both lie on one grid, without their ramps.

    a, b: (n0, n1, n2) complex64, the phase of either about zero, b on the scale of a. inside_a, inside_b: bool.
    alignment: how B came onto A; its score is the complex correlation |sum conj(a) b| / (|a| |b|).
    ramp: radians per voxel of that grid: the phase gradient of B beyond that of A.
    ssim: structural similarity of the amplitudes. overlap: voxels of both supports over those of either.
    counted: bool, the voxels whose phases and strains are compared: where both amplitudes reach 0.3 of their scale, for
        at the rim of a support a phase is that of noise.
    phase: radians. strain: of each along its own Q, None with `strain_reason`. lattice: (d_B - d_A) / d_A of the mean
        lattices, where both files tell Q.
    fsc: Fourier shell correlation of the two. resolution: where it falls below half a bit.
    geometry: of the common grid, None where a file does not tell. notes: what was assumed.
    """

    source_a: str
    source_b: str
    a: NDArray[np.complex64]
    b: NDArray[np.complex64]
    inside_a: NDArray[np.bool_]
    inside_b: NDArray[np.bool_]
    counted: NDArray[np.bool_]
    alignment: Alignment
    ramp: tuple[float, ...]
    ssim: float
    overlap: float
    phase: Difference
    strain: Difference | None
    strain_reason: str | None
    lattice: float | None
    fsc: Curve
    resolution: Resolution
    geometry: Geometry | None
    notes: tuple[str, ...]
    strain_a: NDArray[np.float32] | None
    strain_b: NDArray[np.float32] | None

    @property
    def correlation(self) -> float:
        """|sum conj(a) b| / (|a| |b|), 0 to 1."""
        return self.alignment.score

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """What is looked at of A, of B, and of B minus A, float32 on the common grid; NaN where it is not known.

        Amplitudes are on the scale of A (the 99.9th percentile within its support), phases in radians; strain only
        where both have one.
        """
        scale = float(np.percentile(np.abs(self.a[self.inside_a]), 99.9))
        amplitude_a, amplitude_b = ((np.abs(field) / scale).astype(np.float32) for field in (self.a, self.b))
        phase_a, phase_b = (
            np.where(inside, np.angle(field), np.nan).astype(np.float32)
            for field, inside in ((self.a, self.inside_a), (self.b, self.inside_b))
        )
        turn = np.where(self.counted, np.angle(self.b * np.conj(self.a)), np.nan).astype(np.float32)
        found = {
            "amplitude_a": amplitude_a,
            "amplitude_b": amplitude_b,
            "amplitude_difference": amplitude_b - amplitude_a,
            "phase_a": phase_a,
            "phase_b": phase_b,
            "phase_difference": turn,
        }
        if self.strain_a is not None and self.strain_b is not None:
            found |= {
                "strain_a": self.strain_a,
                "strain_b": self.strain_b,
                "strain_difference": self.strain_b - self.strain_a,
            }
        return found

    def to_builtins(self) -> dict[str, Any]:
        """The figures without the volumes, as JSON takes them."""
        found = self.resolution
        return {
            "a": self.source_a,
            "b": self.source_b,
            "correlation": self.correlation,
            "correlation_of_the_twin": self.alignment.score_other,
            "twin": self.alignment.twin,
            "twin_undecided": self.alignment.undecided,
            "shift_voxels": list(self.alignment.shift_voxels),
            "phase_offset": self.alignment.phase,
            "ramp": list(self.ramp),
            "ssim": self.ssim,
            "overlap": self.overlap,
            "phase_difference": {"rms": self.phase.rms, "mean": self.phase.mean},
            "strain_difference": None if self.strain is None else {"rms": self.strain.rms, "mean": self.strain.mean},
            "strain_reason": self.strain_reason,
            "lattice_difference": self.lattice,
            "resolution": {"criterion": found.criterion, "crossed": found.crossed, "metres": found.metres,
                           "voxels": found.voxels},
            "notes": list(self.notes),
        }  # fmt: skip


@dataclass(frozen=True)
class _Placed:
    """An object within its support, without its ramp and on its own.

    ramp: radians per voxel that were taken off. basis: (3, 3) metres, a row for each array axis, None where unknown.
    lattice: (3,) 1/m, Q and the mean gradient of the phase, None where unknown.
    """

    field: NDArray[np.complex64]
    inside: NDArray[np.bool_]
    ramp: NDArray[np.float64]
    basis: NDArray[np.float64] | None
    lattice: NDArray[np.float64] | None

    @classmethod
    def of(cls, found: Reconstruction) -> "_Placed":
        inside = support_of(found)
        alone = np.where(inside, found.object, 0).astype(np.complex64)
        flat, ramp = ambiguity.flattened(alone)
        basis = lattice = None
        if found.geometry is not None and alone.ndim == 3:
            basis = found.geometry.voxel_basis_m(alone.shape)
            if found.geometry.q_centre is not None:
                lattice = found.geometry.q_centre + np.asarray(ramp) @ np.linalg.inv(basis).T
        return cls(np.asarray(flat, np.complex64), inside, np.asarray(ramp), basis, lattice)


def compare(a: Given, b: Given) -> Comparison:
    """Compare reconstruction B with A, modulo twin, position, global phase and ramp.

    a, b: files or folders that `read_reconstruction` takes, or reconstructions. Where both tell their geometry they are
    compared on the finer of the two grids; where they tell how their patterns lie on measurements of one shape, on
    the finer of those; else on their voxels, which are then taken for equal. Raises DataError where
    one is empty, they differ in rank, or their frames differ.
    """
    first, second = taken(a), taken(b)
    _check(first, second)
    notes = [
        f"{found.source} has no support: it is taken where the amplitude is above a tenth of its largest"
        for found in (first, second)
        if found.support is None or not found.support.any()
    ]
    (one, two), metric = _on_their_grids([first, second])
    one, two, told = _on_one_grid(one, two)
    notes += told
    notes += _of_other_reflections(_transfer(first.geometry), _transfer(second.geometry))
    if not metric:
        notes.append("the geometry is unknown: the steps of the measurements that both tell are taken for equal")
    shape = _box(one.inside, two.inside)
    reference, inside_a = (_centred(volume, one.inside, shape) for volume in (one.field, one.inside))
    field, inside_b = (_centred(volume, two.inside, shape) for volume in (two.field, two.inside))
    b_on_a, inside_b, alignment, left = _aligned(field, inside_b, reference)
    b_on_a = b_on_a * np.float32(np.vdot(b_on_a, reference).real / np.vdot(b_on_a, b_on_a).real)
    both = inside_a & inside_b
    if not both.any():
        raise DataError(f"{first.source} and {second.source} have no voxel in common where they are most alike")
    geometry, transfers = None, [_transfer(each.geometry) for each in (first, second)]
    if one.basis is not None and metric:
        geometry = Geometry.of_voxels(one.basis, shape, transfers[0])
    counted = crystal_voxels(np.abs(reference), both) & crystal_voxels(np.abs(b_on_a), both)
    if not counted.any():
        raise DataError(f"{first.source} and {second.source} have no bright voxel in common where they are most alike")
    maps, reason = _strains((reference, b_on_a), counted, geometry, transfers)
    notes += [] if maps is None else _along(transfers)
    shells = Shells.of(shape, geometry)
    curve = resolution.fsc(reference, b_on_a, shells)
    threshold = resolution.half_bit(curve, float(both.mean()))
    turn = np.angle(b_on_a[counted] * np.conj(reference[counted]))
    return Comparison(
        source_a=first.source,
        source_b=second.source,
        a=reference,
        b=b_on_a,
        inside_a=inside_a,
        inside_b=inside_b,
        counted=counted,
        alignment=alignment,
        ramp=tuple(float(slope) for slope in two.ramp - one.ramp + left),
        ssim=metrics.ssim(b_on_a, reference, inside_b, inside_a),
        overlap=float(both.sum() / (inside_a | inside_b).sum()),
        phase=_difference(turn),
        strain=None if maps is None else _difference(maps[1] - maps[0]),
        strain_reason=reason,
        lattice=_lattice(one.lattice, two.lattice),
        fsc=curve,
        resolution=curve.resolution("half-bit", threshold),
        geometry=geometry,
        notes=tuple(notes),
        strain_a=None if maps is None else maps[0],
        strain_b=None if maps is None else maps[1],
    )


def _on_their_grids(found: Sequence[Reconstruction]) -> tuple[list[_Placed], bool]:
    """Each with the basis of its voxels, and whether those are known in metres.

    Where a geometry is unknown, but all tell how their patterns lie on measurements of one shape, the bases follow from
    the steps of the measurement: those that one of them tells, else one of any length along each axis.
    """
    placed = [_Placed.of(each) for each in found]
    ways = [each.placement for each in found if each.placement is not None]
    if all(each.basis is not None for each in placed) or len(ways) < len(found) or len({w.shape_in for w in ways}) > 1:
        return placed, True
    known = [
        each.geometry.q_steps / np.array(way.bins)[:, None]
        for each, way in zip(found, ways, strict=True)
        if each.geometry is not None and each.object.ndim == 3
    ]
    measured = Geometry(known[0] if known else np.eye(len(ways[0].bins)))
    bases = (way.voxel_basis(measured) for way in ways)
    return [replace(each, basis=basis) for each, basis in zip(placed, bases, strict=True)], bool(known)


def _transfer(geometry: Geometry | None) -> NDArray[np.float64] | None:
    """Q of a geometry, 1/m."""
    return None if geometry is None else geometry.q_centre


def _of_other_reflections(a: NDArray[np.float64] | None, b: NDArray[np.float64] | None) -> list[str]:
    """A word where two momentum transfers are not those of one reflection of one crystal at rest."""
    if a is None or b is None:
        return []
    apart = float(np.linalg.norm(b - a) / np.linalg.norm(a))
    if not apart > _SAME_REFLECTION:
        return []
    return [
        f"the momentum transfers lie {apart:.0%} apart: of another reflection the phase is another projection of the "
        "displacement, and of another orientation the axes are those of another view"
    ]


def _check(first: Reconstruction, second: Reconstruction) -> None:
    if first.object.ndim != second.object.ndim:
        raise DataError(
            f"{first.source} has {first.object.ndim} axes and {second.source} has {second.object.ndim}: a volume and "
            "an image cannot be compared"
        )
    if first.frame != second.frame:
        raise DataError(
            f"{first.source} is in the frame {first.frame} and {second.source} in the frame {second.frame}: bring both "
            "into one with inphase orthogonalise"
        )


def _on_one_grid(one: _Placed, two: _Placed) -> tuple[_Placed, _Placed, list[str]]:
    """Both on the finer grid of the two, and a word on what was done."""
    if one.basis is None or two.basis is None:
        return one, two, ["a geometry is unknown: the voxels of both are taken for equally large"]
    if _same(one.basis, two.basis):
        return one, two, []
    if abs(np.linalg.det(two.basis)) < abs(np.linalg.det(one.basis)):
        return _resampled(one, two.basis), two, ["A was interpolated onto the finer grid of B"]
    return one, _resampled(two, one.basis), ["B was interpolated onto the finer grid of A"]


def _same(one: NDArray[np.float64], two: NDArray[np.float64]) -> bool:
    return bool(np.abs(one - two).max() <= _SAME * np.abs(one).max())


def _resampled(placed: _Placed, basis: NDArray[np.float64]) -> _Placed:
    """The object on another grid of voxels, in a box that holds it."""
    assert placed.basis is not None
    to_index = (basis @ np.linalg.inv(placed.basis)).T  # of a step of the new grid, in voxels of the old one
    places = np.argwhere(placed.inside) - np.array(placed.inside.shape) // 2
    reach = np.abs(places @ np.linalg.inv(to_index).T).max(axis=0)
    shape = tuple(int(2 * (np.ceil(r) + _MARGIN)) for r in reach)
    offset = np.array(placed.inside.shape) // 2 - to_index @ (np.array(shape) // 2)
    field = ndimage.affine_transform(placed.field, to_index, offset, shape, order=_SPLINE)
    share = ndimage.affine_transform(placed.inside.astype(np.float32), to_index, offset, shape, order=1)
    ramp = basis @ np.linalg.inv(placed.basis) @ placed.ramp
    return _Placed(np.asarray(field, np.complex64), share >= 0.5, ramp, basis, placed.lattice)


def _box(*insides: NDArray[np.bool_]) -> tuple[int, ...]:
    """Even sides of a box in which either object has room to be moved a little."""
    sides = np.max([np.ptp(np.argwhere(inside), axis=0) + 1 for inside in insides], axis=0)
    return tuple(int(side + side % 2 + 2 * _MARGIN) for side in sides)


def _centred(volume: NDArray[Any], inside: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[Any]:
    """What lies around the middle of the support's box, in the middle of a box of that shape."""
    corners = np.argwhere(inside)
    middle = (corners.min(axis=0) + corners.max(axis=0) + 1) // 2
    made = np.zeros(shape, volume.dtype)
    begin = middle - np.array(shape) // 2
    source = tuple(slice(max(0, b), min(n, b + side)) for b, n, side in zip(begin, volume.shape, shape, strict=True))
    target = tuple(slice(s.start - b, s.stop - b) for s, b in zip(source, begin, strict=True))
    made[target] = volume[source]
    return made


def _aligned(
    field: NDArray[np.complex64], inside: NDArray[np.bool_], reference: NDArray[np.complex64]
) -> tuple[NDArray[np.complex64], NDArray[np.bool_], Alignment, NDArray[np.float64]]:
    """B on A, its support moved along, how, and the ramp that was left between them."""
    ramp = np.zeros(field.ndim)
    for _ in range(_ROUNDS):
        aligned, alignment = align(np.asarray(ambiguity.unramped(field, ramp.tolist()), np.complex64), reference)
        left = np.array(ambiguity.mean_gradient(aligned * np.conj(reference)))
        ramp = ramp + left  # conj(o(-r)) has the gradient of o at -r: the twin leaves the sign
    aligned, alignment = align(np.asarray(ambiguity.unramped(field, ramp.tolist()), np.complex64), reference)
    if alignment.twin:
        inside = ambiguity.mirrored(inside)
    moved = np.roll(inside, [round(s) for s in alignment.shift_voxels], axis=tuple(range(inside.ndim)))
    return aligned, moved, alignment, ramp


def _strains(
    fields: Sequence[NDArray[np.complex64]],
    both: NDArray[np.bool_],
    geometry: Geometry | None,
    transfers: Sequence[NDArray[np.float64] | None],
) -> tuple[tuple[NDArray[np.float32], NDArray[np.float32]] | None, str | None]:
    """The strain of A and of B on their common grid, each along its own momentum transfer, or why there is none.

    Where one of them tells no transfer, that of the other is taken.
    """
    known = [transfer for transfer in transfers if transfer is not None]
    if geometry is None or not known:
        return None, "the geometry of A is unknown, or the momentum transfer of both"
    own = (known[0] if transfer is None else transfer for transfer in transfers)
    try:
        one, two = (
            strain(field, both, replace(geometry, q_centre=q)).strain for field, q in zip(fields, own, strict=True)
        )
    except DataError as error:
        return None, str(error)
    return (one, two), None


def _along(transfers: Sequence[NDArray[np.float64] | None]) -> list[str]:
    """A word where the strains of A and B are not along one momentum transfer that both tell."""
    a, b = transfers
    if a is None or b is None:
        return [f"the momentum transfer of {'A' if a is None else 'B'} is unknown, and taken for that of the other"]
    if np.linalg.norm(b - a) <= _SAME * np.linalg.norm(a):
        return []
    lengths = np.linalg.norm(a), np.linalg.norm(b)
    turned = np.degrees(np.arctan2(np.linalg.norm(np.cross(a, b)), a @ b))
    return [
        "each strain is along the momentum transfer of its own file: that of B is "
        f"{lengths[1] / lengths[0]:.4f} times as long as that of A, and {turned:.2f} degrees away from it"
    ]


def _difference(values: NDArray[np.floating]) -> Difference:
    """Of what is known."""
    return Difference(float(np.sqrt(np.nanmean(values.astype(np.float64) ** 2))), float(np.nanmean(values)))


def _lattice(a: NDArray[np.float64] | None, b: NDArray[np.float64] | None) -> float | None:
    """(d_b - d_a) / d_a, d = 2 pi / |G|."""
    if a is None or b is None:
        return None
    return float(np.linalg.norm(a) / np.linalg.norm(b) - 1)


def pairwise(found: Sequence[Reconstruction]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(n, n): the correlation of every reconstruction with every other, and whether one is the other's twin.

    Each pair is brought onto each other without its ramps. Raises DataError where one is empty, or lies in another
    frame than the first.
    """
    for each in found:
        _check(found[0], each)
    placed, _ = _on_their_grids(found)
    basis = placed[0].basis
    placed = [
        one if basis is None or one.basis is None or _same(basis, one.basis) else _resampled(one, basis)
        for one in placed
    ]
    shape = _box(*(one.inside for one in placed))
    fields = [_centred(one.field, one.inside, shape) for one in placed]
    scores, twins = np.eye(len(found)), np.zeros((len(found), len(found)), bool)
    for i, field in enumerate(fields):
        for j, other in enumerate(fields[:i]):
            _, alignment = align(field, other)
            scores[i, j] = scores[j, i] = alignment.score
            twins[i, j] = twins[j, i] = alignment.twin
    return scores, twins
