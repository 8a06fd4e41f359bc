"""inphase.formats.read"""

import os
from pathlib import Path
from typing import Any

import h5py
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


@pytest.mark.parametrize("choice", [{"dataset": "b"}, {"scan": 54}, {"sample": "S1"}, {"detector": "maxipix"}])
def test_a_choice_in_a_file_of_one_array_is_refused(tmp_path: Path, choice: dict[str, Any]) -> None:
    """It would be passed over in silence, and what is read might not be what is meant."""
    name = next(iter(choice))
    np.save(tmp_path / "a.npy", np.ones((3, 3, 3)))
    with pytest.raises(DataError, match=rf"a\.npy: {name}= chooses nothing in a \.npy file"):
        read(tmp_path / "a.npy", **choice)


def test_two_choices_of_one_array_are_refused(tmp_path: Path) -> None:
    """A dataset that is named and a scan by its number may be two different ones."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["1.1/data"] = file["2.1/data"] = np.ones((3, 3, 3))
    with pytest.raises(DataError, match="dataset= names the array already, and scan= another way"):
        read(tmp_path / "a.h5", dataset="1.1/data", scan=2)


def test_a_region_without_a_map_is_refused(tmp_path: Path) -> None:
    """It says which part of dark and flat the frames show, and crops nothing by itself."""
    np.save(tmp_path / "a.npy", np.ones((3, 3, 3)))
    with pytest.raises(DataError, match="give one of the two maps"):
        read(tmp_path / "a.npy", roi="0:2,0:2")


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


@pytest.mark.parametrize(
    "fault", [OverflowError("too\nwide"), AttributeError("no such thing"), AssertionError(), RecursionError()]
)
def test_the_last_resort_names_file_dataset_and_what_to_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    """Whatever a library makes of a file: no traceback comes out, and the cause stays with the error."""

    def broken(_: object) -> None:
        raise fault

    monkeypatch.setitem(READERS, ".npz", broken)
    (tmp_path / "a.npz").write_bytes(b"x")
    with pytest.raises(
        DataError, match=r"a\.npz, dataset 'key': the reader of inphase failed with .*please report"
    ) as error:
        read(tmp_path / "a.npz", dataset="key")
    assert error.value.__cause__ is fault
    assert type(fault).__name__ in str(error.value)
    assert "\n" not in str(error.value)


def test_messages_are_text_whatever_the_files_are_called(tmp_path: Path) -> None:
    """A name that is no UTF-8 comes back in an error that any encoding takes."""
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/L\xe4nge"))
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    (folder / "note.txt").write_text("x")
    with pytest.raises(DataError, match="Länge: holds no numbered TIFF frames") as error:
        read(folder)
    str(error.value).encode()
    np.save(folder / "a.npy", np.ones((9, 9, 9)))
    assert read(folder / "a.npy").source.endswith("Länge/a.npy")
