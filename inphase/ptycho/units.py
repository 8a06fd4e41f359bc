"""The unit of positions: the factor to pixels of the object, and which unit numbers have that cannot have theirs."""

from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from inphase.errors import DataError
from inphase.formats.units import METRES
from inphase.ptycho.optics import Pair

PositionUnit = Literal["pixel", "m", "mm", "um", "nm"]
UNITS: Final[tuple[str, ...]] = get_args(PositionUnit)
FINEST_PX: Final = 1.0  # from position to position: below it neighbouring windows hold the same pixels
_LONGEST: Final = 1 / 2  # of a window: neighbours of a longer step have too little in common
_SHORTEST: Final = 1 / 32  # of a window: neighbours of a shorter step are next to the same; nobody measures so often


def check_unit(unit: str | None) -> None:
    """Raises DataError for a unit that a caller cannot name."""
    if unit is not None and unit not in UNITS:
        raise DataError(f"positions are in {', '.join(UNITS[:-1])} or {UNITS[-1]}, not {unit!r}")


@dataclass(frozen=True)
class Ruler:
    """What positions are measured with.

    unit: "pixel" of the object, or a length by its name in `METRES`. pixel_m: of the object, (row, column), None where
    it is not known. Raises DataError for another unit, and for a length where the pixel is not known.
    """

    unit: str = "pixel"
    pixel_m: Pair | None = None

    def __post_init__(self) -> None:
        if self.unit != "pixel" and self.unit not in METRES:
            check_unit(self.unit)
        if self.unit != "pixel" and self.pixel_m is None:
            raise DataError(
                f"positions in {self.unit} need the size of the object's pixels: give energy, distance and detector "
                "pixel"
            )

    @property
    def pixel(self) -> NDArray[np.float64]:
        """(2,): how many units one pixel of the object is, (row, column)."""
        if self.unit == "pixel" or self.pixel_m is None:
            return np.ones(2)
        return np.asarray(self.pixel_m) / METRES[self.unit]

    def others(self, step_px: float, shape: tuple[int, int]) -> dict[str, float]:
        """The other units in which a typical step of step_px pixels, read in this one, would be one of a scan with
        windows of that shape, and of how many pixels it is there.
        """
        if self.pixel_m is None:
            return {}
        side = float(np.mean(self.pixel_m))
        one = {unit: 1.0 if unit == "pixel" else METRES[unit] / side for unit in UNITS}  # in pixels
        own = 1.0 if self.unit == "pixel" else METRES[self.unit] / side
        steps = {unit: step_px * factor / own for unit, factor in one.items() if factor != own}
        return {unit: step for unit, step in steps.items() if FINEST_PX <= step <= _LONGEST * min(shape)}

    def doubted(self, step_px: float, shape: tuple[int, int]) -> bool:
        """Whether a step that nobody named the unit of is too short, and would be one of a scan in another unit."""
        return step_px < _SHORTEST * min(shape) and bool(self.others(step_px, shape))

    def hint(self, step_px: float, shape: tuple[int, int]) -> str:
        """Which unit the positions probably have, as a sentence with a space before it; "" where none is likelier."""
        found = self.others(step_px, shape)
        if not found:
            return ""
        named = " or ".join(f"{unit} (a typical step of {step:.3g} pixels)" for unit, step in found.items())
        return f" Probably they are in {named}: say so by unit (--unit {next(iter(found))})."
