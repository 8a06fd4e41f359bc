"""Numbers of bytes for people."""

from inphase.sizes import in_words


def test_bytes_in_words() -> None:
    """Three digits."""
    assert [in_words(n) for n in (12, 1536, 8 * 2**30)] == ["12 B", "1.5 KiB", "8 GiB"]
    assert [in_words(n) for n in (999, 1000, 1023, 1023 * 2**20)] == ["999 B", "1000 B", "1023 B", "1023 MiB"]
    assert in_words(10**400) == "more than 1e+06 PiB"  # a header may declare what no float holds
