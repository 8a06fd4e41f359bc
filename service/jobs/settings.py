"""How a worker runs: what the service tells its worker processes."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.jobs.state import Priority


@dataclass(frozen=True)
class WorkerSettings:
    """What a worker needs to know.

    store: folder shared with the service. threads: of torch, None for its default. drain_s: how long a job may go on
    after SIGTERM before it is given back to the queue.
    """

    redis_url: str
    store: Path
    device: str = "cpu"
    threads: int | None = None
    levels: tuple[Priority, ...] = tuple(Priority)
    time_limit_s: float = 600.0
    drain_s: float = 20.0

    def to_json(self) -> str:
        """One line."""
        return json.dumps({**vars(self), "store": str(self.store)})

    @classmethod
    def from_json(cls, line: str) -> "WorkerSettings":
        """The inverse of to_json."""
        fields: dict[str, Any] = json.loads(line)
        levels = tuple(Priority(level) for level in fields.pop("levels"))
        return cls(**{**fields, "store": Path(fields["store"]), "levels": levels})
