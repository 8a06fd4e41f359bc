"""How the command line reads files of its user."""

import glob
import platform
import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from inphase.errors import DataError

if TYPE_CHECKING:
    from inphase.formats import RawScan
    from inphase.formats.reading import Reading
    from service.sandbox.order import FileOrder


def check(*paths: Path | None) -> None:
    """Raises DataError for a path where nothing is, before what would read it is loaded; patterns may match nothing."""
    for path in paths:
        if path is not None and not path.exists() and not glob.has_magic(str(path)):
            raise DataError(f"{path}: no such file or folder")


def spare(outputs: Iterable[str | Path | None], *inputs: Path | None) -> None:
    """Raises DataError where a result would be written over what is read, which may be the only copy."""
    read = {path.resolve(): path for path in inputs if path is not None}
    for output in outputs:
        if output is not None and (path := read.get(Path(output).resolve())) is not None:
            raise DataError(f"the result would be written over {path}, which is read: give it another name or folder")


def check_reading(reading: "Reading") -> None:
    """The same of the files that a reading names. A beamline may be a name."""
    check(reading.dark, reading.flat, reading.mask, reading.spec)


class Scans:
    """Reads files, and frames out of a stack: the last stack stays until another is asked for."""

    def __init__(self, read: "Callable[[FileOrder], RawScan]") -> None:
        self._read = read
        self._stack: tuple[FileOrder, list[RawScan]] | None = None
        self._turn = threading.Lock()

    def __call__(self, order: "FileOrder", frame: int | None = None) -> "RawScan":
        """A file as one measurement, or one frame of it. Raises DataError."""
        return self._read(order) if frame is None else self.frames(order)[frame]

    def frames(self, order: "FileOrder") -> "list[RawScan]":
        """All frames of a file, each a measurement of its own."""
        from inphase.formats.region import WHOLE
        from inphase.imaging.stack import frames_of

        with self._turn:
            if self._stack is None or self._stack[0] != order:
                # no peak is common to frames that are patterns of their own
                whole = replace(order, reading=replace(order.reading, region=order.reading.region or WHOLE))
                self._stack = (order, frames_of(self._read(whole)))
            return self._stack[1]


def reader(held: ExitStack) -> Scans:
    """What reads them, until `held` ends: a process apart (service.sandbox),
    and this one where the system is not Linux.

    A file that crashes its library ends the command there; on Linux it is one scan that fails.
    """
    if platform.system() == "Linux":
        from service.sandbox.sandbox import Sandbox

        return Scans(held.enter_context(Sandbox.of_user()).read)
    return Scans(_read_here)


def _read_here(order: "FileOrder") -> "RawScan":
    from inphase.formats import read_as

    return read_as(order.path, order.reading, order.domain, order.limits)
