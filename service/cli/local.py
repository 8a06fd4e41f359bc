"""Reconstructs the scans of `inphase reconstruct` in this process."""

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from service.cli.batch import Reconstructor, Scan
from service.cli.files import reader
from service.cli.terminal import Stage

if TYPE_CHECKING:
    from inphase.formats.reading import Reading
    from inphase.imaging.options import Options
    from service.settings import Settings


def reconstructor(
    options: "Options", reading: "Reading", settings: "Settings", held: ExitStack, several: bool
) -> Reconstructor:
    """What reconstructs one scan. reading: of each scan."""
    from inphase.formats import Limits
    from inphase.formats.writers import write_result
    from inphase.imaging.clock import Clock
    from inphase.imaging.reconstruct import carry_out
    from inphase.imaging.report import Series
    from inphase.models.repository import Repository
    from inphase.models.session import Sessions
    from service.document import JobDocument
    from service.jobs.state import JobState
    from service.jobs.store import Store
    from service.sandbox.order import FileOrder
    from service.series.frame import Frame

    read = reader(held)
    sessions = Sessions(Repository(settings.models_dir, settings.model), settings.threads, settings.provider)
    store = Store(Path(held.enter_context(tempfile.TemporaryDirectory(prefix="inphase-")))) if several else None
    series = uuid4().hex

    def reconstruct(number: int, scan: Scan, stage: Stage, cancelled: Callable[[], bool]) -> dict[str, Any]:
        clock, job = Clock(), uuid4().hex
        advance = stage("reading")
        with clock("decode"):
            raw = read(FileOrder(scan.path, reading, options.domain, Limits(settings.bounds.array_bytes)), scan.frame)

        def begun(name: str) -> None:
            nonlocal advance
            advance = stage(name)

        result = carry_out(
            raw, options, sessions, clock=clock, device=settings.device, stage=begun,
            progress=lambda p: advance(p.iteration + 1, p.total), cancelled=cancelled,
            frame=Frame(store, series, job) if store else None, series=Series(series, number) if store else None,
        )  # fmt: skip
        document = JobDocument(job, JobState.SUCCEEDED, result.report.created, report=result.report)
        write_result(scan.output, result.with_document(document.to_json().decode()))
        return document.to_builtins()

    return reconstruct
