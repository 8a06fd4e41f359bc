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
_PARAMETER = re.compile(r"(\S+)\s*=\s*(\S.*)")
_COLUMN = re.compile(r"Col\s+\d+\s+(\S+)\s+\S+", re.IGNORECASE)


@dataclass(frozen=True)
class FioScan:
    """positions: numeric parameters by name, in the file's units. columns: (points,) float64 by label."""

    positions: Mapping[str, float]
    columns: Mapping[str, NDArray[np.float64]]


def read_fio(path: Path) -> FioScan:
    """Reads a FIO file. Raises DataError where it is none, or a row has other than one number for each column."""
    size = path.stat().st_size
    if size > _MAX_BYTES:
        raise TooLargeError(f"{path}: has {size} bytes, more than the {_MAX_BYTES} of a scan's positions")
    positions: dict[str, float] = {}
    labels: list[str] = []
    rows: list[list[float]] = []
    section = ""
    for number, raw in enumerate(path.read_text("latin-1").splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("!"):
            continue
        if line.startswith("%"):
            section = line[1:2].lower()
        elif section == "p" and (match := _PARAMETER.fullmatch(line)):
            value = _number(match[2])
            if value is not None:
                positions[match[1]] = value
        elif section == "d" and (match := _COLUMN.fullmatch(line)):
            labels.append(match[1])
        elif section == "d":
            row = [_number(part) for part in line.split()]
            if len(row) != len(labels) or None in row:
                raise DataError(f"{path}, line {number}: expected {len(labels)} numbers, found '{line[:60]}'")
            rows.append([value for value in row if value is not None])
    if not section:
        raise DataError(f"{path}: has no section %p or %d: not a FIO file")
    table = np.array(rows, np.float64).reshape(len(rows), len(labels)).T
    return FioScan(positions, dict(zip(labels, table, strict=True)))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
