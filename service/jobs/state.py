"""The states of a job and of a live scan, how urgent a job is, and how far it is."""

from dataclasses import dataclass
from enum import StrEnum


class JobState(StrEnum):
    """accepted -> reading -> queued -> running -> succeeded, failed or cancelled.

    A job is recorded before its data are read. One whose reader dies is read again; a running one whose worker dies
    runs again, as a new attempt. What needs no worker ends from reading.
    """

    ACCEPTED = "accepted"
    READING = "reading"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether nothing comes after this state."""
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


class ScanState(StrEnum):
    """open -> finishing -> finished, or aborted from either.

    Frames come while it is open; then the last look is made.
    """

    OPEN = "open"
    FINISHING = "finishing"
    FINISHED = "finished"
    ABORTED = "aborted"

    @property
    def final(self) -> bool:
        """Whether nothing comes after this state."""
        return self in (ScanState.FINISHED, ScanState.ABORTED)


class Priority(StrEnum):
    """Whom a worker serves first: a live scan before a request, a request before a batch."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


@dataclass(frozen=True)
class RecordedProgress:
    """How far a refinement is; chi2 and support_voxels are None until the first evaluation.

    preview: whether a picture of the object lies in the store (`Store.preview`): arrays never travel through Redis.
    """

    iteration: int
    total: int
    chi2: float | None = None
    support_voxels: int | None = None
    stage: str = ""
    preview: bool = False
