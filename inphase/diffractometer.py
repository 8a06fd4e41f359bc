"""Rocking scans on any diffractometer: circles, detector and beam -> momentum transfer of every voxel.

Laboratory frame: x outboard, y up, z along the beam (right-handed; CXI's and NeXus' McStas frame). A goniometer is an
ordered chain of rotation axes, as in NXtransformations, so that a beamline is a table entry (inphase.beamlines).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from inphase.errors import DataError
from inphase.geometry import Geometry, wavelength_m

Vector = tuple[float, float, float]
BEAM = np.array([0.0, 0.0, 1.0])
_LARGEST, _SMALLEST = (
    1e9,
    1e-9,
)  # of angles (deg), pixels, keV, metres: far beyond any instrument's, so that nothing overflows
_FLAT = 1e-4  # volume that the unit steps of a grid span; less is a plane


@dataclass(frozen=True)
class Circle:
    """One rotation of a goniometer.

    axis: its direction in the laboratory while all circles stand at zero; a positive angle turns right-handed about it.
    """

    name: str
    axis: Vector

    def rotation(self, angles_deg: NDArray[np.float64]) -> Rotation:
        """What the circle does to whatever it carries, at each of the angles (M,)."""
        return Rotation.from_rotvec(np.multiply.outer(np.deg2rad(angles_deg), _unit(np.asarray(self.axis, float))))


@dataclass(frozen=True)
class Diffractometer:
    """The circles of sample and detector, outermost (standing on the floor) first,
    and how the detector hangs on its arm.

    row, column: directions in which the frames' row and column index grow, all detector circles at zero; they need not
        be orthogonal to the beam (a tilted detector), but to each other.
    """

    name: str
    sample: tuple[Circle, ...]
    detector: tuple[Circle, ...]
    row: Vector = (0.0, -1.0, 0.0)
    column: Vector = (1.0, 0.0, 0.0)

    @property
    def circles(self) -> tuple[str, ...]:
        """Names of all circles."""
        return tuple(circle.name for circle in self.sample + self.detector)


@dataclass(frozen=True)
class RockingScan:
    """Frames taken while circles turn in equal steps: one of the sample, or several of sample and detector together.

    angles_deg: of every circle, at the frame N // 2. energy_kev: at that frame as well.
    steps_deg: the circles that turn, and by how much per frame. energy_step_kev: by how much the energy grows per
    frame.
    pixel_m: (row, column) pitch. distance_m: from the sample to the detector, along the nominal direction.
    direct_beam: (row, column), in pixels from the frames' centre pixel N // 2: where the direct beam falls, or would
        fall on the extended detector, with all detector circles at zero. (0, 0) takes the frames' centre to be at the
        nominal detector angles; a region of interest of a larger detector generally is not.

    Raises DataError for an angle that is missing, unknown or not finite, for impossible numbers, and where neither a
    circle of the sample nor the energy moves: a detector that turns about a crystal at rest records one surface, no
    volume.
    """

    diffractometer: Diffractometer
    energy_kev: float
    distance_m: float
    pixel_m: tuple[float, float]
    angles_deg: Mapping[str, float]
    steps_deg: Mapping[str, float]
    energy_step_kev: float = 0.0
    direct_beam: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        where, known = f"rocking scan at {self.diffractometer.name}", self.diffractometer.circles
        if missing := [name for name in known if name not in self.angles_deg]:
            raise DataError(
                f"{where}: the angle of {', '.join(missing)} is missing; each of {', '.join(known)} is needed"
            )
        if unknown := [name for name in (*self.angles_deg, *self.steps_deg) if name not in known]:
            raise DataError(f"{where}: has no circle {', '.join(unknown)}; it has {', '.join(known)}")
        numbers = (*self.angles_deg.values(), *self.steps_deg.values(), self.energy_step_kev, *self.direct_beam)
        lengths = (self.energy_kev, self.distance_m, *self.pixel_m)
        bounded = all(abs(number) <= _LARGEST for number in (*numbers, *lengths))
        if not bounded or min(lengths) < _SMALLEST or 0 in self.steps_deg.values():
            raise DataError(
                f"{where}: energy, distance and pixel size must be above zero, the steps not zero, and every angle "
                f"finite; found {self.energy_kev} keV, {self.distance_m} m, {self.pixel_m} m, steps "
                f"{dict(self.steps_deg)} deg"
            )
        sample = [circle.name for circle in self.diffractometer.sample]
        if self.energy_step_kev == 0 and not any(name in sample for name in self.steps_deg):
            moved = f"{', '.join(self.steps_deg)} of the detector" if self.steps_deg else "nothing"
            raise DataError(
                f"{where}: {moved} moves from frame to frame; a rocking curve turns a circle of the sample "
                f"({', '.join(sample)})"
            )

    def momentum_transfer(self, voxels: NDArray[np.floating]) -> NDArray[np.float64]:
        """Q = k_out - k_in, (..., 3) in 1/m, at voxels (..., 3): (frame, row, column) counted from N // 2.

        Exact: on the Ewald sphere, pixel by pixel. In the laboratory, as the crystal stands at frame N // 2: the
        crystal that has turned on since meets Q turned back.
        """
        at: NDArray[np.float64] = np.asarray(voxels, np.float64)
        flat = at.reshape(-1, 3)
        out = _unit(self._position(flat))
        q = self._k(flat[:, 0])[:, None] * (out - BEAM)
        result: NDArray[np.float64] = self._turned_back(flat[:, 0]).apply(q).reshape(at.shape)
        return result

    def geometry(self, peak: Vector = (0.0, 0.0, 0.0)) -> Geometry:
        """The uniform grid that touches the exact one at `peak`, (frame, row, column) counted from N // 2.

        At the peak, and near it, q is exact; docs/reference/geometry.md says how far off it is elsewhere. Raises
        DataError where the frames follow each other within the detector's own surface, so that the three steps span no
        volume.
        """
        at = np.asarray(peak, np.float64)[None]
        frame = at[:, 0]
        position, k = self._position(at)[0], float(self._k(frame)[0])
        out, length = _unit(position), float(np.linalg.norm(position))
        q = k * (out - BEAM)
        # d(p / |p|) = (dp - out (out . dp)) / |p|
        pixels = [k / length * (edge - out * (out @ edge)) for edge in self._pixel_edges(frame)[0]]
        sample, detector = self.diffractometer.sample, self.diffractometer.detector
        frames = k * np.cross(self._turning(detector, frame), out) - np.cross(self._turning(sample, frame), q)
        frames += self.energy_step_kev / self._energy_kev(frame)[0] * q
        back = self._turned_back(frame)
        steps = np.concatenate([back.apply(step[None]) for step in (frames, *pixels)])
        if abs(np.linalg.det(steps)) <= _FLAT * np.prod(np.linalg.norm(steps, axis=1)):
            raise DataError(
                f"rocking scan at {self.diffractometer.name}: what moves leads the frames along the detector's own "
                "surface, so that they span no volume of reciprocal space"
            )
        at_rest = self._chain(sample, np.zeros(1)).inv().as_matrix()[0]
        return Geometry(steps, back.apply(q[None])[0] - at[0] @ steps, at_rest)

    def two_theta_deg(self, row: float = 0.0, column: float = 0.0) -> float:
        """Scattering angle of a pixel counted from the frames' centre pixel, at the frame N // 2."""
        return float(np.degrees(np.arccos(_unit(self._position(np.array([[0.0, row, column]])))[0] @ BEAM)))

    def corrected_angles_deg(self, row: float = 0.0, column: float = 0.0) -> dict[str, float]:
        """Angles of the detector circles that would bring the direct-beam pixel to where this pixel is.

        The nearest ones to the nominal angles. DataError where no angles do (a single circle, a pixel off its plane).
        """
        circles = self.diffractometer.detector
        wanted = _unit(self._position(np.array([[0.0, row, column]])))[0]
        nominal = np.array([self.angles_deg[circle.name] for circle in circles])

        def off(angles: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.asarray(_combined(circles, list(angles[:, None]), 1).apply(BEAM[None])[0] - wanted)

        found = least_squares(off, nominal, xtol=1e-15, ftol=1e-15, gtol=1e-15)
        if np.linalg.norm(found.fun) > 1e-9:
            raise DataError(
                f"{self.diffractometer.name}: no angles of {', '.join(c.name for c in circles)} reach the pixel "
                f"({row:g}, {column:g}) from the centre"
            )
        return {circle.name: float(angle) for circle, angle in zip(circles, found.x, strict=True)}

    def _energy_kev(self, frames: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.energy_kev + self.energy_step_kev * frames

    def _k(self, frames: NDArray[np.float64]) -> NDArray[np.float64]:
        """(M,) 1/m at frames (M,) counted from N // 2, as everywhere below."""
        return 2 * np.pi / wavelength_m(1.0) * self._energy_kev(frames)

    def _turned_back(self, frames: NDArray[np.float64]) -> Rotation:
        """From the laboratory at each frame to the laboratory in which the crystal stands as at frame N // 2."""
        sample = self.diffractometer.sample
        return self._chain(sample, np.zeros(1)) * self._chain(sample, frames).inv()

    def _turning(self, circles: tuple[Circle, ...], frame: NDArray[np.float64]) -> NDArray[np.float64]:
        """(3,) angular velocity of what the innermost circle carries, rad per frame: the sum over the circles that
        turn, each about its axis as the outer ones have turned it.
        """
        total = np.zeros(3)
        for place, circle in enumerate(circles):
            axis = self._chain(circles[:place], frame).apply(_unit(np.asarray(circle.axis, float))[None])[0]
            total += np.deg2rad(self.steps_deg.get(circle.name, 0.0)) * axis
        return total

    def _pixel_edges(self, frames: NDArray[np.float64]) -> NDArray[np.float64]:
        """(M, 2, 3) metres: from a pixel to the next along the rows' and the columns' index, in the laboratory."""
        arm, described = self._chain(self.diffractometer.detector, frames), self.diffractometer
        at_zero = zip(self.pixel_m, (described.row, described.column), strict=True)
        return np.stack([arm.apply(pitch * _unit(np.asarray(way, float))[None]) for pitch, way in at_zero], axis=1)

    def _position(self, voxels: NDArray[np.float64]) -> NDArray[np.float64]:
        """(M, 3) metres from the sample to the pixels of voxels (M, 3)."""
        arm = self._chain(self.diffractometer.detector, voxels[:, 0])
        pixels = voxels[:, 1:] - np.asarray(self.direct_beam)
        off = np.einsum("mp,mpx->mx", pixels, self._pixel_edges(voxels[:, 0]))
        position: NDArray[np.float64] = self.distance_m * arm.apply(BEAM[None]) + off
        return position

    def _chain(self, circles: tuple[Circle, ...], frames: NDArray[np.float64]) -> Rotation:
        """Of all circles together, at each of the frames (M,)."""
        return _combined(
            circles, [self.angles_deg[c.name] + self.steps_deg.get(c.name, 0.0) * frames for c in circles], len(frames)
        )


def bragg_peak(counts: NDArray[np.generic], mask: NDArray[np.uint8] | None = None) -> Vector:
    """Where a rocking curve (frames, rows, columns) is brightest, in voxels from N // 2:
    what `RockingScan.geometry` wants.

    mask: 0 where valid, of the same shape. A single hot pixel, or one row or column of them, does not win: the sum over
    the frames passes a 3 x 3 median first.
    """
    image = np.zeros(counts.shape[1:])
    for number, frame in enumerate(counts):  # one at a time: a scan may fill half of the memory
        image += frame if mask is None else np.where(mask[number] == 0, frame, 0)
    row, column = np.unravel_index(int(ndimage.median_filter(image, size=3).argmax()), image.shape)
    around = (slice(None), *(slice(max(0, int(at) - 1), int(at) + 2) for at in (row, column)))
    near = counts[around] if mask is None else np.where(mask[around] == 0, counts[around], 0)
    brightest = int(np.median(near, axis=(1, 2)).argmax())
    f0, r0, c0 = (float(at - n // 2) for at, n in zip((brightest, int(row), int(column)), counts.shape, strict=True))
    return f0, r0, c0


def _combined(circles: tuple[Circle, ...], angles_deg: Sequence[NDArray[np.float64]], count: int) -> Rotation:
    """An outer circle carries the inner ones: v -> R_outer R_inner v. angles_deg: (count,) of each circle."""
    turned = Rotation.identity(count)
    for circle, angles in zip(circles, angles_deg, strict=True):
        turned = turned * circle.rotation(angles)
    return turned


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    unit: NDArray[np.float64] = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return unit
