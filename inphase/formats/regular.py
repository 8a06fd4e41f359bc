"""Regular files, and nothing else: a pipe, a socket or a device would block its reader for ever."""

import os
import stat
from pathlib import Path
from typing import BinaryIO

from inphase.errors import DataError, TooLargeError
from inphase.formats.scan import in_words


def open_regular(path: Path) -> BinaryIO:
    """The file for reading. Raises DataError for what is no regular file, or may not be read."""
    try:
        # without waiting: to open a pipe waits until somebody writes into it
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{path}: no file has such a name: {error}") from error
    kind = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(kind):
        os.close(descriptor)
        raise DataError(f"{path}: {'is a folder' if stat.S_ISDIR(kind) else 'is not a regular file'}")
    return os.fdopen(descriptor, "rb")


def read_bytes(path: Path, most: int) -> bytes:
    """All of a file. Raises DataError as `open_regular`, TooLargeError for more than `most` bytes,
    of which no more are read.
    """
    with open_regular(path) as stream:
        content = stream.read(most + 1)
    if len(content) > most:
        raise TooLargeError(f"{path}: is longer than {in_words(most)}")
    return content
