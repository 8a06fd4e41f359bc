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
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from inphase.archive import save
from inphase.sizes import in_words
from service.jobs.errors import (
    StoreCorruptError,
    StoreError,
    StoreFullError,
    StoreTooSmallError,
    StoreUnavailableError,
)

Arrays = dict[str, NDArray[Any]]

_ID = re.compile(r"[0-9a-f]{32}")
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_FULL = (errno.ENOSPC, errno.EDQUOT)
_ABANDONED_AFTER_S = 3600.0  # a write takes seconds: an older temporary file belongs to a process that was killed


class Sightings:
    """For how long this process has seen what lies in the store: no clock of a host or a file server is asked, for one
    that is wrong would make everything old.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since: dict[str, float] = {}

    def look(self, names: Iterable[str]) -> dict[str, float]:
        """Seconds since each of these names was first seen; what is not among them is forgotten."""
        now = self._clock()
        self._since = {name: self._since.get(name, now) for name in names}
        return {name: now - since for name, since in self._since.items()}


@dataclass(frozen=True)
class StoredJob:
    """What one job occupies on disk."""

    job_id: str
    nbytes: int


@dataclass(frozen=True)
class _Disk:
    """Bytes that it has for this user. free: now. most: when it is empty."""

    free: int
    most: int


class Store:
    """Named groups of arrays per job: `write(id, "input", {...})`, `read(id, "input")`.

    max_bytes bounds what `admit` lets in; None leaves only the disk itself as the bound. A disk that is full raises
    StoreFullError, one that is too small for what is to be written also when it is empty StoreTooSmallError, one that
    is read-only, fails or is away StoreUnavailableError.
    """

    def __init__(self, root: Path, max_bytes: int | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.root = root
        self.max_bytes = max_bytes
        self.unrecorded = Sightings(clock)  # jobs without a record, for housekeeping
        self._temporary = Sightings(clock)
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
        two write at the same moment. Raises StoreFullError and StoreTooSmallError where there is no room, and leaves
        neither a part of the file nor an empty folder then. durable: False does not wait for the disk; after a power
        cut the group may be damaged, which `read` notices.
        """
        path = self.path(job_id, name)
        try:
            with self._explained(f"{name!r} of job {job_id}"):
                self._write(path, arrays, durable=durable, replace=replace)
        except StoreFullError:
            self.admit(sum(array.nbytes for array in arrays.values()), job_id)  # which says how much is lacking
            raise
        return path

    def _write(self, path: Path, arrays: Mapping[str, NDArray[Any]], *, durable: bool, replace: bool) -> None:
        new_folder, new = not path.parent.exists(), not path.exists()
        temporary = path.parent / f".{path.name}.{uuid4().hex}.tmp"
        named: os.stat_result | None = None
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            with temporary.open("wb") as file:
                save(file, arrays)
                file.flush()
                # an earlier group lasts until then, and nobody goes by a lost one
                if durable and not (new and replace):
                    os.fdatasync(file.fileno())
                if replace:
                    temporary.replace(path)
                else:
                    os.link(temporary, path)  # in one step, and only where nothing is
                    temporary.unlink()
                named = os.fstat(file.fileno())
                if durable:
                    # the journal of a file system takes a file and its new name at once: the first of these waits
                    os.fdatasync(file.fileno())
                    _sync_folder(path.parent)
                    if new_folder:
                        _sync_folder(self.root)
        except BaseException as error:
            with suppress(OSError):  # of the disk that has failed
                temporary.unlink(missing_ok=True)
                if named and new and os.path.samestat(named, path.stat()):  # nobody else has written it meanwhile
                    path.unlink()
                if new_folder and path.parent.is_dir() and not any(path.parent.iterdir()):
                    path.parent.rmdir()
            if isinstance(error, FileExistsError):
                raise StoreError(f"job {path.parent.name} has a stored {path.stem!r} already") from None
            raise

    def sync(self, job_id: str, name: str) -> None:
        """Force a group to the disk that was written without waiting for it. One that is gone is no error."""
        path = self.path(job_id, name)
        with self._explained(f"{name!r} of job {job_id}"), suppress(FileNotFoundError):
            with path.open("rb") as file:
                os.fdatasync(file.fileno())
            _sync_folder(path.parent)
            _sync_folder(self.root)

    def read(self, job_id: str, name: str, *, only: Collection[str] | None = None) -> Arrays:
        """All arrays of a group, or only some of them, checked against their checksums.

        Raises StoreError where the group is missing, StoreCorruptError where it is damaged.
        """
        path = self.path(job_id, name)
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                return {key: archive[key] for key in (archive.files if only is None else only)}
        except FileNotFoundError:
            raise StoreError(f"job {job_id} has no stored {name!r}: it never had, or it has expired") from None
        except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, KeyError, AttributeError, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:  # numpy's own errors have none
                raise self._failed(f"{name!r} of job {job_id}", error) from error
            raise StoreCorruptError(f"the stored {name!r} of job {job_id} is damaged: {error}") from error

    def link(self, job_id: str, name: str, new_job_id: str, new_name: str) -> None:
        """Give a group a second name under another job, without a copy where the file system can. Each may be deleted.

        Replaces an earlier group of the new name. Raises StoreError where the group is gone.
        """
        source, target = self.path(job_id, name), self.path(new_job_id, new_name)
        with self._explained(f"{new_name!r} of job {new_job_id}"):
            self._link(source, target)

    def _link(self, source: Path, target: Path) -> None:
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
            raise StoreError(f"job {source.parent.name} has no stored {source.stem!r}: it has expired") from None
        _sync_folder(target.parent)
        _sync_folder(self.root)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder that is gone after the block; one left behind by a process that was killed is swept up later.

        What the block meets in it is raised as by `write`.
        """
        folder = self.root / f".{uuid4().hex}.tmp"
        try:
            with self._explained("a file on its way"):
                folder.mkdir(mode=0o700)
                yield folder
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
        with self._explained(f"the picture of job {job_id}"), suppress(FileNotFoundError):
            return self._preview(job_id, attempt).read_bytes()
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
        folder = self.path(job_id, "any").parent
        doomed = self.root / f".{job_id}.{uuid4().hex}.tmp"
        with self._explained(f"job {job_id}"), suppress(FileNotFoundError):
            if name is not None:
                self.path(job_id, name).unlink()
                return
            folder.rename(doomed)  # in one step, so that no reader meets half a job
            shutil.rmtree(doomed, ignore_errors=True)

    def jobs(self) -> list[StoredJob]:
        """What every job occupies."""
        with self._explained("what it holds"):
            return list(self._jobs(name for name in os.listdir(self.root) if _ID.fullmatch(name)))

    def _jobs(self, ids: Iterable[str]) -> Iterator[StoredJob]:
        for job_id in ids:
            try:
                with os.scandir(self.root / job_id) as entries:
                    stats = [item.stat() for item in entries]
            except FileNotFoundError:
                continue  # deleted while we looked
            nbytes = sum(stat.st_size // stat.st_nlink for stat in stats)  # names of one file share its bytes
            yield StoredJob(job_id, nbytes)

    def total_bytes(self) -> int:
        """Bytes that all jobs occupy together."""
        return sum(job.nbytes for job in self.jobs())

    def admit(self, nbytes: int, job_id: str | None = None) -> None:
        """Raise StoreFullError unless `nbytes` more fit under `max_bytes` and on the disk, StoreTooSmallError where
        they would not if nothing else were there but what this job has stored. Ask before accepting a job.
        """
        disk, needed = self._disk(), in_words(nbytes)
        free = in_words(disk.free)
        own = 0 if job_id is None else sum(job.nbytes for job in self._jobs((job_id,)))
        if nbytes + own > (most := min(disk.most, self.max_bytes or disk.most)):
            what = "the store may have" if most < disk.most else "the disk of the store has"
            kept = f" beside {in_words(own)} that the job has stored" if own else ""
            raise StoreTooSmallError(
                f"{needed} are needed{kept}, and {what} {in_words(most)} in all, with {free} of the disk free: ask for "
                "a smaller result, or have the operator give the service more room"
            )
        if nbytes > disk.free:
            raise StoreFullError(f"no room: the disk of the store has {free} left, and {needed} are needed", nbytes)
        if self.max_bytes is not None and nbytes + (total := self.total_bytes()) > self.max_bytes:
            raise StoreFullError(
                f"the store holds {in_words(total)} of at most {in_words(self.max_bytes)}, {needed} more do not fit: "
                "delete finished jobs or wait until they expire",
                nbytes,
            )

    def excess(self, room: int) -> int:
        """Bytes that have to go before `room` more fit under `max_bytes` and on the disk; 0 where they fit."""
        lacking = room - self._disk().free
        if self.max_bytes is not None:
            lacking = max(lacking, self.total_bytes() + room - self.max_bytes)
        return max(0, lacking)

    def probe(self) -> None:
        """Raises what a small write would."""
        path = self.root / f".{uuid4().hex}.tmp"
        with self._explained("anything"):
            try:
                with path.open("wb") as file:
                    file.write(b"probe")
                    file.flush()
                    os.fsync(file.fileno())
            finally:
                path.unlink(missing_ok=True)

    def sweep_abandoned(self) -> None:
        """Remove temporary files and folders of processes that were killed while they wrote or deleted."""
        with self._explained("what was abandoned"):
            paths = {str(path): path for path in (*self.root.glob(".*.tmp"), *self.root.glob("*/.*.tmp"))}
            for name, seconds in self._temporary.look(paths).items():
                if seconds >= _ABANDONED_AFTER_S:
                    with suppress(FileNotFoundError):  # another host was quicker
                        path = paths[name]
                        shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _disk(self) -> _Disk:
        with self._explained("its free space"):
            found = os.statvfs(self.root)
        reserved = found.f_bfree - found.f_bavail  # for the administrator of the machine
        return _Disk(found.f_bavail * found.f_frsize, (found.f_blocks - reserved) * found.f_frsize)

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        """What the system says of the disk, as errors of ours."""
        try:
            yield
        except OSError as error:
            raise self._failed(what, error) from error

    def _failed(self, what: str, error: OSError) -> StoreError:
        if error.errno in _FULL:
            return StoreFullError(f"no room for {what} in the store: free some space or let results expire sooner")
        if error.errno == errno.EFBIG:
            return StoreTooSmallError(f"no file of the store may be as large as {what}: ask for a smaller result")
        return StoreUnavailableError(f"the store does not work, {what}: {error.strerror or error}")


def _sync_folder(folder: Path) -> None:
    """Make a rename in this folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
