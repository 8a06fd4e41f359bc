"""The arrays of jobs on disk, one folder a job. Arrays never travel through Redis:
messages carry ids, the store has the rest.

The folder may be shared between hosts: a file appears under its name complete or not at all.
"""

import errno
import os
import re
import shutil
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from service.jobs.errors import StoreCorruptError, StoreError, StoreFullError

Arrays = dict[str, NDArray[Any]]

_ID = re.compile(r"[0-9a-f]{32}")
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_ABANDONED_AFTER_S = 3600.0  # a write takes seconds: an older temporary file belongs to a process that was killed


@dataclass(frozen=True)
class StoredJob:
    """What one job occupies: its bytes on disk and when it was last written (seconds since the epoch)."""

    job_id: str
    nbytes: int
    modified: float


class Store:
    """Named groups of arrays per job: `write(id, "input", {...})`, `read(id, "input")`.

    max_bytes bounds what `admit` lets in; None leaves only the disk itself as the bound.
    """

    def __init__(self, root: Path, max_bytes: int | None = None) -> None:
        self.root = root
        self.max_bytes = max_bytes
        root.mkdir(mode=0o700, parents=True, exist_ok=True)

    def write(
        self,
        job_id: str,
        name: str,
        arrays: Mapping[str, NDArray[Any]],
        *,
        durable: bool = True,
        replace: bool = True,
    ) -> Path:
        """Write a group of arrays as one uncompressed npz (each member with its checksum), on disk when this returns.

        Replaces an earlier group of this name in one step; with replace=False StoreError where there is one, also where
        two write at the same moment. Raises StoreFullError where there is no room, and leaves
        neither a part of the file nor an empty folder then. durable: False does not wait for the disk; after a power
        cut the group may be damaged, which `read` notices.
        """
        path = self.path(job_id, name)
        new_folder = not path.parent.exists()
        temporary = path.parent / f".{path.name}.{uuid4().hex}.tmp"
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            with temporary.open("wb") as file:
                np.savez(file, allow_pickle=False, **arrays)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            if replace:
                temporary.replace(path)
            else:
                os.link(temporary, path)  # in one step, and only where nothing is
                temporary.unlink()
            if durable:
                _sync_folder(path.parent)
                if new_folder:
                    _sync_folder(self.root)
        except BaseException as error:
            temporary.unlink(missing_ok=True)
            if new_folder and path.parent.is_dir() and not any(path.parent.iterdir()):
                path.parent.rmdir()
            if isinstance(error, FileExistsError):
                raise StoreError(f"job {job_id} has a stored {name!r} already") from None
            if isinstance(error, OSError) and error.errno in _FULL:
                raise StoreFullError(
                    f"no room for {name!r} of job {job_id} in {self.root}: free some space or let results expire sooner"
                ) from error
            raise
        return path

    def sync(self, job_id: str, name: str) -> None:
        """Force a group to the disk that was written without waiting for it. One that is gone is no error."""
        path = self.path(job_id, name)
        try:
            with path.open("rb") as file:
                os.fsync(file.fileno())
            _sync_folder(path.parent)
            _sync_folder(self.root)
        except FileNotFoundError:
            return

    def read(self, job_id: str, name: str) -> Arrays:
        """All arrays of a group, checked against their checksums.

        Raises StoreError where the group is missing, StoreCorruptError where it is damaged.
        """
        path = self.path(job_id, name)
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                return {key: archive[key] for key in archive.files}
        except FileNotFoundError:
            raise StoreError(f"job {job_id} has no stored {name!r}: it never had, or it has expired") from None
        except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, KeyError, AttributeError, OSError) as error:
            raise StoreCorruptError(f"the stored {name!r} of job {job_id} is damaged: {error}") from error

    def link(self, job_id: str, name: str, new_job_id: str, new_name: str) -> None:
        """Give a group a second name under another job, without a copy where the file system can. Each may be deleted.

        Replaces an earlier group of the new name. Raises StoreError where the group is gone.
        """
        source, target = self.path(job_id, name), self.path(new_job_id, new_name)
        target.parent.mkdir(mode=0o700, exist_ok=True)
        try:
            target.unlink(missing_ok=True)
            try:
                os.link(source, target)
            except FileNotFoundError:
                raise
            except OSError:  # a file system without links
                shutil.copyfile(source, target)
        except FileNotFoundError:
            if not any(target.parent.iterdir()):
                target.parent.rmdir()
            raise StoreError(f"job {job_id} has no stored {name!r}: it has expired") from None
        os.utime(target)  # one file, one time: taken up again, it is young again
        _sync_folder(target.parent)
        _sync_folder(self.root)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder that is gone after the block; one left behind by a process that was killed is swept up later.

        Raises StoreFullError where the block finds no room.
        """
        folder = self.root / f".{uuid4().hex}.tmp"
        try:
            folder.mkdir(mode=0o700)
            yield folder
        except OSError as error:
            if error.errno not in _FULL:
                raise
            raise StoreFullError(f"no room for a file of this request in {self.root}: free some space") from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def write_preview(self, job_id: str, attempt: int, png: bytes) -> None:
        """Replace the picture of a running attempt: in one step, but not forced to the disk."""
        path = self._preview(job_id, attempt)
        temporary = path.parent / f".{path.name}.{uuid4().hex}.tmp"
        try:
            temporary.write_bytes(png)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    def preview(self, job_id: str, attempt: int) -> bytes | None:
        """The latest picture (PNG) of an attempt, None where there is none."""
        try:
            return self._preview(job_id, attempt).read_bytes()
        except FileNotFoundError:
            return None

    def _preview(self, job_id: str, attempt: int) -> Path:
        return self.path(job_id, f"preview-{attempt}").with_suffix(".png")

    def path(self, job_id: str, name: str) -> Path:
        """Where a group lies, existing or not. Ids and names of another form are refused: no path comes from a user."""
        if not _ID.fullmatch(job_id):
            raise StoreError(f"{job_id!r} is no job id: expected 32 hexadecimal digits")
        if not _NAME.fullmatch(name):
            raise StoreError(
                f"{name!r} is no name for stored arrays: expected lower case letters, digits, '.', '_', '-'"
            )
        return self.root / job_id / f"{name}.npz"

    def has(self, job_id: str, name: str) -> bool:
        """Whether the group exists."""
        return self.path(job_id, name).is_file()

    def names(self, job_id: str) -> list[str]:
        """The groups that the job has; none where it has no folder."""
        return sorted(path.stem for path in self.path(job_id, "any").parent.glob("[!.]*.npz"))

    def delete(self, job_id: str, name: str | None = None) -> None:
        """Forget one group, or the whole job. What is already gone is no error."""
        if name is not None:
            self.path(job_id, name).unlink(missing_ok=True)
            return
        folder = self.path(job_id, "any").parent
        doomed = self.root / f".{job_id}.{uuid4().hex}.tmp"
        try:
            folder.rename(doomed)  # in one step, so that no reader meets half a job
        except FileNotFoundError:
            return
        shutil.rmtree(doomed, ignore_errors=True)

    def jobs(self) -> list[StoredJob]:
        """What every job occupies, the one written longest ago first."""
        found = []
        for entry in os.scandir(self.root):
            if _ID.fullmatch(entry.name):
                try:
                    stats = [item.stat() for item in os.scandir(entry.path)]
                    modified = max((stat.st_mtime for stat in stats), default=entry.stat().st_mtime)
                except FileNotFoundError:
                    continue  # deleted while we looked
                nbytes = sum(stat.st_size // stat.st_nlink for stat in stats)  # names of one file share its bytes
                found.append(StoredJob(entry.name, nbytes, modified))
        return sorted(found, key=lambda job: job.modified)

    def total_bytes(self) -> int:
        """Bytes that all jobs occupy together."""
        return sum(job.nbytes for job in self.jobs())

    def admit(self, nbytes: int) -> None:
        """Raise StoreFullError unless `nbytes` more fit under `max_bytes` and on the disk.
        Ask before accepting a job.
        """
        free = shutil.disk_usage(self.root).free
        if nbytes > free:
            raise StoreFullError(f"the disk of {self.root} has {free} bytes left, {nbytes} are needed")
        if self.max_bytes is not None and nbytes + (total := self.total_bytes()) > self.max_bytes:
            raise StoreFullError(
                f"the store holds {total} of at most {self.max_bytes} bytes, {nbytes} more do not fit: "
                "delete finished jobs or wait until they expire"
            )

    def expire(self, *, max_age_s: float, deletable: Callable[[str], bool], room: int = 0) -> list[str]:
        """Delete jobs older than `max_age_s`, then the oldest until `room` more bytes fit under `max_bytes` and on the
        disk.

        deletable: says whether a job has ended. Others are never touched. Returns the ids deleted.
        """
        now = time.time()
        self._sweep_abandoned(now)
        jobs = self.jobs()
        excess = room - shutil.disk_usage(self.root).free
        if self.max_bytes is not None:
            excess = max(excess, sum(job.nbytes for job in jobs) + room - self.max_bytes)
        deleted = []
        for job in jobs:
            if (now - job.modified > max_age_s or excess > 0) and deletable(job.job_id):
                self.delete(job.job_id)
                deleted.append(job.job_id)
                excess -= job.nbytes
        return deleted

    def _sweep_abandoned(self, now: float) -> None:
        """Remove temporary files and folders of processes that were killed while they wrote or deleted."""
        for path in (*self.root.glob(".*.tmp"), *self.root.glob("*/.*.tmp")):
            try:
                if now - path.stat().st_mtime < _ABANDONED_AFTER_S:
                    continue
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            except FileNotFoundError:
                continue  # another host was quicker


def _sync_folder(folder: Path) -> None:
    """Make a rename in this folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
