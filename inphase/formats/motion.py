"""What moved during a scan, and by how much per frame: from the positions that were recorded beside the frames.

The energy counts as one more circle: a relative change of it moves Q as far as a turn by that angle in radians.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inphase.diffractometer import Diffractometer, RockingScan
from inphase.errors import DataError

ENERGY: Final = "energy"
_UNEVEN = 0.5  # of the longest rocking step: further off, a frame lies nearer to where its neighbour belongs
_REMARKABLE = 0.1  # of it: told
_STILL = 1e-3  # of it: a smaller step is taken to be none
_SIGNIFICANT = 5.0  # slope over its standard error: less is the noise of an encoder
_FEWEST = 3  # positions that may stand for another number of frames: two may be those before and after the scan


class MismatchError(DataError):
    """Positions that are too many or too few for the frames."""


@dataclass(frozen=True)
class Motion:
    """middle: position of everything at the frame N // 2, in degrees and keV. steps: per frame, of what moves.

    remarks: what was assumed, in words.
    """

    middle: Mapping[str, float]
    steps: Mapping[str, float]
    points: int
    remarks: tuple[str, ...] = ()

    def rocks(self, diffractometer: Diffractometer) -> bool:
        """Whether the frames follow each other through a volume:
        a circle of the sample turned, or the energy changed.
        """
        return any(name in self.steps for name in (ENERGY, *(circle.name for circle in diffractometer.sample)))

    def scan(
        self,
        diffractometer: Diffractometer,
        *,
        distance_m: float,
        pixel_m: tuple[float, float],
        direct_beam: tuple[float, float] = (0.0, 0.0),
    ) -> RockingScan:
        """With the detector that recorded it, as `RockingScan` wants it. Raises DataError for what that refuses."""
        return RockingScan(
            diffractometer=diffractometer,
            energy_kev=self.middle[ENERGY],
            distance_m=distance_m,
            pixel_m=pixel_m,
            angles_deg={name: self.middle[name] for name in diffractometer.circles},
            steps_deg={name: step for name, step in self.steps.items() if name != ENERGY},
            energy_step_kev=self.steps.get(ENERGY, 0.0),
            direct_beam=direct_beam,
        )


@dataclass(frozen=True)
class _Line:
    """The straight line through recorded positions. unit: degrees of a turn that moves Q as far as 1 of the positions.

    middle: at the frame N // 2. error: of the step. off: how far the position `worst` lies from the line through the
    others.
    """

    name: str
    unit: float
    mean: float
    middle: float
    step: float = 0.0
    error: float = 0.0
    range: float = 0.0
    off: float = 0.0
    worst: int = 0

    @property
    def significant(self) -> bool:
        return abs(self.step) > _SIGNIFICANT * self.error


def motion(
    recorded: Mapping[str, NDArray[np.float64]],
    frames: int,
    diffractometer: Diffractometer,
    *,
    measured: int | None = None,
    given: Mapping[str, float] | None = None,
    where: str = "",
) -> Motion:
    """What stood where, and what moved, while `frames` frames were taken.

    recorded: one position, or one for each frame, of each circle (deg) and of "energy" (keV); NaN where none was read.
    diffractometer: the steps of its sample's circles, and the energy's, say what is much and what is little.
    measured: frames up to the last that holds counts; what was recorded beyond them does not count.
    given: positions that are known better, at the frame N // 2; what is given and was recorded unevenly stood still.

    Raises MismatchError where positions and frames cannot belong together, DataError where something moves in unequal
    steps.
    """
    measured, given = frames if measured is None else measured, given or {}
    fitting = {name: each for name, each in recorded.items() if _fits(len(each), frames, measured)}
    lines = {
        name: _line(name, _within(each, measured) if name in fitting else each, frames)
        for name, each in recorded.items()
    }
    rocking = {ENERGY, *(circle.name for circle in diffractometer.sample)}
    steps = {name: lines[name].unit * abs(lines[name].step) for name in fitting}
    longest = max([step for name, step in steps.items() if step and name in rocking] or [*steps.values(), 0.0])
    moving: dict[str, float] = {}
    remarks: list[str] = []
    for name, line in lines.items():
        if line.unit * line.off <= _UNEVEN * longest and name in fitting:
            if line.significant and steps[name] > _STILL * longest:
                moving[name] = line.step
                remarks += _remarks(line, recorded[name], frames, measured, longest)
        elif line.unit * line.range <= _UNEVEN * longest:
            continue
        elif name in given:
            remarks.append(f"{name} does not move in equal steps and is taken to stand still where it was set")
        elif name not in fitting:
            raise MismatchError(
                f"{where}: '{name}' has {len(recorded[name])} points, the measurement {frames} frames; "
                "name the scan that these frames belong to"
            )
        else:
            raise DataError(
                f"{where}: '{name}' does not move in equal steps: point {line.worst} is {line.off:.3g} off where "
                f"{line.step:.3g} per point would bring it; if it stood still, set it (--set {name}=...)"
            )
    middle = {name: line.middle if name in moving else line.mean for name, line in lines.items()}
    points = min([frames, *(len(recorded[name]) for name in moving)])
    return Motion(middle | dict(given), moving, points, tuple(dict.fromkeys(remarks)))


def _fits(points: int, frames: int, measured: int) -> bool:
    """Whether so many positions may belong to the frames.
    A scan that was stopped has some more of one than of the other.
    """
    few = max(1, points // 10)
    near = min(abs(points - frames), abs(points - measured)) <= few
    return points in (1, frames) or (points >= _FEWEST and near)


def _remarks(line: _Line, positions: NDArray[np.float64], frames: int, measured: int, longest: float) -> Iterator[str]:
    if len(positions) != frames:
        yield f"{len(positions)} points for {frames} frames: the first of each are taken to belong together"
    if unknown := int(np.count_nonzero(~np.isfinite(positions[:measured]))):
        yield f"{line.name} was not recorded at {unknown} of {len(positions)} points"
    if line.unit * line.off > _REMARKABLE * longest:
        yield f"{line.name} steps unevenly, point {line.worst} by {line.off:.2g} off steps of {abs(line.step):.3g}"


def _within(positions: NDArray[np.float64], measured: int) -> NDArray[np.float64]:
    return positions[:measured] if np.isfinite(positions[:measured]).any() else positions


def _line(name: str, positions: NDArray[np.float64], frames: int) -> _Line:
    at = np.flatnonzero(np.isfinite(positions)).astype(np.float64)
    values = positions[np.isfinite(positions)]
    mean, varies = float(values.mean()), len(values) > 1 and np.ptp(values) > 0
    unit = float(np.degrees(1 / abs(mean))) if name == ENERGY and mean else 1.0
    if not varies:
        return _Line(name, unit, float(values[0]), float(values[0]))
    spread = at - at.mean()
    lever = float(spread @ spread)
    step = float(spread @ values) / lever
    middle = mean + step * (frames // 2 - float(at.mean()))
    if len(values) == 2:
        return _Line(name, unit, mean, middle, step, range=float(np.ptp(values)))
    residual = values - mean - step * spread
    # each position's distance from the line through all the others: its own pull on the line is taken out
    off = np.abs(residual) / (1 - 1 / len(values) - spread**2 / lever)
    error = float(np.sqrt(residual @ residual / (len(values) - 2) / lever))
    worst = int(off.argmax())
    return _Line(name, unit, mean, middle, step, error, float(np.ptp(values)), float(off[worst]), int(at[worst]))
