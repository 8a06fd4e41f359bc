"""How a worker runs: what the service tells its worker process, and that one its compute processes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from inphase import machine
from service.jobs.limits import share
from service.jobs.state import Priority

_OF_THE_SERVICE: Final = ("INPHASE_API_KEY", "INPHASE_WEBHOOK_SECRET")  # a worker needs neither
_OF_A_WORKER: Final = (
    "INPHASE_REDIS_PASSWORD", "INPHASE_REDIS_URL", "REDIS_URL",
    "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
)  # fmt: skip


def for_worker(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment for a process that does not serve, without what opens the service."""
    return {name: value for name, value in environment.items() if name.upper() not in _OF_THE_SERVICE}


def for_compute(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment for a process that computes on what strangers have sent: it speaks to its worker alone.

    Its threads sleep while they wait, unless the operator has said otherwise: those that spin keep cores from the
    service, and where these are short wait for each other most of the time.
    """
    kept = {name: value for name, value in for_worker(environment).items() if name.upper() not in _OF_A_WORKER}
    return {"OMP_WAIT_POLICY": "PASSIVE", **kept}


@dataclass(frozen=True)
class ComputeSettings:
    """What a compute process needs to know. memory_bytes: None where it is not bounded. time_limit_s: of a job."""

    store: Path
    device: str
    threads: int | None
    memory_bytes: int | None
    checkpoint_s: float
    time_limit_s: float = 600.0


@dataclass(frozen=True)
class WorkerSettings:
    """What a worker needs to know.

    store: folder shared with the service.
    concurrency: compute processes, and so jobs at a time.
    threads: of torch in each of them; None shares the cores out (`inphase.machine`).
    memory_bytes: what each may allocate on the host; None: an equal share of most of the machine's, on a CPU.
    drain_s: how long a job may go on after SIGTERM before it is given back to the queue.
    checkpoint_s: how often a job keeps what it has; another attempt goes on from there.
    metrics_port: where Prometheus asks the worker itself; None for nowhere.
    """

    redis_url: str
    store: Path
    device: str = "cpu"
    concurrency: int = 1
    threads: int | None = None
    levels: tuple[Priority, ...] = tuple(Priority)
    memory_bytes: int | None = None
    time_limit_s: float = 600.0
    drain_s: float = 20.0
    checkpoint_s: float = 3.0
    metrics_port: int | None = None

    @property
    def compute(self) -> ComputeSettings:
        """The part of one compute process, every default resolved."""
        memory = self.memory_bytes
        if memory is None and self.device == "cpu":  # CUDA maps a multiple of what it uses
            memory = share(self.concurrency)
        threads = self.threads or machine.threads(self.concurrency)
        return ComputeSettings(self.store, self.device, threads, memory, self.checkpoint_s, self.time_limit_s)

    def to_json(self) -> str:
        """One line."""
        return json.dumps({**vars(self), "store": str(self.store)})

    @classmethod
    def from_json(cls, line: str) -> "WorkerSettings":
        """The inverse of to_json."""
        fields: dict[str, Any] = json.loads(line)
        levels = tuple(Priority(level) for level in fields.pop("levels"))
        return cls(**{**fields, "store": Path(fields["store"]), "levels": levels})
