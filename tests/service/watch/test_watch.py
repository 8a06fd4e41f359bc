"""A watched folder, with a service that is a function; tests/system/test_service.py has the real one."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from inphase.client import AccessError, FaultError, MissingError, OverloadError, UnreachableError
from inphase.errors import CancelledError, DataError
from service.cli.batch import Scan
from service.cli.terminal import Stage
from service.watch import watch
from service.watch.watch import Place, Watch

DOCUMENT = {"id": "j", "metrics": {"final": {"chi2": 0.0123}}, "trust": {"level": "high", "probability": 0.95}}


class Bench:
    """A folder that is watched; what is said, and which scans the service was given."""

    def __init__(self, folder: Path, match: str = "*") -> None:
        self.folder, self.match = folder, match
        self.told: list[str] = []
        self.complained: list[str] = []
        self.given: list[str] = []
        self.errors: dict[str, list[Exception]] = {}  # what becomes of a scan, attempt by attempt, before it succeeds
        self.failed: list[BaseException] = []

    def _reconstruct(self, number: int, scan: Scan, stage: Stage, cancelled: Callable[[], bool]) -> dict[str, Any]:
        self.given.append(scan.path.name)
        if left := self.errors.get(scan.path.name):
            raise left.pop(0)
        Path(scan.output).write_text(scan.path.name)
        return DOCUMENT

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watch it meanwhile."""
        place = Place(self.folder, self.match, self.folder / "inphase", ".npz")
        watched = Watch(place, self._reconstruct, 0.02, 2, self.told.append, self.complained.append)
        stop = threading.Event()

        def run() -> None:
            try:
                watched.run(stop)
            except BaseException as error:
                self.failed.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def until(self, condition: Callable[[], object]) -> None:
        """Returns when it holds."""
        end = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < end, (self.told, self.complained, self.failed)
            time.sleep(0.005)

    def write(self, name: str, content: str = "x") -> None:
        """A file."""
        (self.folder / name).write_text(content)

    def journalled(self) -> int:
        """How many lines the list of what was done has."""
        path = self.folder / "inphase" / watch.JOURNAL
        return len(path.read_text().splitlines()) if path.exists() else 0


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """One that is looked at a hundred times a second."""
    monkeypatch.setattr(watch, "LOOK_S", 0.01)
    monkeypatch.setattr(watch, "AGAIN_S", 0.05)
    return Bench(tmp_path)


def test_each_measurement_is_done_once_also_across_a_restart(bench: Bench) -> None:
    """What was there, what comes, and what changes; other files and the images themselves are none."""
    bench.write("a.npy")
    bench.write("notes.txt")
    with bench.watched():
        bench.until(lambda: bench.journalled() == 1)
        bench.write("b.npy")
        bench.until(lambda: bench.journalled() == 2)
    assert bench.told == [
        f"{name}.npy: chi2 0.0123, trust high 95%, {bench.folder / 'inphase' / name}.npz" for name in "ab"
    ]
    bench.write("c.npy")
    bench.write("a.npy", "longer")
    with bench.watched():
        bench.until(lambda: bench.journalled() == 4)
    assert bench.given[:2] == ["a.npy", "b.npy"]
    assert sorted(bench.given[2:]) == ["a.npy", "c.npy"]
    assert bench.complained == []


def test_only_names_that_match_are_taken(bench: Bench) -> None:
    """Folders of frames as well as files."""
    bench.match = "scan_*"
    (bench.folder / "scan_2").mkdir()
    bench.write("scan_2/1.tif")
    bench.write("dark.npy")
    bench.write("scan_1.npy")
    with bench.watched():
        bench.until(lambda: bench.journalled() == 2)
    assert sorted(bench.given) == ["scan_1.npy", "scan_2"]
    assert (bench.folder / "inphase/scan_2.npz").exists()


def test_what_cannot_be_used_is_named_once(bench: Bench) -> None:
    """Over restarts; a job that somebody has cancelled, and a result that is somebody else's, are such cases, too."""
    bench.errors = {
        "a.npy": [DataError("no peak")],
        "b.npy": [CancelledError("")],
        "c.npy": [OSError("unreadable")],
        "f.npy": [FaultError("a fault", 500)],
    }
    for name in "abcf":
        bench.write(f"{name}.npy")
    with bench.watched():
        bench.until(lambda: bench.journalled() == 4)
        bench.write("d.npy")
        bench.until(lambda: bench.journalled() == 5)
        bench.write("d.npz")
        bench.until(lambda: bench.journalled() == 6)
    with bench.watched():
        bench.write("e.npy")
        bench.until(lambda: bench.journalled() == 7)
    assert sorted(bench.complained) == [
        "a.npy: no peak",
        "b.npy: its job was cancelled",
        "c.npy: unreadable",
        "d.npz: its image would replace that of d.npy: d.npz",
        "f.npy: a fault",
    ]


def test_of_two_with_one_name_one_is_done(bench: Bench) -> None:
    """Also where both were there at once: no image replaces another one's."""
    bench.write("a.npy")
    bench.write("a.npz")
    with bench.watched():
        bench.until(lambda: bench.journalled() == 2)
    (done,) = bench.given
    assert (bench.folder / "inphase/a.npz").read_text() == done
    (said,) = bench.complained
    assert f"its image would replace that of {done}" in said


def test_a_service_that_is_away_is_waited_for(bench: Bench) -> None:
    """Told once for each reason, and the measurement is not to blame."""
    away, full = UnreachableError("nobody there", sent=False), OverloadError("full", 503)
    bench.errors = {"a.npy": [away, away, FaultError("nobody there", 502), full]}
    bench.write("a.npy")
    with bench.watched():
        bench.until(lambda: bench.journalled() == 1)
    assert bench.given == ["a.npy"] * 5
    assert bench.complained == ["nobody there; trying again every 0.05 s", "full; trying again every 0.05 s"]
    assert len(bench.told) == 1


@pytest.mark.parametrize("error", [AccessError("no key", 401), MissingError("no model", 404, urn=watch.UNKNOWN_MODEL)])
def test_what_no_measurement_could_succeed_with_ends_it(bench: Bench, error: Exception) -> None:
    """And no measurement is given up for it."""
    bench.errors = {"a.npy": [error]}
    bench.write("a.npy")
    with bench.watched():
        bench.until(lambda: bench.failed)
    assert bench.failed == [error]
    assert bench.journalled() == 0


def test_a_folder_that_is_away_is_waited_for(bench: Bench) -> None:
    """As on a file server that hangs or restarts."""
    bench.write("a.npy")
    with bench.watched():
        bench.until(lambda: bench.journalled() == 1)
        away = bench.folder.rename(bench.folder.with_name("away"))
        bench.until(lambda: bench.complained)
        away.rename(bench.folder)
        bench.write("b.npy")
        bench.until(lambda: bench.journalled() == 2)
    assert "cannot be looked into: No such file or directory" in bench.complained[0]


def test_a_file_that_stays_marked_is_named(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """After ten minutes, and once."""
    monkeypatch.setattr(watch, "MARKED_S", 0.1)
    (bench.folder / "a.h5").write_bytes(b"\x89HDF\r\n\x1a\n\x03\x08\x08\x01")
    with bench.watched():
        bench.until(lambda: bench.complained)
        bench.write("b.npy")
        bench.until(lambda: bench.journalled() == 2)
    (said,) = bench.complained
    assert "but a.h5 is marked as open for writing; `h5clear -s`" in said
    assert bench.given == ["b.npy"]
