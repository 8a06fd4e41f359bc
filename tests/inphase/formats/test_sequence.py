"""The numbered frames of a folder."""

from pathlib import Path

import pytest

from inphase.errors import DataError
from inphase.formats.sequence import find, longest


def touch(folder: Path, *names: str) -> None:
    """Empty files."""
    for name in names:
        (folder / name).touch()


def test_frames_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    """Also where the names sort otherwise; hidden files do not count, others are passed over and told."""
    touch(tmp_path, "s_9.tif", "s_10.tif", "s_11.TIF", "notes.txt", ".s_12.tif")
    frames = find(tmp_path, (".tif",), None, "TIFF")
    assert [path.name for path in frames.files] == ["s_9.tif", "s_10.tif", "s_11.TIF"]
    assert frames.chosen == "3 frames s_9.tif to s_11.TIF; passed over 1 other file"


def test_a_missing_frame_and_one_that_is_there_twice_are_named(tmp_path: Path) -> None:
    """A rocking curve needs every step once."""
    touch(tmp_path, "s_1.tif", "s_3.tif")
    with pytest.raises(DataError, match=r"frame 2 is missing, between s_1\.tif and s_3\.tif"):
        find(tmp_path, (".tif",), None, "TIFF")
    touch(tmp_path, "s_2.tif", "s_02.tif")
    with pytest.raises(DataError, match="frame 2 is there twice"):
        find(tmp_path, (".tif",), None, "TIFF")


def test_of_several_sequences_one_is_named(tmp_path: Path) -> None:
    """Two of about the same length are refused until the beginning of the names decides;
    a much shorter one is not meant.
    """
    touch(tmp_path, "a_1.tif", "a_2.tif", "b_1.tif", "b_2.tif")
    with pytest.raises(DataError, match="several sequences of frames"):
        find(tmp_path, (".tif",), None, "TIFF")
    assert [path.name for path in find(tmp_path, (".tif",), "b_", "TIFF").files] == ["b_1.tif", "b_2.tif"]
    touch(tmp_path, "a_3.tif", "a_4.tif")
    assert len(find(tmp_path, (".tif",), None, "TIFF").files) == 4
    assert [path.name for path in longest(tmp_path, (".tif",))] == ["a_1.tif", "a_2.tif", "a_3.tif", "a_4.tif"]


def test_a_folder_without_frames_says_what_it_holds(tmp_path: Path) -> None:
    """For people who named the wrong folder."""
    touch(tmp_path, "notes.txt")
    with pytest.raises(DataError, match=r"no numbered TIFF frames .* it holds notes\.txt"):
        find(tmp_path, (".tif",), None, "TIFF")
    assert longest(tmp_path, (".tif",)) == []
