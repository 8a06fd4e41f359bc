"""Whatever a library makes of a file becomes an error that names it, in a text that can be printed and sent."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from inphase.errors import DataError, InphaseError


@contextmanager
def boundary(where: str | Path) -> Iterator[None]:
    """Inside it whatever fails is a DataError (or another InphaseError) that begins with `where`:
    a file, a dataset in it.

    What inphase raises on purpose passes as it is, but for what is no text in its words.
    """
    try:
        yield
    except InphaseError as error:
        if is_text(str(error)):
            raise
        raise type(error)(as_text(str(error))) from error
    except PermissionError as error:
        raise DataError(as_text(f"{where}: may not be read by this user: {error.strerror}")) from error
    except MemoryError as error:
        raise DataError(as_text(f"{where}: does not fit into this machine's memory")) from error
    except Exception as error:  # the last resort: a file can be wrong in ways that nobody has thought of
        raise DataError(
            as_text(
                f"{where}: the reader of inphase failed with {type(error).__name__}: {first_line(error)}. This is a "
                "fault of inphase, not of the request: please report it with this message and, if it may be shared, "
                "the file"
            )
        ) from error


def first_line(error: BaseException) -> str:
    """The first line of an error's text, for quoting inside one of ours."""
    return str(error).split("\n", 1)[0][:200]


def is_text(text: str) -> bool:
    """Whether every encoding takes it: names of files and groups need not be UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def as_text(text: str) -> str:
    """What is no text in a name of the system's shows as Latin-1 has it."""
    if is_text(text):
        return text
    raw = text.encode("utf-8", "surrogateescape")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")
