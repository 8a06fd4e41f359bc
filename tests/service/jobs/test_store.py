"""The array store: whole files or none, bounded, on disks that fail."""

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from service.jobs.errors import (
    StoreCorruptError,
    StoreError,
    StoreFullError,
    StoreTooSmallError,
    StoreUnavailableError,
)
from service.jobs.store import Store
from tests import disk

JOB = "0123456789abcdef0123456789abcdef"
OTHER = "f" * 32


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(tmp_path / "store")


def files(store: Store) -> list[str]:
    """Everything in the store, folders too."""
    return sorted(str(path.relative_to(store.root)) for path in store.root.rglob("*"))


def volume(seed: int = 0) -> np.ndarray:
    """Some complex volume."""
    rng = np.random.default_rng(seed)
    return (rng.random((8, 6, 4)) + 1j * rng.random((8, 6, 4))).astype(np.complex64)


def test_arrays_come_back_bit_by_bit(store: Store) -> None:
    """Dtype, shape, order and every bit survive; an empty and a non-contiguous array too."""
    arrays = {
        "object": volume(),
        "mask": np.zeros((3, 3), np.uint8),
        "none": np.zeros((0, 5)),
        "strided": np.arange(24).reshape(4, 6)[:, ::2],
        "flag": np.array(True),
    }
    path = store.write(JOB, "input", arrays)
    assert path == store.root / JOB / "input.npz"
    read = store.read(JOB, "input")
    assert read.keys() == arrays.keys()
    for name, array in arrays.items():
        assert read[name].dtype == array.dtype
        np.testing.assert_array_equal(read[name], array)


def test_writing_again_replaces(store: Store) -> None:
    """The second write stands, and nothing of the first is left."""
    store.write(JOB, "input", {"a": volume(1), "b": volume(2)})
    store.write(JOB, "input", {"a": volume(3)})
    read = store.read(JOB, "input")
    assert list(read) == ["a"]
    np.testing.assert_array_equal(read["a"], volume(3))
    assert files(store) == [JOB, f"{JOB}/input.npz"]


@pytest.mark.parametrize("job_id", ["", "..", "../x", JOB[:-1], JOB.upper(), JOB + "/..", "0" * 31 + "g"])
def test_ids_of_another_form_are_refused(store: Store, job_id: str) -> None:
    """No path is made of anything but 32 hexadecimal digits."""
    with pytest.raises(StoreError, match="no job id"):
        store.write(job_id, "input", {"a": volume()})
    assert files(store) == []


@pytest.mark.parametrize("name", ["", ".", "..", "../input", "a/b", "A", ".hidden", "x" * 65])
def test_names_of_another_form_are_refused(store: Store, name: str) -> None:
    """Names of groups cannot leave the job's folder either."""
    with pytest.raises(StoreError, match="no name"):
        store.read(JOB, name)


def test_objects_are_not_pickled(store: Store) -> None:
    """An array of Python objects is refused, and leaves nothing behind."""
    with pytest.raises(ValueError, match="'a' holds Python objects"):
        store.write(JOB, "input", {"a": np.array([{}, []], dtype=object)})
    assert files(store) == []


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "text", "header"])
def test_damage_is_noticed(store: Store, damage: str) -> None:
    """A cut, empty or foreign file and a single flipped bit are reported as damage, never returned as data."""
    path = store.write(JOB, "input", {"a": volume()})
    data = bytearray(path.read_bytes())
    match damage:
        case "truncated":
            data = data[: len(data) // 2]
        case "flipped":
            data[len(data) // 2] ^= 1
        case "empty":
            data = bytearray()
        case "text":
            data = bytearray(b"not an archive at all")
        case "header":
            data[0:4] = b"\x93NUM"
    path.write_bytes(data)
    with pytest.raises(StoreCorruptError, match=f"'input' of job {JOB} is damaged"):
        store.read(JOB, "input")


def test_missing_is_not_damage(store: Store) -> None:
    """What is not there says so."""
    with pytest.raises(StoreError, match="has no stored 'input'") as caught:
        store.read(JOB, "input")
    assert not isinstance(caught.value, StoreCorruptError)


@pytest.mark.parametrize("call", ["fdatasync", "fsync"])  # of the file, and of its folder
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_no_room_leaves_nothing(store: Store, monkeypatch: pytest.MonkeyPatch, code: int, call: str) -> None:
    """When the disk is full at the last moment, the error says so and neither file nor folder is left."""

    def refuse(_: int) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse)
        with pytest.raises(StoreFullError, match="no room"):
            store.write(JOB, "input", {"a": volume()})
    assert files(store) == []


def test_no_room_keeps_the_old(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed replacement leaves the earlier group readable."""
    store.write(JOB, "input", {"a": volume(1)})

    def refuse(_: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", refuse)
        with pytest.raises(StoreFullError):
            store.write(JOB, "input", {"a": volume(2)})
    np.testing.assert_array_equal(store.read(JOB, "input")["a"], volume(1))
    assert files(store) == [JOB, f"{JOB}/input.npz"]


def test_what_is_written_outlives_the_power(tmp_path: Path) -> None:
    """On a disk that loses all that it was not made to write: a durable group is whole in the moment in which the call
    returns, whether it is new, replaces one or may not replace any; what was not waited for is gone.
    """
    with disk.journalled(tmp_path / "disk", 16) as medium:
        store = Store(medium.folder / "store")
        store.write(JOB, "input", {"a": volume(1)})
        store.write(JOB, "result-1", {"a": volume(2)}, replace=False)
        store.write(JOB, "input", {"a": volume(3)})
        store.write(JOB, "checkpoint-1", {"a": volume(4)}, durable=False)
        store.write(OTHER, "upload", {"a": volume(5)}, durable=False)
        with medium.after_a_power_cut(tmp_path / "first") as found:
            kept = Store(found / "store")
            np.testing.assert_array_equal(kept.read(JOB, "input")["a"], volume(3))
            np.testing.assert_array_equal(kept.read(JOB, "result-1")["a"], volume(2))
            assert kept.names(JOB) == ["input", "result-1"]
            assert not kept.has(OTHER, "upload")
        store.sync(OTHER, "upload")
        with medium.after_a_power_cut(tmp_path / "second") as found:
            np.testing.assert_array_equal(Store(found / "store").read(OTHER, "upload")["a"], volume(5))


def test_what_is_new_waits_for_one_commit_of_the_journal(tmp_path: Path) -> None:
    """The bytes, the name and the folder of a job's input in one, those of its result in another."""
    with disk.journalled(tmp_path / "disk", 16) as medium:
        store = Store(medium.folder / "store")
        store.write(OTHER, "input", {"a": volume()})  # and what the disk itself had to note
        before = medium.commits
        store.write(JOB, "input", {"a": volume()})
        store.write(JOB, "result-1", {"a": volume()})
        assert medium.commits - before == 2


def test_a_power_cut_while_a_group_is_replaced_leaves_the_earlier_one_or_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every call that waits for the disk."""
    with disk.journalled(tmp_path / "disk", 16) as medium:
        store = Store(medium.folder / "store")
        store.write(JOB, "input", {"a": volume(1)})
        found: list[int] = []

        def cut(call: Callable[[int], None], descriptor: int) -> None:
            for moment in ("before", "after"):
                with medium.after_a_power_cut(tmp_path / f"{len(found)} {moment}") as folder:
                    kept = Store(folder / "store").read(JOB, "input")["a"]
                    found.append(next(seed for seed in (1, 2) if np.array_equal(kept, volume(seed))))
                if moment == "before":
                    call(descriptor)

        for name in ("fsync", "fdatasync"):
            monkeypatch.setattr(os, name, partial(cut, getattr(os, name)))
        store.write(JOB, "input", {"a": volume(2)})
        assert found[0] == 1
        assert found[-1] == 2


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    with disk.small(tmp_path / "disk", 1) as folder:
        yield folder


def test_a_disk_that_is_really_full(small_disk: Path) -> None:
    """On a real file system of 1 MiB of which others have taken 0.9 the store refuses 0.5 MiB cleanly and says how much
    is lacking; it takes what fits, and what did not when the others have gone.
    """
    store = Store(small_disk / "store")
    (small_disk / "others").write_bytes(bytes(9 * 2**20 // 10))
    for attempt in (
        lambda: store.write(JOB, "input", {"a": np.zeros(2**16)}),
        lambda: store.admit(2**19),
        lambda: store.admit(2**19, JOB),
    ):
        with pytest.raises(StoreFullError, match=r"has [\d.]+ KiB left, and 512 KiB are needed") as caught:
            attempt()
        assert caught.value.needed == 2**19
    assert files(store) == []
    store.write(JOB, "input", {"a": np.zeros(2**10)})
    assert store.has(JOB, "input")
    (small_disk / "others").unlink()
    store.write(JOB, "input", {"a": np.zeros(2**16)})


def test_a_disk_that_is_too_small(small_disk: Path) -> None:
    """What a disk of 1 MiB could not hold if it were empty but for the job itself is told from what has no room now."""
    store = Store(small_disk / "store")
    (small_disk / "others").write_bytes(bytes(2**19))
    for attempt in (lambda: store.write(JOB, "input", {"a": np.zeros(2**18)}), lambda: store.admit(2**21)):
        with pytest.raises(StoreTooSmallError, match=r"2 MiB are needed, .* has 1 MiB in all, with 5\d\d KiB .* free"):
            attempt()
    assert files(store) == []
    store.write(JOB, "input", {"a": np.zeros(2**15)})
    with pytest.raises(StoreFullError):
        store.write("b" * 32, "result-1", {"a": np.zeros(3 * 2**15)})
    with pytest.raises(StoreTooSmallError, match=r"768 KiB are needed beside 256 KiB that the job has stored"):
        store.write(JOB, "result-1", {"a": np.zeros(3 * 2**15)})
    assert files(store) == [JOB, f"{JOB}/input.npz"]


def test_a_store_whose_files_may_not_be_so_large(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """EFBIG does not pass by waiting."""

    def refuse(_: int) -> None:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))

    monkeypatch.setattr(os, "fdatasync", refuse)
    with pytest.raises(StoreTooSmallError, match="as large as 'input'"):
        store.write(JOB, "input", {"a": volume()})
    assert files(store) == []


def test_admission(tmp_path: Path) -> None:
    """The bound counts what is stored and what wants in."""
    store = Store(tmp_path, max_bytes=10_000)
    with pytest.raises(StoreTooSmallError, match=r"9\.77 KiB are needed, and the store may have 9\.77 KiB in all"):
        store.admit(10_001)
    store.admit(10_000)
    store.write(JOB, "input", {"a": np.zeros(1000)})
    assert 8000 < store.total_bytes() < 8500  # the array and an npz's directory
    store.admit(1000)
    with pytest.raises(StoreFullError, match="do not fit"):
        store.admit(3000)


def test_deleting(store: Store) -> None:
    """A group, or a whole job, is gone without traces; deleting again is no error."""
    for name in ("input", "result-1"):
        store.write(JOB, name, {"a": volume()})
    store.delete(JOB, "input")
    assert files(store) == [JOB, f"{JOB}/result-1.npz"]
    for _ in range(2):
        store.delete(JOB)
        store.delete(JOB, "input")
    assert files(store) == []


def test_what_has_to_go_before_more_fits(tmp_path: Path) -> None:
    """By the bound, and by what the disk has left."""
    store = Store(tmp_path, max_bytes=30_000)
    store.write(JOB, "input", {"a": np.zeros(1000)})
    held = store.total_bytes()
    assert store.excess(30_000 - held) == 0
    assert store.excess(30_000) == held
    assert Store(tmp_path).excess(2**60) > 2**59


def test_what_killed_writers_left_is_swept(tmp_path: Path) -> None:
    """What has been seen for an hour is removed, a newer file stays; what the files say of their time means nothing:
    the clock of a host may be days ahead.
    """
    clock = [0.0]
    store = Store(tmp_path / "store", clock=lambda: clock[0])
    store.write(JOB, "input", {"a": volume()})
    left, fresh = store.root / JOB / ".input.npz.1.tmp", store.root / JOB / ".input.npz.2.tmp"
    doomed = store.root / f".{JOB}.3.tmp"
    doomed.mkdir()
    (doomed / "input.npz").touch()
    left.touch()
    os.utime(left, (0, 0))
    store.sweep_abandoned()
    assert left.exists()
    clock[0] = 1800.0
    fresh.touch()
    os.utime(fresh, (0, 0))
    store.sweep_abandoned()
    clock[0] = 3700.0
    store.sweep_abandoned()
    assert files(store) == [JOB, f"{JOB}/.input.npz.2.tmp", f"{JOB}/input.npz"]


@pytest.fixture
def sealed_disk(small_disk: Path) -> Iterator[Path]:
    """A store with a job, on a file system that has become read-only, as after an error of the disk."""
    Store(small_disk / "store").write(JOB, "input", {"a": volume()})
    subprocess.check_call(["mount", "-o", "remount,ro", small_disk])
    yield small_disk / "store"
    subprocess.check_call(["mount", "-o", "remount,rw", small_disk])


def test_a_disk_that_is_really_read_only(sealed_disk: Path) -> None:
    """Whatever would change it says that the store does not work; what is there can be read."""
    store = Store(sealed_disk)
    for change in (
        lambda: store.write(JOB, "result-1", {"a": volume()}),
        lambda: store.write("f" * 32, "input", {"a": volume()}),
        lambda: store.link(JOB, "input", "f" * 32, "result-0"),
        lambda: store.delete(JOB),
        lambda: store.delete(JOB, "input"),
        lambda: store.probe(),
        lambda: store.scratch().__enter__(),
    ):
        with pytest.raises(StoreUnavailableError, match="Read-only file system"):
            change()
    np.testing.assert_array_equal(store.read(JOB, "input")["a"], volume())


@pytest.mark.parametrize("code", [errno.EIO, errno.EROFS, errno.ESTALE, errno.EACCES])
def test_a_disk_that_fails_is_no_damage(store: Store, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """Of a write as of a read: the arrays may be whole, and the next try may find them."""
    store.write(JOB, "input", {"a": volume()})

    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", fail)
        with pytest.raises(StoreUnavailableError):
            store.write(JOB, "input", {"a": volume(1)})
        patch.setattr(Path, "open", fail)
        with pytest.raises(StoreUnavailableError):
            store.read(JOB, "input")
    np.testing.assert_array_equal(store.read(JOB, "input")["a"], volume())
