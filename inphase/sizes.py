"""Numbers of bytes for people."""

from typing import Final

_ABSURD: Final = 10**6 * 2**50  # bytes


def in_words(nbytes: float) -> str:
    """A number of bytes for people: `3.5 GiB`."""
    if nbytes >= _ABSURD:  # headers declare integers that no float holds
        return "more than 1e+06 PiB"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if nbytes < 1024:
            return f"{nbytes:.{3 if nbytes < 999.5 else 4}g} {unit}"  # three digits of 1010 would be 1.01e+03
        nbytes /= 1024
    return f"{nbytes:.3g} PiB"
