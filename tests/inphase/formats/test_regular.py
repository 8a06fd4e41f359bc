"""inphase.formats.regular: what is no regular file blocks nobody."""

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io
import tifffile
from numpy.typing import NDArray

from inphase.errors import DataError, TooLargeError
from inphase.formats import Limits, beamline, pieces, read
from inphase.formats.fio import read_fio
from inphase.formats.maps import read_map
from inphase.formats.reconstruction import read_reconstruction
from inphase.formats.regular import beneath, open_regular, read_bytes
from inphase.formats.spec import is_spec, read_scan
from inphase.formats.tree import Part, Tree


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


# ---- below certain folders alone

OURS, THEIRS = (np.full((8, 8, 8), value, np.uint16) for value in (3, 7))


def write_npy(path: Path, counts: NDArray[np.uint16]) -> None:
    np.save(path, counts)


def write_npz(path: Path, counts: NDArray[np.uint16]) -> None:
    np.savez(path, data=counts)


def write_tiff(path: Path, counts: NDArray[np.uint16]) -> None:
    tifffile.imwrite(path, counts, photometric="minisblack")


def write_mat(path: Path, counts: NDArray[np.uint16]) -> None:
    scipy.io.savemat(path, {"data": counts})


def write_hdf5(path: Path, counts: NDArray[np.uint16]) -> None:
    with h5py.File(path, "w") as file:
        file["data"] = counts


def write_virtual(path: Path, counts: NDArray[np.uint16]) -> None:
    """A dataset whose numbers lie in a file beside it."""
    write_hdf5(path.with_suffix(".part.h5"), counts)
    layout = h5py.VirtualLayout(counts.shape, counts.dtype)
    layout[...] = h5py.VirtualSource(path.with_suffix(".part.h5").name, "data", counts.shape)
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("data", layout)


WRITERS: dict[str, tuple[str, Callable[[Path, NDArray[np.uint16]], None]]] = {
    "npy": ("scan.npy", write_npy), "npz": ("scan.npz", write_npz), "tiff": ("scan.tif", write_tiff),
    "matlab": ("scan.mat", write_mat), "hdf5": ("scan.h5", write_hdf5), "virtual": ("scan.h5", write_virtual),
}  # fmt: skip


class Site:
    """A data root whose folder `scan` may be exchanged for a link to a folder outside with the same names."""

    def __init__(self, folder: Path, kind: str) -> None:
        name, write = WRITERS[kind]
        self.root = folder / "root"
        self.scan, self._aside, self._link = self.root / "scan", self.root / "aside", folder / "link"
        self.path = self.scan / name
        for place, counts in ((self.scan, OURS), (folder / "outside", THEIRS)):
            place.mkdir(parents=True)
            write(place / name, counts)
        self._link.symlink_to(folder / "outside")

    def exchange(self) -> None:
        """The link takes the folder's place."""
        self.scan.rename(self._aside)
        self._link.rename(self.scan)

    def restore(self) -> None:
        """As it was."""
        self.scan.rename(self._link)
        self._aside.rename(self.scan)

    def read(self) -> NDArray[np.generic]:
        """As a reading process does it where the kernel holds no folders."""
        with beneath((self.root,)):
            return read(self.path, limits=Limits(roots=(self.root,))).array


@pytest.mark.parametrize("kind", WRITERS)
def test_a_folder_that_is_exchanged_at_the_last_moment_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Between the look at where a path leads and the opening of it."""
    site = Site(tmp_path, kind)
    assert np.array_equal(site.read(), OURS)
    resolve = Path.resolve
    exchanged: list[Path] = []

    def look_and_exchange(self: Path, strict: bool = False) -> Path:
        found = resolve(self, strict)
        if not exchanged:
            site.exchange()
            exchanged.append(found)
        return found

    monkeypatch.setattr(Path, "resolve", look_and_exchange)
    with pytest.raises(DataError):
        site.read()
    monkeypatch.undo()
    assert exchanged
    assert np.array_equal(read(site.path).array, THEIRS)  # who may read anywhere is led there


@pytest.mark.parametrize("kind", WRITERS)
def test_a_folder_that_is_exchanged_all_the_time_never_gives_the_other_one(tmp_path: Path, kind: str) -> None:
    """Whatever the moment: the counts are ours, or there are none."""
    site = Site(tmp_path, kind)
    over = threading.Event()

    def exchange() -> None:
        while not over.is_set():
            site.exchange()
            site.restore()

    thread = threading.Thread(target=exchange)
    thread.start()
    ours = refused = 0
    try:
        for _ in range(150):
            try:
                assert np.array_equal(site.read(), OURS)
                ours += 1
            except DataError:
                refused += 1
    finally:
        over.set()
        thread.join()
    assert refused  # else nothing was exchanged


def test_a_source_that_is_moved_away_while_it_is_read_is_read_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HDF5 would look for it by its name, and give zeros."""
    site = Site(tmp_path, "virtual")
    parts = Tree.parts

    def found_and_moved(tree: Tree, *args: Any) -> list[Part]:
        found = parts(tree, *args)
        site.path.with_suffix(".part.h5").unlink(missing_ok=True)
        return found

    monkeypatch.setattr(Tree, "parts", found_and_moved)
    monkeypatch.setattr(pieces, "unwritten", lambda *_: None)  # it has looked before
    assert np.array_equal(site.read(), OURS)


def test_only_what_lies_below_is_opened(tmp_path: Path) -> None:
    """Links inside lead on, those that lead out do not, and the next block is free again."""
    site = Site(tmp_path, "npy")
    (site.root / "inside.npy").symlink_to(site.path)
    (site.root / "outside.npy").symlink_to(tmp_path / "outside" / "scan.npy")
    with beneath((tmp_path / "another", site.root)):
        with open_regular(site.root / "inside.npy") as stream:
            assert stream.read() == site.path.read_bytes()
        for path in (site.root / "outside.npy", tmp_path / "outside" / "scan.npy", site.root / "../outside/scan.npy"):
            with pytest.raises(DataError, match="lies outside"):
                open_regular(path)
        for path in (site.root, site.scan):
            with pytest.raises(DataError, match="is a folder"):
                open_regular(path)
        with pytest.raises(DataError, match="no such file"):
            open_regular(site.root / "none.npy")
    with open_regular(site.root / "outside.npy") as stream:
        assert stream.read()
