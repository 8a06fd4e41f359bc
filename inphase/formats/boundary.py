"""Whatever a library makes of a file becomes an error that names it, in a text that can be printed and sent."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from inphase.errors import DataError, InphaseError

_BYTES: Final = re.compile("[\udc80-\udcff]")  # as Python keeps the bytes of a name that are no UTF-8


@contextmanager
def boundary(where: str | Path) -> Iterator[None]:
    """Turns whatever fails in the block into a DataError that begins with `where`.

    where: a file, or a dataset in it. What inphase raises on purpose keeps its type, and its words as far as they are
    text.
    """
    try:
        yield
    except InphaseError as error:
        if (text := as_text(str(error))) == str(error):
            raise
        raise type(error)(text) from error
    except PermissionError as error:
        raise DataError(as_text(f"{where}: may not be read by this user: {error.strerror}")) from error
    except MemoryError as error:
        raise DataError(as_text(f"{where}: needs more memory than reading it may take")) from error
    except Exception as error:  # the last resort: a file can be wrong in ways that nobody has thought of
        raise DataError(
            as_text(
                f"{where}: the reader of inphase failed with {type(error).__name__}: {first_line(error)}. This is a "
                "fault of inphase, not of the request: please report it with this message and, if it may be shared, "
                "the file"
            )
        ) from error


@contextmanager
def damaged(what: str) -> Iterator[None]:
    """Turns what a library raises over a file into a DataError: `what`, and the first line of the library's words.

    inphase's own errors pass. Without it the boundary would call a damaged file a fault of inphase.
    """
    try:
        yield
    except (InphaseError, MemoryError, PermissionError):
        raise
    except Exception as error:  # libraries raise whatever their parsing meets
        raise DataError(f"{what}: {first_line(error)}") from error


def first_line(error: BaseException) -> str:
    """The first line of an error's text, for quoting inside one of ours."""
    return str(error).split("\n", 1)[0][:200]


def as_text(text: str) -> str:
    """Names of files and groups need not be UTF-8: other bytes show as Latin-1, what is no text at all as an escape."""
    shown = _BYTES.sub(lambda found: chr(ord(found[0]) - 0xDC00), text)
    return shown.encode("utf-8", "backslashreplace").decode()
