"""What a step did, as numbers that go into the job document."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Number = int | float | str | Sequence[int | float]


@dataclass(frozen=True)
class StepReport:
    """Name of the step and what it found or did; every number is plain Python, so that JSON takes it."""

    name: str
    numbers: Mapping[str, Number] = field(default_factory=dict)
