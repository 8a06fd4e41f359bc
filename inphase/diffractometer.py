"""Rocking scans on any diffractometer: circles, detector and beam -> momentum transfer of every voxel.

Laboratory frame: x outboard, y up, z along the beam (right-handed; CXI's and NeXus' McStas frame). A goniometer is an
ordered chain of rotation axes, as in NXtransformations, so that a beamline is a table entry (inphase.beamlines).
"""

from collections.abc import Mapping
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


@dataclass(frozen=True)
class Circle:
    """One rotation of a goniometer.

    axis: its direction in the laboratory while all circles stand at zero; a positive angle turns right-handed about it.
    """

    name: str
    axis: Vector

    def rotation(self, angle_deg: float) -> Rotation:
        """What the circle does to whatever it carries."""
        unit = np.asarray(self.axis, float) / np.linalg.norm(self.axis)
        return Rotation.from_rotvec(np.deg2rad(angle_deg) * unit)


@dataclass(frozen=True)
class Diffractometer:
    """The circles of sample and detector, outermost (standing on the floor) first, and how the detector hangs on its arm.

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
    """Frames taken while one circle of the sample turns in equal steps.

    angles_deg: of every circle; for the scanned one its angle at the frame N // 2.
    scanned, step_deg: the circle that turns, and by how much per frame.
    pixel_m: (row, column) pitch. distance_m: from the sample to the detector, along the nominal direction.
    direct_beam: (row, column), in pixels from the frames' centre pixel N // 2: where the direct beam falls, or would fall
        on the extended detector, with all detector circles at zero. (0, 0) takes the frames' centre to be at the nominal
        detector angles; a region of interest of a larger detector generally is not.

    Raises DataError for an angle that is missing, unknown or not finite, and for impossible numbers.
    """

    diffractometer: Diffractometer
    energy_kev: float
    distance_m: float
    pixel_m: tuple[float, float]
    angles_deg: Mapping[str, float]
    scanned: str
    step_deg: float
    direct_beam: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        where, known = f"rocking scan at {self.diffractometer.name}", self.diffractometer.circles
        if missing := [name for name in known if name not in self.angles_deg]:
            raise DataError(
                f"{where}: the angle of {', '.join(missing)} is missing; each of {', '.join(known)} is needed"
            )
        if unknown := [name for name in self.angles_deg if name not in known]:
            raise DataError(f"{where}: has no circle {', '.join(unknown)}; it has {', '.join(known)}")
        if self.scanned not in [circle.name for circle in self.diffractometer.sample]:
            raise DataError(
                f"{where}: '{self.scanned}' is no circle of the sample, so turning it makes no rocking curve"
            )
        numbers = (*self.angles_deg.values(), self.step_deg, *self.direct_beam)
        lengths = (self.energy_kev, self.distance_m, *self.pixel_m)
        if not np.isfinite([*numbers, *lengths]).all() or min(lengths) <= 0 or self.step_deg == 0:
            raise DataError(
                f"{where}: energy, distance and pixel size must be above zero, the step not zero, and every angle finite; "
                f"found {self.energy_kev} keV, {self.distance_m} m, {self.pixel_m} m, step {self.step_deg} deg"
            )

    def momentum_transfer(self, voxels: NDArray[np.floating]) -> NDArray[np.float64]:
        """Q = k_out - k_in, (..., 3) in 1/m, at voxels (..., 3): (frame, row, column) counted from N // 2.

        Exact: on the Ewald sphere, pixel by pixel. In the laboratory, as the crystal stands at frame N // 2: the crystal
        that has turned on by `angle` meets Q turned back by it.
        """
        at: NDArray[np.float64] = np.asarray(voxels, np.float64)
        q = self._k * (_unit(self._position(at[..., 1:])) - BEAM)
        back = np.multiply.outer(-np.deg2rad(self.step_deg) * at[..., 0], self._rocking_axis)
        turned = Rotation.from_rotvec(back.reshape(-1, 3)).apply(q.reshape(-1, 3))
        result: NDArray[np.float64] = turned.reshape(at.shape)
        return result

    def geometry(self, peak: Vector = (0.0, 0.0, 0.0)) -> Geometry:
        """The uniform grid that touches the exact one at `peak`, (frame, row, column) counted from N // 2.

        At the peak, and near it, q is exact; docs/reference/geometry.md says how far off it is elsewhere.
        """
        position = self._position(np.asarray(peak[1:]))
        out, length = _unit(position), float(np.linalg.norm(position))
        q = self.momentum_transfer(np.asarray(peak))
        back = Rotation.from_rotvec(-np.deg2rad(self.step_deg) * peak[0] * self._rocking_axis)
        # d(p / |p|) = (dp - out (out . dp)) / |p|
        pixels = [self._k / length * back.apply(edge - out * (out @ edge)) for edge in self._pixel_edges]
        steps = np.stack([-np.deg2rad(self.step_deg) * np.cross(self._rocking_axis, q), *pixels])
        sample = self._chain(self.diffractometer.sample).inv().as_matrix()
        return Geometry(steps, q - np.asarray(peak) @ steps, sample)

    def two_theta_deg(self, row: float = 0.0, column: float = 0.0) -> float:
        """Scattering angle of a pixel counted from the frames' centre pixel."""
        return float(np.degrees(np.arccos(_unit(self._position(np.array([row, column]))) @ BEAM)))

    def corrected_angles_deg(self, row: float = 0.0, column: float = 0.0) -> dict[str, float]:
        """Angles of the detector circles that would bring the direct-beam pixel to where this pixel is.

        The nearest ones to the nominal angles. DataError where no angles do (a single circle, a pixel off its plane).
        """
        circles = self.diffractometer.detector
        wanted = _unit(self._position(np.array([row, column])))
        nominal = np.array([self.angles_deg[circle.name] for circle in circles])

        def off(angles: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.asarray(_combined(circles, angles).apply(BEAM) - wanted)

        found = least_squares(off, nominal, xtol=1e-15, ftol=1e-15, gtol=1e-15)
        if np.linalg.norm(found.fun) > 1e-9:
            raise DataError(
                f"{self.diffractometer.name}: no angles of {', '.join(c.name for c in circles)} reach the pixel "
                f"({row:g}, {column:g}) from the centre"
            )
        return {circle.name: float(angle) for circle, angle in zip(circles, found.x, strict=True)}

    @property
    def _k(self) -> float:
        return 2 * np.pi / wavelength_m(self.energy_kev)

    @property
    def _rocking_axis(self) -> NDArray[np.float64]:
        """Unit axis of the scanned circle in the laboratory: turned by the circles that carry it, and by those alone."""
        names = [circle.name for circle in self.diffractometer.sample]
        place = names.index(self.scanned)
        carried = self._chain(self.diffractometer.sample[:place])
        return np.asarray(carried.apply(_unit(np.asarray(self.diffractometer.sample[place].axis, float))))

    @property
    def _pixel_edges(self) -> NDArray[np.float64]:
        """(2, 3) metres: from a pixel to the next along the rows' and the columns' index, in the laboratory."""
        at_zero = [
            pitch * _unit(np.asarray(direction, float))
            for pitch, direction in zip(
                self.pixel_m, (self.diffractometer.row, self.diffractometer.column), strict=True
            )
        ]
        return np.asarray(self._chain(self.diffractometer.detector).apply(np.stack(at_zero)))

    def _position(self, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
        """(..., 3) metres from the sample to pixels (..., 2) counted from the frames' centre pixel."""
        nominal = self.distance_m * self._chain(self.diffractometer.detector).apply(BEAM)
        position: NDArray[np.float64] = nominal + (pixels - np.asarray(self.direct_beam)) @ self._pixel_edges
        return position

    def _chain(self, circles: tuple[Circle, ...]) -> Rotation:
        return _combined(circles, np.array([self.angles_deg[circle.name] for circle in circles]))


def bragg_peak(counts: NDArray[np.generic], mask: NDArray[np.uint8] | None = None) -> Vector:
    """Where a rocking curve (frames, rows, columns) is brightest, in voxels from N // 2: what `RockingScan.geometry` wants.

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


def _combined(circles: tuple[Circle, ...], angles_deg: NDArray[np.float64]) -> Rotation:
    """An outer circle carries the inner ones: v -> R_outer R_inner v."""
    turned = Rotation.identity()
    for circle, angle in zip(circles, angles_deg, strict=True):
        turned = turned * circle.rotation(float(angle))
    return turned


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    unit: NDArray[np.float64] = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return unit
