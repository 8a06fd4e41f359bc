"""service.sandbox: what comes out of a process that may die is what the readers return, and nothing else gets out."""

import fcntl
import os
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import psutil
import pytest
import scipy.io
import tifffile
from numpy.typing import NDArray

from inphase.errors import DataError, TooLargeError
from inphase.formats import Limits, RawScan, Reading, npz, read_as
from inphase.formats.scan import Saturation
from inphase.geometry import Geometry
from inphase.pattern import Domain
from inphase.preprocess.corrections import Corrections
from service.sandbox.errors import SandboxError, SandboxUnavailableError
from service.sandbox.order import BodyOrder, FileOrder
from service.sandbox.sandbox import Sandbox
from tests import eiger
from tests.hostile import crafted

RNG = np.random.default_rng(5)
COUNTS: NDArray[np.uint16] = RNG.poisson(3.0, (6, 8, 10)).astype(np.uint16)
LIMITS = Limits(2**24)


def npy(root: Path) -> FileOrder:
    np.save(root / "scan.npy", np.asfortranarray(COUNTS))
    return FileOrder(root / "scan.npy")


def archive(root: Path) -> FileOrder:
    """With everything that a scan can have, and a mask of one frame."""
    scan = RawScan(
        COUNTS,
        Geometry(np.eye(3) * 1e7, np.array([1e9, 2e9, 3e9]), np.eye(3)),
        "",
        "",
        mask=np.broadcast_to(np.arange(80).reshape(8, 10) % 3, (6, 8, 10)).astype(np.uint8),
        saturation=Saturation(60000.0, "told"),
        corrections=Corrections(np.zeros((16, 20)), np.ones((16, 20), np.float32), ((0, 8), (2, 12))),
    )
    (root / "scan.npz").write_bytes(npz.encode(scan))
    return FileOrder(root / "scan.npz")


def masked_by_a_frame(root: Path) -> FileOrder:
    np.savez(root / "frame.npz", data=COUNTS, mask=(np.arange(80).reshape(8, 10) % 3).astype(np.uint8))
    return FileOrder(root / "frame.npz")


def hdf5(root: Path) -> FileOrder:
    with h5py.File(root / "scan.h5", "w") as file:
        file.create_dataset(
            "entry/data/data", data=COUNTS.astype(np.uint32), chunks=(1, 8, 10), **hdf5plugin.Bitshuffle()
        )
    return FileOrder(root / "scan.h5")


def matlab(root: Path) -> FileOrder:
    scipy.io.savemat(root / "scan.mat", {"data": COUNTS.astype(np.float64)})
    return FileOrder(root / "scan.mat", domain=Domain.MODULUS)


def stack(root: Path) -> FileOrder:
    tifffile.imwrite(root / "scan.tif", COUNTS, photometric="minisblack", compression="zlib")
    return FileOrder(root / "scan.tif")


def frames(root: Path) -> FileOrder:
    """A folder, which its reader reads with threads, and detector maps."""
    (root / "frames").mkdir()
    for number, frame in enumerate(COUNTS):
        tifffile.imwrite(root / "frames" / f"scan_{number:04d}.tif", frame)
    tifffile.imwrite(root / "dark.tif", np.zeros((8, 10), np.float32))
    np.save(root / "flat.npy", np.ones((8, 10)))
    reading = Reading(dark=root / "dark.tif", flat=root / "flat.npy", roi="0:8,0:10")
    return FileOrder(root / "frames", reading)


def single_frame(root: Path) -> FileOrder:
    np.save(root / "frame.npy", COUNTS[0].astype(np.float32))
    return FileOrder(root / "frame.npy")


def hdf5_in_the_way_of_a_result(root: Path) -> FileOrder:
    with h5py.File(root / "scan.cxi", "w") as file:
        file.create_dataset("entry_1/data_1/data", data=COUNTS)
        file.create_dataset("entry_1/other", data=COUNTS[:2])
    return FileOrder(root / "scan.cxi")


def large(root: Path) -> FileOrder:
    """Of which a region is found, frame by frame and with threads."""
    return FileOrder(eiger.write(root, eiger.measurement()), limits=Limits(whole_voxels=10**6))


def same(one: Any, other: Any) -> bool:
    """Bit by bit."""
    if one is None or other is None:
        return one is other
    left, right = np.asarray(one), np.asarray(other)
    return left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()


@pytest.mark.parametrize(
    "made",
    [npy, archive, masked_by_a_frame, hdf5, matlab, stack, frames, single_frame, hdf5_in_the_way_of_a_result, large],
)
def test_a_scan_is_the_one_that_is_read_in_process(
    sandbox: Sandbox, root: Path, made: Callable[[Path], FileOrder]
) -> None:
    order = made(root)
    expected = read_as(order.path, order.reading, order.domain, order.limits)

    found = sandbox.read(order)

    assert same(found.array, expected.array)
    assert same(found.mask, expected.mask)
    assert (found.source, found.chosen, found.metadata) == (expected.source, expected.chosen, expected.metadata)
    assert found.saturation == expected.saturation
    assert found.region == expected.region
    assert (found.geometry is None) == (expected.geometry is None)
    if found.geometry is not None and expected.geometry is not None:
        for name in ("q_steps", "q_centre", "sample_rotation"):
            assert same(getattr(found.geometry, name), getattr(expected.geometry, name))
    assert (found.corrections is None) == (expected.corrections is None)
    if found.corrections is not None and expected.corrections is not None:
        assert same(found.corrections.dark, expected.corrections.dark)
        assert same(found.corrections.flat, expected.corrections.flat)
        assert found.corrections.roi == expected.corrections.roi


def test_what_is_read_can_be_changed_as_if_it_were_read_in_process(sandbox: Sandbox, root: Path) -> None:
    np.save(root / "own.npy", COUNTS)

    first, second = (sandbox.read(FileOrder(root / "own.npy")).array for _ in range(2))
    first[...] = 0

    assert np.array_equal(second, COUNTS)


def test_the_mask_of_a_frame_is_kept_once(sandbox: Sandbox, root: Path) -> None:
    np.savez(root / "once.npz", data=COUNTS, mask=np.zeros((8, 10), np.uint8))

    mask = sandbox.read(FileOrder(root / "once.npz")).mask

    assert mask is not None
    assert mask.strides[0] == 0


@pytest.mark.parametrize(("limits", "kind"), [(Limits(), DataError), (Limits(100), TooLargeError)])
def test_errors_of_readers_keep_their_kind_and_text(
    sandbox: Sandbox, root: Path, limits: Limits, kind: type[DataError]
) -> None:
    path = root / "cut.npy"
    np.save(path, COUNTS)
    path.write_bytes(path.read_bytes()[:-7])
    order = FileOrder(path, limits=limits)
    with pytest.raises(kind) as expected:
        read_as(order.path, order.reading, order.domain, order.limits)

    with pytest.raises(kind) as found:
        sandbox.read(order)

    assert type(found.value) is type(expected.value)
    assert str(found.value) == str(expected.value)


def sent(order: FileOrder, scratch: Path, name: str = "") -> BodyOrder:
    """The same file as a body."""
    folder = Path(tempfile.mkdtemp(dir=scratch))
    return BodyOrder(Path(shutil.copy(order.path, folder / (name or f"body{order.path.suffix}"))))


def test_an_archive_that_was_sent_is_read_once_its_size_is_admitted(
    sandbox: Sandbox, root: Path, scratch: Path
) -> None:
    admitted: list[tuple[int, int]] = []

    found = sandbox.read_body(sent(archive(root), scratch), lambda *size: admitted.append(size))

    assert same(found.array, COUNTS)
    assert found.source == "body.npz"
    assert admitted == [(COUNTS.size, COUNTS.nbytes)]


def test_an_archive_that_is_not_admitted_is_not_read(sandbox: Sandbox, root: Path, scratch: Path) -> None:
    def refuse(voxels: int, nbytes: int) -> None:
        raise RuntimeError(f"{nbytes} bytes of {voxels} voxels are too many")

    with pytest.raises(RuntimeError, match="are too many"):
        sandbox.read_body(sent(archive(root), scratch), refuse)


@pytest.mark.parametrize("made", [hdf5, hdf5_in_the_way_of_a_result, matlab, stack, npy])
def test_a_file_that_was_sent_is_read_as_by_its_path(
    sandbox: Sandbox, root: Path, scratch: Path, made: Callable[[Path], FileOrder]
) -> None:
    order = made(root)

    found, expected = sandbox.read_body(sent(order, scratch), lambda *_: None), sandbox.read(order)

    assert same(found.array, expected.array)
    assert found.chosen == expected.chosen
    assert found.source == f"body{order.path.suffix}"


def test_what_was_sent_opens_nothing_else(sandbox: Sandbox, root: Path, scratch: Path) -> None:
    """Neither files of the data roots nor what others have sent, though both may be read by other processes; and no
    text tells where they lie.
    """
    np.save(root / "secret.npy", COUNTS)
    other = sent(FileOrder(root / "secret.npy"), scratch)
    for target in (root / "secret.npy", other.path):
        folder = Path(tempfile.mkdtemp(dir=scratch))
        (folder / "body.npy").symlink_to(target)
        order = BodyOrder(folder / "body.npy", limits=Limits(2**24, (root, scratch)))  # so that the kernel is asked
        with pytest.raises(DataError, match=r"Permission denied|may not be read") as caught:
            sandbox.read_body(order, lambda *_: None)
        assert str(scratch) not in str(caught.value)


def test_a_file_opens_nothing_of_what_was_sent(sandbox: Sandbox, root: Path, scratch: Path) -> None:
    np.save(root / "own.npy", COUNTS)
    (root / "to_a_body.npy").symlink_to(sent(FileOrder(root / "own.npy"), scratch).path)
    with pytest.raises(DataError, match=r"Permission denied|may not be read"):
        sandbox.read(FileOrder(root / "to_a_body.npy"))


class Act:
    """A path that does something in the process that looks at it, as a file does that has taken its library over."""

    stem = name = "act"
    parent = Path("/nowhere")

    def __init__(self, code: str) -> None:
        self._code = code

    def __reduce__(self) -> tuple[Any, ...]:
        acting = (
            f"type('Act', (), {{'is_dir': lambda self: exec({self._code!r}, {{}}), '__str__': lambda self: 'act'}})()"
        )
        return eval, (acting,)

    def __str__(self) -> str:
        return "act"

    def is_dir(self) -> bool:
        return False

    def stat(self) -> os.stat_result:
        return os.stat(__file__)


def acted(sandbox: Sandbox, code: str, limits: Limits = LIMITS) -> str:
    """What becomes of a reading process that runs this."""
    with pytest.raises(DataError) as caught:
        sandbox.read(FileOrder(Act(code), Reading(dataset=code), limits=limits))  # type: ignore[arg-type]
    return str(caught.value)


@pytest.mark.parametrize(
    ("code", "refused"),
    [
        ("import socket; socket.socket()", "may not be read by this user"),
        ("import socket; socket.socket(socket.AF_UNIX)", "may not be read by this user"),
        ("import os; os.fork()", "may not be read by this user"),
        ("import os; os.execv('/bin/true', ['true'])", "may not be read by this user"),
        ("import subprocess; subprocess.run(['/bin/true'])", "may not be read by this user"),
        ("import os; os.kill(os.getppid(), 9)", "may not be read by this user"),
        ("open('/etc/passwd').read()", "may not be read by this user"),
        ("open('/proc/self/environ').read()", "may not be read by this user"),
        ("import os; os.listdir('/tmp')", "may not be read by this user"),
        ("open('{root}/written', 'w')", "may not be read by this user"),
        ("open('/tmp/written', 'w')", "may not be read by this user"),
        ("open('/dev/shm/written', 'w')", "may not be read by this user"),
        ("import os; os.unlink('{root}/kept.npy')", "may not be read by this user"),
        ("import resource as r; r.setrlimit(r.RLIMIT_AS, (-1, -1))", "not allowed to raise maximum limit"),
        ("import os; open(os.memfd_create('m'), 'wb').truncate(2**40)", "File too large"),
        ("bytearray(2**40)", "needs more memory"),
    ],
)
def test_a_reader_that_was_taken_over_is_refused(sandbox: Sandbox, root: Path, code: str, refused: str) -> None:
    np.save(root / "kept.npy", COUNTS)

    told = acted(sandbox, code.format(root=root))

    assert refused in told
    assert (root / "kept.npy").exists()
    assert not any((Path(folder) / "written").exists() for folder in (root, "/tmp", "/dev/shm"))


def test_a_reader_that_asks_for_memory_bit_by_bit_meets_its_limit(sandbox: Sandbox) -> None:
    assert "memory" in acted(sandbox, "held = []\nwhile True: held.append(bytearray(2**22))")


def test_a_reader_has_no_network_but_itself(sandbox: Sandbox) -> None:
    if not sandbox.protections.network_namespace:
        pytest.skip("this kernel gives this user no namespace of its own")
    if sandbox.protections.seccomp:
        pytest.skip("seccomp refuses the socket before the namespace is asked")
    assert "unreachable" in acted(sandbox, "import socket; socket.create_connection(('1.1.1.1', 53))")


@pytest.mark.parametrize("code", ["import time; time.sleep(600)", "while True: pass"])
def test_a_reader_that_does_not_end_is_ended_in_time(root: Path, code: str) -> None:
    with Sandbox(1.0, (root,)) as sandbox:
        assert sandbox.protections is not None  # warm
        begun = time.monotonic()
        told = acted(sandbox, code)
        took = time.monotonic() - begun

    assert "took longer than 1 s" in told
    assert 1.0 <= took < 4.0


def test_a_reader_that_crashed_is_named_and_its_file_is_not_tried_again(sandbox: Sandbox) -> None:
    crash = "import ctypes; ctypes.string_at(0)"

    first, second = (acted(sandbox, crash) for _ in range(2))

    assert first.startswith("act: the process that read it crashed with SIGSEGV")
    assert "is not read again for now" in second
    assert "SIGSEGV" in second


def test_a_file_that_ended_its_reader_is_read_again_once_it_is_written_anew(
    sandbox: Sandbox, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = root / "again.npy"
    np.save(path, COUNTS)
    order = FileOrder(path)
    sandbox._killers.remember(_identity_of(order), "a crash")
    with pytest.raises(SandboxError, match=r"again\.npy: is not read again for now, after this: a crash"):
        sandbox.read(order)

    np.save(path, COUNTS + 1)

    assert same(sandbox.read(order).array, COUNTS + 1)
    assert same(sandbox.read(replace(order, domain=Domain.MODULUS)).array, COUNTS + 1)


def _identity_of(order: FileOrder) -> Any:
    from service.sandbox.sandbox import _of_file

    return _of_file(order)


def test_a_reader_that_pretends_is_found_out(sandbox: Sandbox) -> None:
    """It says that it is done, and has left what is no answer."""
    pretend = (
        "import os, socket, struct\n"
        "for n in range(3, 64):\n"
        "    try:\n"
        "        os.pwrite(n, b'x' * 64, 0)\n"
        "    except OSError:\n"
        "        continue\n"
        "for n in range(3, 64):\n"
        "    try:\n"
        "        os.write(n, b'done')\n"
        "    except OSError:\n"
        "        continue\n"
        "import time; time.sleep(600)"
    )
    begun = time.monotonic()

    assert "left no usable answer: its record lies outside its memory" in acted(sandbox, pretend)
    assert time.monotonic() - begun < 3


@pytest.mark.parametrize("lie", ["ended x", "ended -9999", "declares 12", "declares -1", "", "began"])
def test_what_a_reader_says_that_is_no_word_ends_it(sandbox: Sandbox, lie: str) -> None:
    speak = (
        "import os\n"
        "for n in range(3, 64):\n"
        "    try:\n"
        f"        os.stat(n).st_mode & 0o170000 == 0o140000 and os.write(n, {lie.encode()!r})\n"
        "    except OSError:\n"
        "        continue\n"
        "import time; time.sleep(600)"
    )
    begun = time.monotonic()

    with pytest.raises(SandboxError):
        sandbox.read(FileOrder(Act(speak), Reading(dataset=speak), limits=LIMITS))  # type: ignore[arg-type]

    assert time.monotonic() - begun < 8


def test_several_threads_read_at_the_same_time(sandbox: Sandbox, root: Path) -> None:
    for number in range(8):
        np.save(root / f"thread{number}.npy", COUNTS + number)

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda n: sandbox.read(FileOrder(root / f"thread{n % 8}.npy")).array, range(24)))

    assert all(same(array, COUNTS + number % 8) for number, array in enumerate(found))


def test_a_fifo_holds_nobody_up(sandbox: Sandbox, root: Path) -> None:
    os.mkfifo(root / "pipe.h5")
    with pytest.raises(DataError, match="not a regular file"):
        sandbox.read(FileOrder(root / "pipe.h5"))


def test_a_link_that_leads_out_is_not_followed(sandbox: Sandbox, root: Path, tmp_path: Path) -> None:
    """Whatever was checked before: a link can be swapped between the check and the reading."""
    np.save(tmp_path / "secret.npy", COUNTS)
    (root / "link.npy").symlink_to(tmp_path / "secret.npy")
    with pytest.raises(DataError, match=r"Permission denied|may not be read"):
        sandbox.read(FileOrder(root / "link.npy"))


def test_a_template_that_was_killed_is_replaced(root: Path) -> None:
    np.save(root / "after.npy", COUNTS)
    with Sandbox(5.0, (root,)) as sandbox:
        for _ in range(2):
            assert same(sandbox.read(FileOrder(root / "after.npy")).array, COUNTS)
            template = sandbox._template
            assert template is not None
            template.process.send_signal(signal.SIGKILL)


def test_nothing_is_left_after_the_end(root: Path) -> None:
    np.save(root / "end.npy", COUNTS)
    before = set(psutil.Process().children(recursive=True))
    sandbox = Sandbox(5.0, (root,))
    sandbox.start()
    sandbox.read(FileOrder(root / "end.npy"))
    begun = set(psutil.Process().children(recursive=True)) - before

    sandbox.stop()

    assert len(begun) >= 1
    _, alive = psutil.wait_procs(begun, timeout=5)
    assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]
    with pytest.raises(SandboxUnavailableError, match="shutting down"):
        sandbox.read(FileOrder(root / "end.npy"))


def test_two_hundred_readings_leave_nothing_behind(sandbox: Sandbox, root: Path) -> None:
    np.save(root / "many.npy", COUNTS)
    (root / "bad.npy").write_bytes(b"no npy")
    template = sandbox._warm().process

    def held() -> tuple[int, int, list[str]]:
        return len(os.listdir("/proc/self/fd")), psutil.Process(template.pid).num_fds(), os.listdir("/dev/shm")

    sandbox.read(FileOrder(root / "many.npy"))
    time.sleep(0.2)
    before = held()

    for _ in range(100):
        sandbox.read(FileOrder(root / "many.npy"))
        with pytest.raises(DataError):
            sandbox.read(FileOrder(root / "bad.npy"))
    deadline = time.monotonic() + 5
    while held() != before and time.monotonic() < deadline:
        time.sleep(0.05)

    assert held() == before
    assert len(psutil.Process(template.pid).children()) <= 1  # the one that waits for the next order


def outcome(sandbox: Sandbox, order: FileOrder) -> str:
    """What was read, or why nothing was."""
    try:
        return sandbox.read(order).source
    except DataError as error:
        return str(error)


@pytest.mark.usefixtures("warm_templates")
@pytest.mark.parametrize(
    "name",
    [
        "h5-filter-33",  # bitshuffle, SZ3, SPERR
        "h5-filter-45",
        "h5-filter-51",
        "mat-inner-20",
        "tif-loop-08",
        "h5-laughs-03",
        "h5-name-00",
        "yaml-text-19",
    ],
)
def test_hostile_files_end_in_time_and_the_next_one_is_read(tmp_path: Path, name: str) -> None:
    """Each is of a kind that has ended its reader by a signal, or never ended, or was refused though it is honest."""
    root = (tmp_path / "root").resolve()
    root.mkdir()
    (case,) = crafted.write_all(root, 1, begin=(name,))
    np.save(root / "honest.npy", COUNTS)
    with Sandbox(2.0, (root,)) as sandbox:
        assert sandbox.protections is not None  # warm
        begun = time.monotonic()
        told = outcome(sandbox, FileOrder(root / case.source["path"], reading(root, case.source)))
        assert str(root / name) in told
        assert time.monotonic() - begun < 8

        assert same(sandbox.read(FileOrder(root / "honest.npy")).array, COUNTS)


def reading(root: Path, source: Mapping[str, Any]) -> Reading:
    """How a crafted case is read."""
    told = {key: value for key, value in source.items() if key != "path"}
    return Reading(**told | ({"beamline": str(root / told["beamline"])} if "beamline" in told else {}))


def test_descriptors_of_this_process_are_not_inherited(root: Path) -> None:
    """One that could be, and was open before the template was started."""
    with socket.socket() as own:
        number = fcntl.fcntl(own.fileno(), fcntl.F_DUPFD, 200)  # inheritable; beyond what the template opens itself
        try:
            with Sandbox(5.0, (root,)) as sandbox:
                assert "Bad file descriptor" in acted(sandbox, f"import os; os.fstat({number})")
        finally:
            os.close(number)
