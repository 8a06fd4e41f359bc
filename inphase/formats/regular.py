"""Regular files, and nothing else: a pipe, a socket or a device would block its reader for ever.

Within `beneath` they are opened below certain folders alone, step by step from the folder's own descriptor, so that a
link which is put in the way between a check and the opening leads nowhere.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import BinaryIO, Final

from inphase.errors import DataError, TooLargeError
from inphase.sizes import in_words

_READ: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC  # without waiting: to open a pipe waits for its writer
_STEP: Final = os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC if hasattr(os, "O_PATH") else 0  # Linux
_DESCRIPTORS: Final = 256  # that are looked at

_roots: ContextVar[tuple[Path, ...]] = ContextVar("roots", default=())
_ours: ContextVar[frozenset[int]] = ContextVar("ours", default=frozenset())  # open before `beneath`: logs, pipes


@contextmanager
def beneath(roots: tuple[Path, ...]) -> Iterator[None]:
    """Within the block files are read only where they lie below these real folders; without any, anywhere."""
    before, ours = _roots.set(roots), _ours.set(frozenset(_open_descriptors()))
    try:
        yield
    finally:
        _roots.reset(before)
        _ours.reset(ours)


def open_regular(path: Path) -> BinaryIO:
    """The file for reading. Raises DataError for what is no regular file, or may not be read."""
    try:
        descriptor = _opened_beneath(path, roots) if (roots := _roots.get()) else os.open(path, _READ)
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


def check_opened(descriptor: int, name: str) -> None:
    """For a library that has opened a file by its name: raises DataError where that lies outside of `beneath`.

    Looked at after the opening, so that nothing can be exchanged before.
    """
    roots = _roots.get()
    if roots and not _lies_below(descriptor, roots):
        raise _outside(name)


def check_all_opened(name: str) -> None:
    """The same of all files that this process has open, some of which a library has opened on its own."""
    if not (roots := _roots.get()):
        return
    for descriptor, found in _open_descriptors().items():
        in_memory = found.st_nlink == 0
        if descriptor in _ours.get() or not stat.S_ISREG(found.st_mode) or in_memory:
            continue
        if not _lies_below(descriptor, roots):
            raise _outside(name)


def _open_descriptors() -> dict[int, os.stat_result]:
    """Descriptors of this process beyond the three that every one has, and what they are of."""
    found = {}
    for descriptor in range(3, _DESCRIPTORS):
        with suppress(OSError):  # most of the numbers are of nothing
            found[descriptor] = os.fstat(descriptor)
    return found


def _lies_below(descriptor: int, roots: tuple[Path, ...]) -> bool:
    where = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
    return any(where.is_relative_to(root) for root in roots)


def _opened_beneath(path: Path, roots: tuple[Path, ...]) -> int:
    """A descriptor of the file: from the root downwards by names that are no links, as the real path has them."""
    real = path.resolve()
    root = next((root for root in roots if real.is_relative_to(root)), None)
    if root is None:
        raise _outside(str(path))
    *folders, last = real.relative_to(root).parts or (".",)
    at = os.open(root, _STEP)
    try:
        for folder in folders:
            below = os.open(folder, _STEP, dir_fd=at)
            os.close(at)
            at = below
        return os.open(last, _READ | os.O_NOFOLLOW, dir_fd=at)
    finally:
        os.close(at)


def _outside(name: str) -> DataError:
    return DataError(f"{name}: lies outside the folders that may be read, or was exchanged while it was read")
