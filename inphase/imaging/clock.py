"""Where the time of a reconstruction goes, by stage."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

STAGES: Final = ("receive", "decode", "preprocess", "infer", "score", "queue", "refine", "rank", "encode")


@dataclass(frozen=True)
class Lap:
    """One run through a stage. began: seconds since the epoch."""

    stage: str
    began: float
    seconds: float


class Clock:
    """Adds up milliseconds per stage, and remembers when each began."""

    def __init__(self) -> None:
        self.ms: dict[str, float] = {}
        self.laps: list[Lap] = []

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Time a block; what fails counts too."""
        began, started = time.time(), time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - started
            self.laps.append(Lap(stage, began, seconds))
            self.add(stage, seconds * 1e3)

    def add(self, stage: str, ms: float) -> None:
        """Add to a stage what was measured elsewhere."""
        self.ms[stage] = self.ms.get(stage, 0.0) + ms

    def rounded(self) -> dict[str, float]:
        """Milliseconds per stage to the microsecond, in the order of the way."""
        return {stage: round(self.ms[stage], 3) for stage in STAGES if stage in self.ms}
