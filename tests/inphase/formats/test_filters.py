"""What is said of a compression filter that is not installed."""

import re

import pytest

from inphase.formats.filters import absent


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (32008, "bshuf.*hdf5plugin"),
        (32015, "zstd.*hdf5plugin"),
        (4, "szip.*build of HDF5"),
        (32012, "JPEG-LS.*HDF5_PLUGIN_PATH"),
    ],
)
def test_an_absent_filter_is_named_with_what_brings_it(code: int, words: str) -> None:
    """Its registered number, its name, the package or place."""
    assert re.search(f"HDF5 filter {code} \\({words}", absent(code, b"told; version 1"))
