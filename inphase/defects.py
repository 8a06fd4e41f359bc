"""Where the phase winds: residues, the dislocation lines that they form, and what of their Burgers vectors is seen.

One reflection sees b . Q alone. With the phase -G.u (`inphase.strain`), u gains b on a right-handed circuit about a
dislocation line, so the phase gains -G.b = -2 pi n there. Which part of a full Burgers vector that is, only three
reflections tell. Robinson & Harder, Nat. Mater. 8, 291 (2009); Clark et al., Nat. Mater. 14, 780 (2015).
"""

from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inphase.errors import DataError
from inphase.geometry import Geometry
from inphase.orthogonal import rotation_to

SHORTEST: Final = 6  # residues of a line that is called a dislocation; noise at a surface makes shorter ones
CORE: Final = 2  # voxels that are closed around a core, where the amplitude is low
OFFSETS: Final = 3
Vector = tuple[float, float, float]
T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True)
class Line:
    """Place and direction of a dislocation in one frame: metres, and a unit vector; in voxels for the array's axes."""

    place: Vector
    direction: Vector
    burgers_along_q: Vector


@dataclass(frozen=True)
class Dislocation:
    """A line of residues from surface to surface.

    residues: how many. winding: turns of 2 pi of -phase on a right-handed circuit about `direction`; the direction is
        the one whose largest component in the laboratory is positive.
    burgers_along_q_m: b . Q / |Q| in metres, winding times 2 pi / |Q|.
    detector: the axes of the array, in voxels from N // 2; laboratory, crystal: metres. The crystal's is None where its
        frame is unknown.
    """

    residues: int
    winding: int
    burgers_along_q_m: float
    detector: Line
    laboratory: Line
    crystal: Line | None


def residues(obj: NDArray[np.complexfloating], inside: NDArray[np.bool_]) -> NDArray[np.int8]:
    """(3, N0, N1, N2) turns of the phase, -1, 0 or 1, around the square of four voxels normal to each axis.

    Entry (a, i, j, k) is that of the square that begins at voxel (i, j, k), its sense right-handed about array axis a.
    Squares with a voxel that is not inside are 0.
    """
    found = np.zeros((3, *obj.shape), np.int8)
    phase = np.angle(obj)
    for normal in range(3):
        first, second = (normal + 1) % 3, (normal + 2) % 3
        corners = [phase, _next(phase, first), _next(_next(phase, first), second), _next(phase, second)]
        known = inside & _next(inside, first) & _next(_next(inside, first), second) & _next(inside, second)
        turns = sum(_wrapped(corners[(c + 1) % 4] - corners[c]) for c in range(4)) / (2 * np.pi)
        for axis in (first, second):  # what `_next` took from the other end
            known[tuple(-1 if a == axis else slice(None) for a in range(3))] = False
        found[normal] = np.where(known, np.rint(turns), 0)
    return found


def dislocations(
    obj: NDArray[np.complexfloating], inside: NDArray[np.bool_], geometry: Geometry
) -> tuple[tuple[Dislocation, ...], int]:
    """The dislocation lines of an object (N0, N1, N2), the longest first, and how many residues there are in all.

    inside: the voxels of the crystal; what is dark around a core is closed. geometry: of the grid, with Q. Raises
    DataError where Q is unknown.
    """
    if geometry.q_centre is None:
        raise DataError("the momentum transfer (q_centre) is unknown: a winding of the phase is no displacement")
    closed = ndimage.binary_closing(np.pad(inside, CORE), iterations=CORE)[(slice(CORE, -CORE),) * 3]
    turns = residues(obj, closed)
    labels, count = ndimage.label((turns != 0).any(axis=0), np.ones((3, 3, 3)))
    lines = [_line(turns, labels == label, geometry) for label in range(1, count + 1)]
    found = sorted((line for line in lines if line is not None), key=lambda line: -line.residues)
    return tuple(found), int(np.abs(turns).sum())


def _line(turns: NDArray[np.int8], here: NDArray[np.bool_], geometry: Geometry) -> Dislocation | None:
    """One connected set of residues; None where it is short, or a loop that has no direction."""
    assert geometry.q_centre is not None
    shape = here.shape
    basis = geometry.voxel_basis_m((shape[0], shape[1], shape[2]))
    count = int(np.abs(turns[:, here]).sum())
    run = turns[:, here].sum(axis=1).astype(np.float64)  # along the array's axes, from one end to the other
    if count < SHORTEST or np.abs(run).max() < SHORTEST / 2:
        return None
    normal, *index = np.nonzero(turns * here)
    # a square lies half a voxel along the two axes that span it
    places = np.stack(index, axis=1) + 0.5 * (1 - np.eye(3))[normal] - np.array(shape) // 2
    middle = places.mean(axis=0)
    along = run @ basis
    # a right-handed sense in the array is left-handed in the laboratory where the array's axes are
    phase_turns = int(np.sign(np.linalg.det(basis)))
    if along[np.abs(along).argmax()] < 0:
        along, run, phase_turns = -along, -run, -phase_turns
    length = float(np.linalg.norm(geometry.q_centre))
    size = -phase_turns * 2 * np.pi / length
    burgers = size * geometry.q_centre / length
    crystal = None
    if np.linalg.norm(geometry.q_centre) > 0:
        turn = rotation_to("crystal", geometry)
        crystal = Line(_vector(turn @ (middle @ basis)), _unit(turn @ along), _vector(turn @ burgers))
    return Dislocation(
        residues=count,
        winding=-phase_turns,
        burgers_along_q_m=size,
        detector=Line(_vector(middle), _unit(run), _vector(burgers @ np.linalg.inv(basis))),
        laboratory=Line(_vector(middle @ basis), _unit(along), _vector(burgers)),
        crystal=crystal,
    )


def offsets_disagree(obj: NDArray[np.complexfloating], inside: NDArray[np.bool_]) -> float:
    """Share of the voxels inside beside which most of three phase offsets give another difference than the wrapped one.

    Where the phase changes by less than 2 pi / 3 from voxel to voxel at most one of three offsets wraps between them,
    and the others agree on the difference: so other programs find the strain beside defects (Hofmann et al., Phys. Rev.
    Mater. 4, 013801 (2020)). Where two wrap the phase is too steep, or noise, and no strain there is to be believed.
    """
    phase = np.angle(obj)
    wrong = np.zeros(obj.shape, bool)
    for axis in range(obj.ndim):
        both = inside & _next(inside, axis)
        both[tuple(-1 if a == axis else slice(None) for a in range(obj.ndim))] = False
        true = _wrapped(_next(phase, axis) - phase)
        wraps = np.zeros(obj.shape, np.int8)
        for k in range(OFFSETS):
            turned = np.mod(phase + 2 * np.pi * k / OFFSETS, 2 * np.pi)
            wraps += np.abs(_next(turned, axis) - turned - true) > 1
        steep = both & (2 * wraps > OFFSETS)
        wrong |= steep | np.roll(steep, 1, axis)
    return float(wrong[inside].mean())


def _next(array: NDArray[T], axis: int) -> NDArray[T]:
    moved: NDArray[T] = np.roll(array, -1, axis)
    return moved


def _wrapped(difference: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.asarray(difference - 2 * np.pi * np.round(difference / (2 * np.pi)))


def _vector(values: NDArray[np.float64]) -> Vector:
    a, b, c = (float(value) for value in values)
    return a, b, c


def _unit(values: NDArray[np.float64]) -> Vector:
    return _vector(values / np.linalg.norm(values))
