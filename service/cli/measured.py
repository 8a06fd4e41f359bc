"""The measurement behind a result of another program, as the command line names it."""

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inphase.errors import DataError
from inphase.formats.reading import Reading
from service.cli.files import check, check_reading, reader

if TYPE_CHECKING:
    from inphase.formats import RawScan
    from inphase.formats.reconstruction import Reconstruction
    from inphase.geometry import Geometry

Measured = Annotated[
    Path | None,
    typer.Option(help="The geometry is that of this measurement; the options that follow say how it is read."),
]
Binning = Annotated[
    str | None,
    typer.Option(
        help="The program was given the measurement binned by these factors: frames, rows, columns [default: as the "
        "result tells, else 1,1,1]."
    ),
]


def check_measured(path: Path | None, reading: Reading) -> None:
    """Raises InphaseError where a file that is named is not there, before anything is read; DataError for a reading of
    none.
    """
    if path is not None:
        check(path)
        check_reading(reading)
    elif reading != Reading():
        raise DataError("the options that say how a measurement is read need one: name it with --measured")


def measurement(path: Path | None, reading: Reading) -> "RawScan | None":
    """The measurement, read in a process apart. None without a path; raises as `check_measured`."""
    check_measured(path, reading)
    if path is None:
        return None
    from inphase.formats import Limits
    from inphase.pattern import Domain
    from service.sandbox.order import FileOrder

    with ExitStack() as held:
        return reader(held)(FileOrder(path, reading, Domain.COUNTS, Limits()))


def geometry(found: "Reconstruction", path: Path | None, reading: Reading, binning: str | None) -> "Geometry | None":
    """Of the pattern that a result was made from, by its measurement. None without a path."""
    scan = measurement(path, reading)
    if scan is None:
        if binning is not None:
            raise DataError("--binning is that of a measurement: name it with --measured")
        return None
    from inphase.results.source import geometry_behind

    return geometry_behind(found, scan, None if binning is None else _factors(binning))


def _factors(text: str) -> tuple[int, int, int]:
    parts = text.replace(" ", "").split(",")
    if len(parts) != 3 or not all(part.isdecimal() and 0 < int(part) <= 1000 for part in parts):
        raise DataError(f"binning is three whole numbers, frames, rows and columns, such as 1,2,2, not {text!r}")
    a, b, c = (int(part) for part in parts)
    return a, b, c
