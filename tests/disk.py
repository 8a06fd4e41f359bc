"""File systems of a few megabytes, for tests of disks that are full, and of machines that lose their power."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


@contextmanager
def small(folder: Path, mebibytes: int) -> Iterator[Path]:
    """A new folder on a disk of its own; the test skips where none can be mounted."""
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.call(mount) != 0:
        pytest.skip("mounting a small file system needs root")
    try:
        yield folder
    finally:
        subprocess.check_call(["umount", str(folder)])


@dataclass(frozen=True)
class Journalled:
    """A mounted disk with a journal (ext4), and the file that stands in for its medium."""

    folder: Path
    medium: Path

    @property
    def commits(self) -> int:
        """Of the journal, so far."""
        device = subprocess.check_output(["findmnt", "-no", "SOURCE", str(self.folder)], text=True).strip()
        (info,) = Path("/proc/fs/jbd2").glob(f"{Path(device).name}-*/info")
        return int(info.read_text().split()[0])

    @contextmanager
    def after_a_power_cut(self, elsewhere: Path) -> Iterator[Path]:
        """What a machine would find on the disk if it lost its power now: what has not reached the medium is gone."""
        copy = shutil.copyfile(self.medium, elsewhere.with_suffix(".img"))
        with _mounted(copy, elsewhere):
            yield elsewhere


@contextmanager
def journalled(folder: Path, mebibytes: int) -> Iterator[Journalled]:
    """A new disk that writes nothing by itself for five minutes; the test skips where none can be mounted."""
    medium = folder.with_suffix(".img")
    with medium.open("wb") as file:
        file.truncate(mebibytes * 2**20)
    if shutil.which("mkfs.ext4") is None or subprocess.call(["mkfs.ext4", "-q", "-F", str(medium)]) != 0:
        pytest.skip("no mkfs.ext4 here")
    with _mounted(medium, folder):
        yield Journalled(folder, medium)


@contextmanager
def _mounted(medium: Path, folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True)
    if os.geteuid() != 0 or subprocess.call(["mount", "-o", "loop,commit=300", str(medium), str(folder)]) != 0:
        pytest.skip("mounting a disk from a file needs root and loop devices")
    try:
        yield
    finally:
        subprocess.check_call(["umount", str(folder)])
