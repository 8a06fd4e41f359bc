"""A callback for bluesky: what a run has measured is reconstructed when the run stops, and the image goes to Tiled.

runs = tiled.client.from_uri("http://tiled:8000/api/v1/metadata/raw")
RE.subscribe(TiledWriter(runs))
RE.subscribe(RunReconstruction(client, runs, images, "eiger", refine="standard"))

bluesky is not imported: its documents are mappings.
"""

import logging
import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from inphase.bridges import tiled
from inphase.bridges.tiled import Container
from inphase.client import Client
from inphase.errors import DataError, InphaseError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from inphase.formats import RawScan

OFF_STEP: Final = 0.2  # of a step: how far from its place on the rocking axis a frame may lie
_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What became of a run. state: of the job, or "none" where there is none. reason: why, for people.
    uri: of the result in Tiled.
    """

    run: str
    state: str
    reason: str = ""
    job: str = ""
    uri: str = ""

    def __str__(self) -> str:
        said = [f"run {self.run}: {self.state}", self.reason, f"job {self.job}" if self.job else "", self.uri]
        return ", ".join(part for part in said if part)


def log(outcome: Outcome) -> None:
    """A line in the log `inphase.bridges.bluesky`; a warning where there is no image."""
    _LOG.log(logging.INFO if outcome.uri else logging.WARNING, "%s", outcome)


def bare(start: Mapping[str, Any], counts: NDArray[Any]) -> "ArrayLike | RawScan":
    """The counts as they are, without a geometry."""
    return counts


@dataclass
class _Run:
    """What is known of a run that goes on. positions: of each motor of its plan, event by event."""

    start: Mapping[str, Any]
    positions: dict[str, list[float]] = field(default_factory=dict)


class RunReconstruction:
    """A callback that reconstructs each run when it has stopped; it never holds the RunEngine up, nor fails it.

    client: of the service. runs: the container into which TiledWriter writes. results: the one that takes the images,
    as `results[uid of the run][id of the job]`. detector: the data key of the frames in `stream`.
    measurement: makes what is sent of the start document and the counts (frame, row, column), where a mask or the
    geometry is known. told: hears what became of each run. patience: seconds for TiledWriter to finish.
    options: of `Client.submit`.
    """

    def __init__(
        self,
        client: Client,
        runs: Container,
        results: Container,
        detector: str,
        *,
        stream: str = "primary",
        measurement: "Callable[[Mapping[str, Any], NDArray[Any]], ArrayLike | RawScan]" = bare,
        told: Callable[[Outcome], object] = log,
        patience: float = 60.0,
        **options: Any,
    ) -> None:
        self._client, self._runs, self._results = client, runs, results
        self._detector, self._stream, self._measurement = detector, stream, measurement
        self._told, self._patience, self._options = told, patience, options
        self._open: dict[str, _Run] = {}
        self._run_of: dict[str, _Run] = {}  # by the descriptors of the stream
        self._waiting: queue.SimpleQueue[Callable[[], Outcome] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="inphase", daemon=True)
        self._thread.start()

    def __call__(self, name: str, document: Mapping[str, Any]) -> None:
        """Take a document of a run."""
        if name == "start":
            self._open[document["uid"]] = _Run(document)
        elif name == "descriptor" and document.get("name") == self._stream and document["run_start"] in self._open:
            self._run_of[document["uid"]] = self._open[document["run_start"]]
        elif name in ("event", "event_page") and document["descriptor"] in self._run_of:
            _moved(self._run_of[document["descriptor"]], document["data"])
        elif name == "stop":
            self._stopped(document)

    def check(self) -> None:
        """Ask the service and Tiled whether they answer. Raises ServiceError and TiledError, which say who does not."""
        self._client.status()
        for container in (self._runs, self._results):
            tiled.check(container)

    def reconstruct(self, uid: str) -> Outcome:
        """Reconstruct a run that Tiled has, also one of yesterday; returns when there is an image or will be none."""
        return self._attempt(uid, {})

    def close(self) -> None:
        """Return when all runs that have stopped are done."""
        self._waiting.put(None)
        self._thread.join()

    def _stopped(self, stop: Mapping[str, Any]) -> None:
        uid, status = stop["run_start"], stop.get("exit_status", "success")
        run = self._open.pop(uid, None)
        self._run_of = {key: other for key, other in self._run_of.items() if other is not run}
        if status != "success":
            outcome = Outcome(uid, "none", f"the run ended with {status!r}: {stop.get('reason') or 'no reason given'}")
            self._waiting.put(lambda: outcome)
        elif not (stop.get("num_events") or {}).get(self._stream):
            outcome = Outcome(uid, "none", f"the run made no events in the stream {self._stream!r}")
            self._waiting.put(lambda: outcome)
        else:
            positions = {} if run is None else run.positions
            self._waiting.put(lambda: self._attempt(uid, positions))

    def _work(self) -> None:
        while (job := self._waiting.get()) is not None:
            self._told(job())

    def _attempt(self, uid: str, positions: Mapping[str, list[float]]) -> Outcome:
        try:
            check_steps(positions)
            run = tiled.finished_run(self._runs, uid, self._patience)
            counts = tiled.frames_of(run, self._stream, self._detector)
            sent = self._measurement(run.metadata["start"], counts)
            job = self._client.submit(sent, **self._options)["id"]
        except Exception as error:  # whatever it is, the next run goes on
            return Outcome(uid, "none", _said(error))
        try:
            document = self._client.wait(job)
            if document["state"] != "succeeded":
                return Outcome(uid, document["state"], document["reason"], job)
            uri = tiled.put(self._results, uid, job, self._client.result(job))
        except Exception as error:
            return Outcome(uid, "no result", _said(error), job)
        return Outcome(uid, "succeeded", job=job, uri=uri)


def check_steps(positions: Mapping[str, list[float]]) -> None:
    """Raises DataError where a motor did not move in equal steps: frames are then no rocking curve.

    positions: of each motor of the plan, event by event.
    """
    for motor, values in positions.items():
        if len(values) < 3:
            continue
        step = (values[-1] - values[0]) / (len(values) - 1)
        even = values[0] + step * np.arange(len(values))
        off = np.abs(np.asarray(values) - even)
        if off.max() > OFF_STEP * abs(step):
            worst = int(off.argmax())
            raise DataError(
                f"{motor} did not move in equal steps: {values[worst]:g} at event {worst + 1} lies {off[worst]:.2g} "
                f"from its place, and a step is {step:.2g}; the frames are no rocking curve as they are"
            )


def _moved(run: _Run, data: Mapping[str, Any]) -> None:
    for motor in run.start.get("motors") or ():
        if motor in data:
            run.positions.setdefault(motor, []).extend(np.ravel(data[motor]).tolist())


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, InphaseError) else f"{type(error).__name__}: {error}"
