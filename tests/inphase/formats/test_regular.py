"""inphase.formats.regular: what is no regular file blocks nobody."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from inphase.errors import DataError, TooLargeError
from inphase.formats import beamline, read
from inphase.formats.fio import read_fio
from inphase.formats.maps import read_map
from inphase.formats.reconstruction import read_reconstruction
from inphase.formats.regular import open_regular, read_bytes
from inphase.formats.spec import is_spec, read_scan


def pipe(path: Path) -> None:
    """A pipe that nobody writes into."""
    os.mkfifo(path)


def listener(path: Path) -> None:
    """A socket in the file system."""
    with socket.socket(socket.AF_UNIX) as found:
        found.bind(str(path))


def device(path: Path) -> None:
    """A link to a device that never ends."""
    path.symlink_to("/dev/zero")


DOORS: dict[str, tuple[str, Callable[[Path], object]]] = {
    **{suffix: (suffix, read) for suffix in (".npy", ".npz", ".tif", ".h5", ".cxi", ".mat")},
    "map": (".tif", read_map),
    "map of numpy": (".npy", read_map),
    "spec": (".spec", lambda path: read_scan(path, 1)),
    "is spec": (".spec", is_spec),
    "fio": (".fio", read_fio),
    "beamline": (".yaml", beamline.load),
    "reconstruction": (".npz", read_reconstruction),
    "dark": (".npy", lambda path: read(path.parent / "scan.npy", dark=path)),
    "motors": (".spec", lambda path: read(path.parent, spec=path, scan=1)),
}


@pytest.mark.parametrize("make", [pipe, listener, device])
@pytest.mark.parametrize("door", DOORS)
def test_only_regular_files_are_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None], door: str
) -> None:
    """At every door, without waiting: pytest would hang here."""
    monkeypatch.chdir(tmp_path)  # the name of a socket is short
    suffix, reader = DOORS[door]
    make(Path(f"x{suffix}"))
    with pytest.raises(DataError):
        reader(tmp_path / f"x{suffix}")


def test_what_opens_and_what_does_not(tmp_path: Path) -> None:
    """The words for each."""
    (tmp_path / "a").write_bytes(b"12345")
    with open_regular(tmp_path / "a") as stream:
        assert stream.read() == b"12345"
    for name, words in (("b", "no such file"), (".", "is a folder"), ("a/b", "cannot be read: Not a directory")):
        with pytest.raises(DataError, match=words):
            open_regular(tmp_path / name)


def test_a_text_is_read_up_to_its_bound(tmp_path: Path) -> None:
    """Five bytes of five, and not of four."""
    (tmp_path / "a").write_bytes(b"12345")
    assert read_bytes(tmp_path / "a", 5) == b"12345"
    with pytest.raises(TooLargeError, match="longer than 4 B"):
        read_bytes(tmp_path / "a", 4)
