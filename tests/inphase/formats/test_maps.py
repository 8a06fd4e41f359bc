"""Detector maps and the region of them that the frames show."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from inphase.errors import DataError, TooLargeError
from inphase.formats import maps
from inphase.formats.maps import corrections, corrections_of, map_arrays, parse_roi, read_map

MAP = np.arange(12, dtype=np.float32).reshape(3, 4)


def test_a_region_is_rows_and_columns() -> None:
    """r0:r1,c0:c1, with spaces or without."""
    assert parse_roi("1:3, 0:4") == ((1, 3), (0, 4))


@pytest.mark.parametrize("text", ["", "1:3", "1:3,0:4,5:6", "-1:3,0:4", "a:b,c:d", "1.0:3,0:4", "3:3,0:4", "3:1,0:4"])
def test_a_region_that_is_none_is_refused(text: str) -> None:
    """Malformed, or empty."""
    with pytest.raises(DataError, match="the region"):
        parse_roi(text)


def test_a_map_is_read_from_tiff_and_npy(tmp_path: Path) -> None:
    """The same numbers of the same type."""
    tifffile.imwrite(tmp_path / "dark.tif", MAP)
    np.save(tmp_path / "dark.npy", MAP)
    for name in ("dark.tif", "dark.npy"):
        np.testing.assert_array_equal(read_map(tmp_path / name), MAP)


def test_what_is_no_map_is_refused(tmp_path: Path) -> None:
    """Another kind of file, a volume, complex numbers, garbage: each names the file."""
    np.save(tmp_path / "volume.npy", np.zeros((2, 3, 4)))
    np.save(tmp_path / "complex.npy", MAP * 1j)
    (tmp_path / "garbage.tif").write_bytes(b"II*\0garbage")
    for name, words in (
        ("map.png", "is a TIFF or npy file"),
        ("volume.npy", "two-dimensional and real"),
        ("complex.npy", "two-dimensional and real"),
        ("garbage.tif", "not a TIFF that can be read"),
    ):
        with pytest.raises(DataError, match=f"{name}: .*{words}"):
            read_map(tmp_path / name)


def test_a_map_beyond_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By what its header declares."""
    np.save(tmp_path / "large.npy", MAP)
    monkeypatch.setattr(maps, "MOST_BYTES", 40)
    with pytest.raises(TooLargeError, match=f"large.npy: .*{MAP.nbytes} B.*limit of 40 B"):
        read_map(tmp_path / "large.npy")


def test_maps_survive_a_container_file(tmp_path: Path) -> None:
    """Written as arrays and read again: dark, flat and region as they were; nothing where there is no map."""
    np.save(tmp_path / "dark.npy", MAP)
    found = corrections(tmp_path / "dark.npy", None, "0:3,1:4")
    again = corrections_of(map_arrays(found), "scan.npz")
    assert again is not None
    np.testing.assert_array_equal(again.dark, MAP)
    assert again.flat is None
    assert again.roi == ((0, 3), (1, 4))
    assert corrections(None, None, None) is None
    assert corrections_of({}, "scan.npz") is None
    with pytest.raises(DataError, match=r"scan\.npz: roi must hold 2 x 2 integers"):
        corrections_of({"dark": MAP, "roi": np.zeros(4)}, "scan.npz")
