"""What a step did, as numbers that go into the job document, and what it says of the result's worth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Number = int | float | str | Sequence[int | float]


@dataclass(frozen=True)
class StepReport:
    """Name of the step and what it found or did; every number is plain Python, so that JSON takes it.

    faults: why a result of these data is not to be relied on. doubts: what a reader should know of it. Both say what to
    do.
    """

    name: str
    numbers: Mapping[str, Number] = field(default_factory=dict)
    faults: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
