"""inphase.formats.read"""

import os
from pathlib import Path

import numpy as np
import pytest

from inphase.errors import DataError
from inphase.formats import READERS, read


def test_missing_path(tmp_path: Path) -> None:
    """A path that is not there says so."""
    with pytest.raises(DataError, match="no such file or folder"):
        read(tmp_path / "a.npy")


def test_unknown_suffix_lists_the_known(tmp_path: Path) -> None:
    """An unknown type is answered with those that are read."""
    (tmp_path / "a.edf").write_bytes(b"x")
    with pytest.raises(DataError, match=r"unknown file type '\.edf'; known are \.npy"):
        read(tmp_path / "a.edf")


@pytest.mark.parametrize("suffix", READERS)
@pytest.mark.parametrize("content", [b"", b"\0" * 4096, b"hello, world\n" * 100])
def test_garbage_behind_any_suffix(tmp_path: Path, suffix: str, content: bytes) -> None:
    """Whatever a file holds, the answer is a DataError that names it."""
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"a{suffix}"):
        read(path)


def test_pipes_are_not_read(tmp_path: Path) -> None:
    """A named pipe would block for ever; it is refused."""
    os.mkfifo(tmp_path / "a.npy")
    with pytest.raises(DataError, match="not a regular file"):
        read(tmp_path / "a.npy")


def test_upper_case_suffix(tmp_path: Path) -> None:
    """Windows names are read like others."""
    with (tmp_path / "A.NPY").open("wb") as stream:
        np.save(stream, np.ones((3, 3, 3)))
    assert read(tmp_path / "A.NPY").array.sum() == 27
