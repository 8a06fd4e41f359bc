"""Readers and writers of files. What a name needs is loaded when it is first used: the options of a reading are asked
for more often than a file is read.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inphase.formats.readers import READERS as READERS
    from inphase.formats.readers import holds_frames as holds_frames
    from inphase.formats.readers import read as read
    from inphase.formats.readers import read_as as read_as
    from inphase.formats.reading import Reading as Reading
    from inphase.formats.scan import FileReading as FileReading
    from inphase.formats.scan import Limits as Limits
    from inphase.formats.scan import RawScan as RawScan

__all__ = ["READERS", "FileReading", "Limits", "RawScan", "Reading", "holds_frames", "read", "read_as"]

_HOME = {
    "READERS": "inphase.formats.readers",
    "holds_frames": "inphase.formats.readers",
    "read": "inphase.formats.readers",
    "read_as": "inphase.formats.readers",
    "Reading": "inphase.formats.reading",
    "FileReading": "inphase.formats.scan",
    "Limits": "inphase.formats.scan",
    "RawScan": "inphase.formats.scan",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'inphase.formats' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
