"""The job document: the report of a reconstruction, and around it what became of the job that makes it.

It is what the API answers, the record keeps, the result file carries and `--json` prints. As JSON it is one flat
object; a job that has no report yet says null where the report's parts will be.
"""

from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, Literal, Self

import msgspec

from inphase.imaging.report import Look, Report
from inphase.ptycho.options import Options
from inphase.ptycho.reconstruction import Report as Found
from service.jobs.errors import DocumentError
from service.jobs.state import JobState, Priority, RecordedProgress

_REPORT: Final = {part.name: None for part in fields(Report)}


@dataclass(frozen=True)
class JobProgress:
    """How far a running refinement is. preview: where a picture of the object is (PNG)."""

    iteration: int
    total: int
    chi2: float | None
    support_voxels: int | None
    stage: str
    preview: str | None = None

    @classmethod
    def of(cls, progress: RecordedProgress, preview: str) -> Self:
        """preview: where the picture is, if there is one."""
        return cls(**vars(progress) | {"preview": preview if progress.preview else None})


@dataclass(frozen=True)
class JobRevision:
    """One of the results that the job has had; it never changes. kind: "network" is its image, not refined.

    final: none follows. made: UTC, ISO 8601. result: where it is.
    """

    number: int
    kind: Literal["network", "refined"]
    final: bool
    made: str
    result: str


@dataclass(frozen=True)
class Ptychography:
    """A job that reconstructs a ptychographic scan. options: how. source: of the data, for people. model: name@version
    of the network from whose image it begins, None where from nothing.

    note: why a look at a live scan does not begin from the network that was asked for.
    look: which one of a live scan it is, None of a finished one. pending: frames that could be imaged and are left to
    the next look. size: rows and columns of the object, and report: what was found; None until the job has succeeded.
    """

    options: Options
    source: str = ""
    look: Look | None = None
    pending: int = 0
    size: tuple[int, int] | None = None
    report: Found | None = None
    model: str | None = None
    note: str = ""

    def unbegun(self, model: str, error: Exception) -> Self:
        """The same of a look that does not begin from this network, and why."""
        why = str(error)
        end = "" if why.endswith((".", "?")) else "."
        return replace(
            self, model=None, note=f"The image was begun from nothing, and not from the network {model}: {why}{end}"
        )


@dataclass(frozen=True)
class JobDocument:
    """Everything about one job but its arrays.

    name: by which people know it, where its sender gave one.
    reason: why it failed, or what a reader should know. reused_from: the job that computed this result, where an
    earlier one was taken. recorded: False where Redis was away: the job cannot be asked for again.
    proposal: its people see the job and may cancel it. cancelled_by: the owner of the key that asked for it.
    created, started, finished: UTC, ISO 8601. ptychography: None of a job that reconstructs a pattern. report: None
    until the pattern has been read, and of other jobs.
    """

    id: str
    state: JobState
    created: str
    reason: str = ""
    attempt: int = 0
    owner: str = ""
    priority: Priority = Priority.NORMAL
    reused_from: str | None = None
    recorded: bool = True
    progress: JobProgress | None = None
    queue_position: int | None = None
    started: str | None = None
    finished: str | None = None
    links: dict[str, str] = field(default_factory=dict)
    revisions: tuple[JobRevision, ...] = ()
    proposal: str = ""
    cancelled_by: str = ""
    name: str = ""
    ptychography: Ptychography | None = None
    report: Report | None = None

    @property
    def reported(self) -> Report:
        """The report of a job that has one."""
        assert self.report is not None, f"job {self.id} has no report yet"
        return self.report

    def succeeded(self, report: Report) -> Self:
        """The document of the job when its result is there."""
        return replace(self, state=JobState.SUCCEEDED, report=report)

    def imaged(self, found: Ptychography) -> Self:
        """The document of a ptychographic job when its result is there."""
        return replace(self, state=JobState.SUCCEEDED, ptychography=found)

    @classmethod
    def from_json(cls, stored: bytes) -> Self:
        """A stored document, also of another version:
        what it lacks has a default, what this version does not know is left out.

        Raises DocumentError where that is not enough.
        """
        try:
            content = msgspec.json.decode(stored, type=dict[str, Any])
            read = content.get("input") is not None
            report = msgspec.convert(content, type=Report) if read else None
            return msgspec.convert(content | {"report": report}, type=cls)
        except msgspec.MsgspecError as error:
            raise DocumentError(
                f"the job document was written by another version of inphase and cannot be read by this one "
                f"({error}); the result file, where there is one, can still be fetched"
            ) from error

    def to_builtins(self) -> dict[str, Any]:
        """The flat document of plain Python values, as its JSON has them."""
        envelope: dict[str, Any] = msgspec.to_builtins(self)
        report = envelope.pop("report") or {}
        return {"id": self.id, **_REPORT, **report, **envelope}

    def to_json(self) -> bytes:
        """UTF-8 JSON; what is not finite becomes null."""
        return msgspec.json.encode(self.to_builtins())
