"""What `inphase reconstruct` does with a scan: in this process, or on a service."""

import glob
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from inphase.errors import CancelledError, InphaseError
from service import batch

if TYPE_CHECKING:
    from inphase.client import Client
    from inphase.imaging.options import Options
    from service.settings import Settings
    from service.sources import LocalSource


def scans_of(paths: list[Path], beamline: str | None) -> list[Path]:
    """What the arguments mean: patterns are for shells that leave them as they are, a beamline's folder is one scan."""
    from service.sources import in_order, scans_in

    found: list[Path] = []
    for path in paths:
        if glob.has_magic(str(path)) and not path.exists():
            matched = in_order(Path(name) for name in glob.glob(str(path)))
            if not matched:
                raise InphaseError(f"nothing matches {path}")
            found += matched
        else:
            inside = scans_in(path) if beamline is None else [path]
            if not inside:
                raise InphaseError(f"{path} holds no scan: neither files that are read nor folders of TIFF frames")
            found += inside
    return found


def here(options: "Options", source: "LocalSource", settings: "Settings", held: ExitStack, several: bool) -> batch.Work:
    """In this process. source: of each scan but for its path."""
    from inphase.formats import Limits
    from inphase.formats.writers import write_result
    from inphase.imaging.clock import Clock
    from inphase.imaging.reconstruct import carry_out
    from inphase.imaging.report import Series
    from inphase.models.repository import Repository
    from inphase.models.session import Sessions
    from service.document import JobDocument
    from service.frame import Frame
    from service.jobs.state import JobState
    from service.jobs.store import Store

    sessions = Sessions(Repository(settings.models_dir, settings.model), settings.threads)
    store = Store(Path(held.enter_context(tempfile.TemporaryDirectory(prefix="inphase-")))) if several else None
    series = uuid4().hex

    def work(number: int, scan: batch.Scan, stage: batch.Stage, cancelled: Callable[[], bool]) -> dict[str, Any]:
        clock, job = Clock(), uuid4().hex
        advance = stage("reading")
        with clock("decode"):
            raw = replace(source, path=scan.path).read(options.domain, Limits(settings.bounds.array_bytes))
            corrections = source.corrections()

        def begun(name: str) -> None:
            nonlocal advance
            advance = stage(name)

        result = carry_out(
            raw, options, sessions, clock=clock, corrections=corrections, device=settings.device, stage=begun,
            progress=lambda p: advance(p.iteration + 1, p.total), cancelled=cancelled,
            frame=Frame(store, series, job) if store else None, series=Series(series, number) if store else None,
        )  # fmt: skip
        document = JobDocument(job, JobState.SUCCEEDED, result.report.created, report=result.report)
        write_result(scan.output, result.with_document(document.to_json().decode()))
        return document.to_builtins()

    return work


def there(options: "Options", source: "LocalSource", url: str, key: str, fresh: bool, held: ExitStack) -> batch.Work:
    """On a service: the bytes are sent, so it need not see this machine's files."""
    from inphase.client import FINAL, Client
    from inphase.formats import Limits

    client = held.enter_context(Client(url, key))
    asked = {name: value for name, value in vars(options).items() if value is not None} | {"reuse": not fresh}

    def work(number: int, scan: batch.Scan, stage: batch.Stage, cancelled: Callable[[], bool]) -> dict[str, Any]:
        stage("reading")
        raw = replace(source, path=scan.path).read(options.domain, Limits())
        document = client.reconstruct(raw, wait=0.5, sent=stage("sending"), key=uuid4().hex, **asked)
        if document["state"] not in FINAL:
            document = _followed(client, document["id"], stage, cancelled)
        if document["state"] == "cancelled":
            raise CancelledError(f"job {document['id']} was cancelled")
        if document["state"] != "succeeded":
            raise InphaseError(f"job {document['id']} is {document['state']}: {document['reason']}")
        if not document["recorded"]:
            raise InphaseError(f"the service kept no result: {document['reason']}")
        stage("fetching the result")
        client.save(document["id"], scan.output)
        return document

    return work


def _followed(
    client: "Client", job_id: str, stage: batch.Stage, cancelled: Callable[[], bool] = lambda: False
) -> dict[str, Any]:
    """A job's document when it has ended; a job that nobody waits for any more is cancelled."""
    refining, asked = stage("waiting for a worker"), False
    try:
        for event in client.follow(job_id):
            if event.kind == "progress":
                refining(event.data["iteration"] + 1, event.data["total"])
            elif event.kind == "state" and event.data["state"] == "running":
                refining = stage("refining")
            if cancelled() and not asked:
                asked = True
                client.cancel(job_id)
    except KeyboardInterrupt:
        client.cancel(job_id)
        raise
    return client.job(job_id)
