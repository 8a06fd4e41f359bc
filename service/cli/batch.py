"""Many scans at the terminal: one bar for each running job, the summary at the end, Ctrl-C cancels what is left."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Protocol

from rich.console import Console
from rich.table import Table

from inphase.errors import CancelledError, InphaseError
from service.cli.terminal import Stage, progress, stages, trusted

_LOOK_S: Final = 0.2  # how soon Ctrl-C is seen


@dataclass(frozen=True)
class Scan:
    """One measurement and where its result goes. frame: which one of a stack it is, None where the file is one."""

    path: Path
    output: str
    frame: int | None = None

    @property
    def name(self) -> str:
        """What people know it by."""
        return self.path.name if self.frame is None else f"{self.path.name} frame {self.frame}"


@dataclass(frozen=True)
class Ended:
    """What became of a scan. document: of a result, else None."""

    scan: Scan
    state: Literal["succeeded", "failed", "cancelled"]
    document: dict[str, Any] | None = None
    reason: str = ""


class Reconstructor(Protocol):
    """Reconstructs one scan, writes its result and gives the document.
    Raises CancelledError soon after `cancelled` says so.
    """

    def __call__(self, number: int, scan: Scan, stage: Stage, cancelled: Callable[[], bool]) -> dict[str, Any]:
        """stage: names what begins, and gives what tells how far it is."""


def outputs(paths: Sequence[Path], folder: Path, ending: str) -> list[Scan]:
    """Every scan with a file of its own in the folder. Raises InphaseError where two would have the same."""
    scans = [Scan(path, str(folder / f"{path.stem if path.is_file() else path.name}{ending}")) for path in paths]
    taken: dict[str, Path] = {}
    for scan in scans:
        if (other := taken.setdefault(scan.output, scan.path)) != scan.path:
            raise InphaseError(f"{other} and {scan.path} would both become {scan.output}: reconstruct them one by one")
    return scans


def frames(path: Path, count: int, folder: Path, ending: str) -> list[Scan]:
    """Every frame of a stack with a file of its own in the folder: stem-0000.npz and on."""
    digits = max(4, len(str(count - 1)))
    return [Scan(path, str(folder / f"{path.stem}-{number:0{digits}}{ending}"), number) for number in range(count)]


def run(scans: Sequence[Scan], reconstruct: Reconstructor, parallel: int, console: Console) -> list[Ended]:
    """Reconstruct all, `parallel` at a time; in the order of the scans. Never raises for a scan: the others go on."""
    stop = threading.Event()
    with (
        progress(console) as bars,
        ThreadPoolExecutor(parallel, thread_name_prefix="scan") as threads,
    ):
        all_of_them = bars.add_task("scans", total=len(scans))

        def one(number: int, scan: Scan) -> Ended:
            if stop.is_set():
                return Ended(scan, "cancelled")
            with stages(bars, scan.name) as stage:
                ended = _attempt(reconstruct, number, scan, stage, stop.is_set)
            bars.advance(all_of_them)
            if ended.state == "failed":
                console.print(f"{scan.path.parent / scan.name}: {ended.reason}", style="red", markup=False)
            return ended

        running: list[Future[Ended]] = []
        try:
            for number, scan in enumerate(scans):
                running.append(threads.submit(one, number, scan))
            left = set(running)
            while left:
                _, left = wait(left, _LOOK_S, FIRST_COMPLETED)
        except KeyboardInterrupt:
            stop.set()
            console.print("cancelling what is left", style="yellow")
        begun = [future.result() for future in running]
        return begun + [Ended(scan, "cancelled") for scan in scans[len(begun) :]]


def _attempt(reconstruct: Reconstructor, number: int, scan: Scan, stage: Stage, cancelled: Callable[[], bool]) -> Ended:
    try:
        return Ended(scan, "succeeded", reconstruct(number, scan, stage, cancelled))
    except CancelledError as error:
        return Ended(scan, "cancelled", reason=str(error))
    except InphaseError as error:
        return Ended(scan, "failed", reason=str(error))
    except MemoryError:
        return Ended(scan, "failed", reason="this machine has no memory left for it")
    except OSError as error:
        return Ended(scan, "failed", reason=f"{error.filename or 'system'}: {error.strerror or error}")


def summary(ended: Sequence[Ended]) -> Table:
    """One line a scan."""
    table = Table("scan", "state", "chi2", "support", "trust", "start", "frame")
    table.columns[0].no_wrap = True
    for scan in ended:
        if scan.document is None:
            table.add_row(scan.scan.name, scan.state, "", "", "", "", scan.reason)
            continue
        final, series = scan.document["metrics"]["final"], scan.document["series"] or {}
        table.add_row(
            scan.scan.name,
            scan.state,
            f"{final['chi2']:.3g}",
            str(final["support_voxels"]),
            trusted(scan.document["trust"]["level"], scan.document["trust"].get("probability")),
            scan.document["start"]["kind"],
            _framed(series),
        )
    return table


def _framed(series: dict[str, Any]) -> str:
    """How a scan stands in the frame of its series."""
    if series.get("frame"):
        return "the frame"
    if alignment := series.get("alignment"):
        doubt = ", twin undecided" if alignment["undecided"] else ""
        return f"{alignment['score']:.3f} (twin {alignment['score_other']:.3f}{doubt})"
    return str(series.get("why", ""))
