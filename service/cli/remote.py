"""Lets a service reconstruct the scans of `inphase reconstruct`:
the bytes are sent, so it need not see this machine's files.
"""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from inphase.errors import CancelledError, InphaseError
from service.cli.batch import Reconstructor, Scan
from service.cli.files import reader
from service.cli.terminal import Stage

if TYPE_CHECKING:
    from inphase.client import Client
    from inphase.formats.reading import Reading
    from inphase.imaging.options import Options

_SOON_S: Final = 0.5  # how long an answer is waited for before the job is followed


def reconstructor(
    options: "Options", reading: "Reading", url: str, key: str, fresh: bool, held: ExitStack
) -> Reconstructor:
    """What lets the service at a URL reconstruct one scan. reading: of each scan."""
    from inphase.client import Client
    from inphase.formats import Limits
    from service.sandbox.order import FileOrder

    read = reader(held)
    client = held.enter_context(Client(url, key))
    asked = {name: value for name, value in vars(options).items() if value is not None} | {"reuse": not fresh}

    def reconstruct(number: int, scan: Scan, stage: Stage, cancelled: Callable[[], bool]) -> dict[str, Any]:
        stage("reading")
        raw = read(FileOrder(scan.path, reading, options.domain, Limits()), scan.frame)
        document = client.reconstruct(raw, wait=_SOON_S, sent=stage("sending"), key=uuid4().hex, **asked)
        document = succeeded(client, document, stage, cancelled)
        if not document["recorded"]:
            raise InphaseError(f"the service kept no result: {document['reason']}")
        stage("fetching the result")
        client.save(document["id"], scan.output)
        return document

    return reconstruct


def ptychogram(path: Path, asked: dict[str, Any], client: "Client", stage: Stage) -> dict[str, Any]:
    """The document of the job that has reconstructed a ptychographic scan; the file is sent as it is."""
    document = client.reconstruct_ptychogram_upload(
        path, wait=_SOON_S, sent=stage("sending"), key=uuid4().hex, **asked
    )  # fmt: skip
    return succeeded(client, document, stage)


def succeeded(
    client: "Client", document: dict[str, Any], stage: Stage, cancelled: Callable[[], bool] = lambda: False
) -> dict[str, Any]:
    """A job's document when it has succeeded. Raises CancelledError, InphaseError with the reason."""
    from inphase.client import FINAL

    if document["state"] not in FINAL:
        document = _followed(client, document["id"], stage, cancelled)
    if document["state"] == "cancelled":
        raise CancelledError(f"job {document['id']} was cancelled")
    if document["state"] != "succeeded":
        raise InphaseError(f"job {document['id']} is {document['state']}: {document['reason']}")
    return document


def _followed(client: "Client", job_id: str, stage: Stage, cancelled: Callable[[], bool]) -> dict[str, Any]:
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
