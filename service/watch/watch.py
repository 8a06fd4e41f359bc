"""Reconstructs whatever comes into a folder, each measurement once."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final

from inphase.client import AccessError, FaultError, MissingError, OverloadError, UnreachableError
from inphase.errors import CancelledError, InphaseError
from service.cli.batch import Reconstructor, Scan
from service.cli.terminal import trusted
from service.intake.sources import scans_in
from service.watch.arrivals import Arrival, Arrivals
from service.watch.journal import Entry, Journal

JOURNAL: Final = ".inphase-watch.jsonl"
LOOK_S: Final = 0.5
AGAIN_S: Final = 5.0  # after which a service that was away is asked again
MARKED_S: Final = 600.0  # at rest for so long and still marked as open, a file is named
UNKNOWN_MODEL: Final = "urn:inphase:error:unknown-model"
PASSING: Final = (UnreachableError, OverloadError, FaultError)  # mostly the measurement is not to blame


@dataclass(frozen=True)
class Place:
    """What is watched. match: names, as in '*.h5'. results: the folder of the images, ending: that of their names."""

    folder: Path
    match: str
    results: Path
    ending: str

    def scans(self) -> list[Path]:
        """The measurements that lie there now, complete or not. Raises OSError where the folder is away."""
        self.folder.stat()
        return [scan for scan in scans_in(self.folder) if scan != self.results and scan.match(self.match)]

    def result_of(self, scan: Path) -> str:
        """The name of its image."""
        return f"{scan.stem if scan.is_file() else scan.name}{self.ending}"


class Watch:
    """One watched folder. tell, complain: print a line. parallel: measurements that the service is given at a time."""

    def __init__(
        self,
        place: Place,
        reconstruct: Reconstructor,
        rest_s: float,
        parallel: int,
        tell: Callable[[str], object],
        complain: Callable[[str], object],
    ) -> None:
        self._place, self._reconstruct, self._parallel = place, reconstruct, parallel
        self._tell, self._complain = tell, complain
        self._arrivals = Arrivals(rest_s)
        place.results.mkdir(exist_ok=True)
        self._journal = Journal(place.results / JOURNAL)
        self._working: dict[Path, tuple[Arrival, Future[tuple[Entry, str]]]] = {}
        self._away = ""  # why nothing can be done now
        self._again = 0.0  # when the service is asked again

    def run(self, stop: threading.Event) -> None:
        """Watch until `stop` or Ctrl-C; jobs at work are then cancelled, and done when the folder is watched again.

        Raises AccessError and MissingError where the service refuses the key or the network: nothing could succeed.
        """
        with ThreadPoolExecutor(self._parallel, thread_name_prefix="watch") as threads:
            try:
                while not stop.wait(LOOK_S):
                    self._collect()
                    for arrival in self._ready():
                        done = threads.submit(self._one, arrival, stop)
                        self._working[arrival.scan] = (arrival, done)
            finally:
                stop.set()

    def _ready(self) -> list[Arrival]:
        """What can be begun now."""
        try:
            resting = self._arrivals.at_rest(self._place.scans())
        except OSError as error:  # a file server that is away for a while
            self._gone(f"{self._place.folder} cannot be looked into: {error.strerror or error}")
            return []
        left = [
            arrival
            for arrival in resting
            if arrival.scan not in self._working and not self._journal.knows(arrival.scan.name, arrival.state)
        ]
        for arrival in left:
            if arrival.writer and time.monotonic() - arrival.since > MARKED_S:
                self._bad(arrival, f"nothing has been written for {MARKED_S / 60:g} minutes, but {arrival.writer}")
        if time.monotonic() < self._again:
            return []
        taken = {self._place.result_of(scan) for scan in self._working}
        begun: list[Arrival] = []
        for arrival in left:
            result = self._place.result_of(arrival.scan)
            if not arrival.writer and result not in taken and len(self._working) + len(begun) < self._parallel:
                taken.add(result)  # of two with one name, the second is looked at when the first is done
                begun.append(arrival)
        return begun

    def _one(self, arrival: Arrival, stop: threading.Event) -> tuple[Entry, str]:
        """What became of a measurement, and the line that says so. Runs in a thread."""
        name, result = arrival.scan.name, self._place.result_of(arrival.scan)
        if (other := self._journal.source_of(result)) not in ("", name):
            raise InphaseError(f"its image would replace that of {other}: {result}")
        scan = Scan(arrival.scan, str(self._place.results / result))
        document = self._reconstruct(0, scan, lambda _: lambda *_: None, stop.is_set)
        trust = trusted(document["trust"]["level"], document["trust"].get("probability"))
        line = f"{name}: chi2 {document['metrics']['final']['chi2']:.3g}, trust {trust}, {scan.output}"
        return Entry(name, arrival.state, result, job=document["id"]), line

    def _collect(self) -> None:
        for scan in [scan for scan, (_, future) in self._working.items() if future.done()]:
            arrival, future = self._working.pop(scan)
            try:
                entry, line = future.result()
            except AccessError:
                raise
            except MissingError as error:
                if error.urn == UNKNOWN_MODEL:
                    raise
                self._bad(arrival, str(error))
            except PASSING as error:
                if error.status == HTTPStatus.INTERNAL_SERVER_ERROR:  # a fault that this measurement meets
                    self._bad(arrival, str(error))
                else:
                    self._gone(str(error))
            except CancelledError:
                self._bad(arrival, "its job was cancelled")
            except (InphaseError, OSError) as error:
                self._bad(arrival, str(error))
            else:
                self._away = ""
                self._journal.add(entry)
                self._tell(line)

    def _gone(self, why: str) -> None:
        """Nothing can be done now; told once, until something can."""
        if why != self._away:
            self._complain(f"{why}; trying again every {AGAIN_S:g} s")
        self._away, self._again = why, time.monotonic() + AGAIN_S

    def _bad(self, arrival: Arrival, why: str) -> None:
        """Name what cannot be reconstructed, once, and again only when it has changed."""
        self._complain(f"{arrival.scan.name}: {why}")
        self._journal.add(Entry(arrival.scan.name, arrival.state, reason=why))
