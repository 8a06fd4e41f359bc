"""Which measurements are complete, with real files and real HDF5 writers."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest

from service.watch.arrivals import Arrival, Arrivals, State, writer_of

WRITER = """
import h5py, os, sys
file = h5py.File(sys.argv[1], "w", libver=sys.argv[2], locking=sys.argv[3] == "lock")
file["x"] = range(10)
file.flush()
print("open", flush=True)
sys.stdin.read()
os._exit(1) if sys.argv[4] == "crash" else file.close()
"""


@contextmanager
def writing(path: Path, libver: str, locking: str, end: str = "close") -> Iterator[None]:
    """Another process that has an HDF5 file open, which it closes, or crashes with, at the end."""
    command = [sys.executable, "-c", WRITER, str(path), libver, locking, end]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        yield
        assert process.stdin is not None
        process.stdin.close()


def resting(arrivals: Arrivals, *scans: Path, seconds: float = 20) -> list[Arrival]:
    """Those at rest as soon as any is."""
    end = time.monotonic() + seconds
    while not (found := arrivals.at_rest(scans)):
        assert time.monotonic() < end
        time.sleep(0.01)
    return found


def test_a_file_that_grows_is_not_complete(tmp_path: Path) -> None:
    """Neither is an empty one; the clock begins anew with every change, also of the time alone."""
    growing, empty = tmp_path / "a.npy", tmp_path / "b.npy"
    growing.write_bytes(b"1")
    empty.touch()
    arrivals = Arrivals(rest_s=3600)
    assert arrivals.at_rest([growing, empty, tmp_path / "gone.npy"]) == []
    arrivals = Arrivals(rest_s=0.05)
    begun = time.monotonic()
    assert arrivals.at_rest([growing, empty]) == []
    growing.write_bytes(b"12")
    (found,) = resting(arrivals, growing, empty)
    assert found.scan == growing
    assert found.state == State(1, 2, growing.stat().st_mtime_ns)
    assert time.monotonic() - begun >= 0.05
    before = found.state
    growing.touch()
    assert State.of(growing) != before


@pytest.mark.parametrize(
    ("libver", "locking", "told"),
    [
        ("earliest", "lock", "locked by a program"),
        ("latest", "lock", "locked by a program"),
        ("latest", "no", "h5clear"),
    ],
)
def test_an_open_hdf5_file_is_not_complete(tmp_path: Path, libver: str, locking: str, told: str) -> None:
    """By its lock, or by its mark where there are no locks; closed, it is complete."""
    path = tmp_path / "scan.h5"
    with writing(path, libver, locking):
        (found,) = resting(Arrivals(rest_s=0), path)
        assert told in found.writer
        assert not found.complete
    assert writer_of(path) == ""


def test_the_mark_of_a_crashed_writer_stays(tmp_path: Path) -> None:
    """And says how it is removed."""
    path = tmp_path / "scan.h5"
    with writing(path, "latest", "lock", "crash"):
        pass
    assert writer_of(path) == (
        "scan.h5 is marked as open for writing; `h5clear -s` removes the mark of a program that crashed"
    )


def test_all_files_of_a_scan_count(tmp_path: Path) -> None:
    """The pieces beside an Eiger's master, and the frames in a folder."""
    master, folder = tmp_path / "s_master.h5", tmp_path / "frames"
    folder.mkdir()
    for path in (master, tmp_path / "s_data_000001.h5", tmp_path / "t_data_000001.h5"):
        with h5py.File(path, "w") as file:
            file["x"] = np.zeros(100)
    (folder / "1.tif").write_bytes(b"123")
    before = State.of(master), State.of(folder)
    assert (before[0].files, before[1].files) == (2, 1)
    (folder / "2.tif").write_bytes(b"4")
    with writing(tmp_path / "s_data_000002.h5", "earliest", "lock"):
        assert "s_data_000002.h5 is locked" in writer_of(master)
    assert (State.of(master).files, State.of(folder).files, State.of(folder).size) == (3, 2, 4)
