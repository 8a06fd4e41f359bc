"""Whatever fails inside the boundary is an error that names the file, in a text that can be sent."""

import pytest

from inphase.errors import CancelledError, DataError, TooLargeError
from inphase.formats.boundary import as_text, boundary


@pytest.mark.parametrize(
    ("raised", "words"),
    [
        (
            ValueError("bad value\nand more"),
            "a.h5: the reader of inphase failed with ValueError: bad value. This is a fault",
        ),
        (PermissionError(13, "Permission denied"), "a.h5: may not be read by this user: Permission denied"),
        (MemoryError(), "a.h5: needs more memory than reading it may take"),
        (RecursionError("too deep"), "failed with RecursionError: too deep"),
    ],
)
def test_any_error_becomes_one_that_names_the_file(raised: Exception, words: str) -> None:
    """With what happened, the first line of it only, and the cause behind it."""
    with pytest.raises(DataError) as caught, boundary("a.h5"):
        raise raised
    assert words in str(caught.value)
    assert "and more" not in str(caught.value)
    assert caught.value.__cause__ is raised


@pytest.mark.parametrize("raised", [DataError("b.h5: truncated"), TooLargeError("much"), CancelledError("stop")])
def test_what_inphase_raises_passes(raised: Exception) -> None:
    """The same object: its text says what is wrong already."""
    with pytest.raises(type(raised)) as caught, boundary("a.h5"):
        raise raised
    assert caught.value is raised


def test_names_that_are_no_text_can_be_sent() -> None:
    """A Latin-1 name of a file or a group, as Python holds it, is shown as it was meant."""
    name = b"Gr\xf6\xdfe".decode("utf-8", "surrogateescape")
    with pytest.raises(DataError) as caught, boundary(name):
        raise DataError(f"{name}: truncated")
    assert str(caught.value).encode() == "Größe: truncated".encode()
    assert as_text("plain") == "plain"


def test_what_is_no_text_at_all_is_an_escape() -> None:
    """A lone surrogate, as a text of YAML can hold one, beside letters that stay as they are."""
    with pytest.raises(DataError, match=r"ö \\ud800"), boundary("a.yaml"):
        raise DataError("ö \ud800")
