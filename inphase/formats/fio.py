"""FIO files of PETRA III: the motors' positions and the columns of one scan.

Sections begin with %c (comment), %p (`name = value`) and %d (`Col 1 om DOUBLE`, then rows of numbers).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inphase.errors import DataError, TooLargeError

_MAX_BYTES = 2**26
_MOST_NAMED = 3  # damaged lines in a message
_PARAMETER = re.compile(r"(\S+)\s*=\s*(\S.*)")
_COLUMN = re.compile(r"Col\s+\d+\s+(\S+)\s+\S+", re.IGNORECASE)


@dataclass(frozen=True)
class FioScan:
    """positions: numeric parameters by name, in the file's units. columns: (points,) float64 by label, NaN where no number is.

    remarks: what of the file is damaged, and so was not used.
    """

    positions: Mapping[str, float]
    columns: Mapping[str, NDArray[np.float64]]
    remarks: tuple[str, ...] = ()

    def recorded(self, name: str) -> NDArray[np.float64] | None:
        """Positions of a motor at every point, else its one position; None where neither is known."""
        column = self.columns.get(name)
        if column is not None and np.isfinite(column).any():
            return column
        position = self.positions.get(name)
        return None if position is None else np.array([position])


def read_fio(path: Path) -> FioScan:
    """Reads a FIO file. A row that has other than one number for each column is left out of them and told in `remarks`.

    Raises DataError where it is none, or none of its rows fits its columns.
    """
    size = path.stat().st_size
    if size > _MAX_BYTES:
        raise TooLargeError(f"{path}: has {size} bytes, more than the {_MAX_BYTES} of a scan's positions")
    positions: dict[str, float] = {}
    labels: list[str] = []
    rows: list[list[float]] = []
    damaged: list[str] = []
    section = ""
    for number, raw in enumerate(path.read_text("latin-1").splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("!"):
            continue
        if line.startswith("%"):
            section = line[1:2].lower()
        elif section == "p" and (match := _PARAMETER.fullmatch(line)):
            value = _number(match[2])
            if np.isfinite(value):
                positions[match[1]] = value
        elif section == "d" and (match := _COLUMN.fullmatch(line)):
            labels.append(match[1])
        elif section == "d":
            row = [_number(part) for part in line.split()]
            if len(row) != len(labels):
                damaged.append(f"line {number}: expected {len(labels)} numbers, found '{line[:60]}', which is not used")
                row = [np.nan] * len(labels)
            rows.append(row)
    if not section:
        raise DataError(f"{path}: has no section %p or %d: not a FIO file")
    table = np.array(rows, np.float64).reshape(len(rows), len(labels)).T
    if rows and not np.isfinite(table).any():
        raise DataError(f"{path}: has no numbers below its columns {'; '.join(damaged[:1])}")
    if len(damaged) > _MOST_NAMED:
        damaged[_MOST_NAMED:] = [f"{len(damaged) - _MOST_NAMED} more such lines"]
    remarks = tuple(f"{path.name}, {each}" for each in damaged)
    return FioScan(positions, dict(zip(labels, table, strict=True)), remarks)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan
