"""FIO files of PETRA III: the motors' positions and the columns of one scan.

Sections begin with %c (comment), %p (`name = value`) and %d (`Col 1 om DOUBLE`, then rows of numbers).
"""

import io
import re
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inphase.errors import DataError, TooLargeError
from inphase.formats.boundary import boundary
from inphase.formats.regular import read_bytes

_MAX_BYTES = 2**24  # some hundred thousand points of tens of counters
_MOST_NUMBERS = 2**24
_MOST_NAMED = 3  # damaged lines in a message
_PARAMETER = re.compile(r"(\S+)\s*=\s*(\S.*)")
_COLUMN = re.compile(r"Col\s+\d+\s+(\S+)\s+\S+", re.IGNORECASE)


@dataclass(frozen=True)
class FioScan:
    """positions: numeric parameters by name, in the file's units.
    columns: (points,) float64 by label, NaN where no number is.

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

    Raises DataError where it is none, or none of its rows fits its columns; nothing else.
    """
    with boundary(path):
        return _read(path)


def _read(path: Path) -> FioScan:
    positions: dict[str, float] = {}
    labels: list[str] = []
    rows = array("d")
    damaged: list[str] = []
    unused = 0
    section = ""
    for number, raw in enumerate(io.BytesIO(read_bytes(path, _MAX_BYTES)), 1):
        line = raw.decode("latin-1").strip()
        if not line or line.startswith("!"):
            continue
        if line.startswith("%"):
            section = line[1:2].lower()
        elif section == "p" and (match := _PARAMETER.fullmatch(line)):
            value = _number(match[2])
            if np.isfinite(value):
                positions[match[1]] = value
        elif section == "d" and (match := _COLUMN.fullmatch(line)):
            if rows:
                raise DataError(
                    f"{path}: line {number}: names another column below the first numbers: two files in one?"
                )
            labels.append(match[1])
        elif section == "d":
            row = [_number(part) for part in line.split()]
            if len(row) != len(labels):
                unused += 1
                if unused <= _MOST_NAMED:
                    found = f"expected {len(labels)} numbers, found '{line[:60]}', which is not used"
                    damaged.append(f"line {number}: {found}")
                row = [np.nan] * len(labels)
            rows.extend(row)
            if len(rows) > _MOST_NUMBERS:
                raise TooLargeError(f"{path}: holds more than {_MOST_NUMBERS} numbers: not the positions of a scan")
    if not section:
        raise DataError(f"{path}: has no section %p or %d: not a FIO file")
    table = np.array(rows).reshape(-1, max(1, len(labels)))[:, : len(labels)].T
    if rows and not np.isfinite(table).any():
        raise DataError(f"{path}: has no numbers below its columns {'; '.join(damaged[:1])}")
    if unused > _MOST_NAMED:
        damaged.append(f"{unused - _MOST_NAMED} more such lines")
    remarks = tuple(f"{path.name}, {each}" for each in damaged)
    return FioScan(positions, dict(zip(labels, table, strict=True)), remarks)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan
