"""A service that really runs, with processes and a Redis of its own, and what must be true of it afterwards."""

import io
import os
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np
import psutil

from tests.hostile.outcome import LONGEST_S, Outcome, wrong
from tests.service.conftest import KEY
from tests.system.serving import Service, running, until
from tests.toy import crystal, write_model

GROWTH: Final = 256 * 2**20  # of the service's memory from the first case to the last: what libraries keep
PEAK: Final = (
    1536 * 2**20
)  # of the service at any moment: two measurements of the largest size on their way, and the rest
_URL: Final = "/v1/reconstructions"
_STARTED: Final = 4.0  # seconds in which processes that were begun may end
_CALLABLE: Final = 30.0


class House:
    """One running service; `call` may be used by several threads."""

    def __init__(self, door: str, service: Service, folder: Path) -> None:
        self._door, self._service, self._folder = door, service, folder
        self._process = psutil.Process(service.process.pid)
        self._client = httpx.Client(
            base_url=service.url, headers={"Authorization": f"Apikey {KEY}"}, timeout=httpx.Timeout(_CALLABLE)
        )
        self._warm_up()
        self._children = {child.pid for child in service.children()}
        self._memory = self._process.memory_info().rss

    def close(self) -> None:
        """Of the client: the service is ended by who started it."""
        self._client.close()

    def _warm_up(self) -> None:
        """What is loaded with the first reading counts for none of the cases."""
        stream = io.BytesIO()
        np.savez(stream, data=np.random.default_rng(2).poisson(9, (16, 16, 16)))
        for _ in range(4):
            self.call("application/x-npz", {}, stream.getvalue(), leads_out=False)

    def call(self, media: str, options: Mapping[str, Any], content: bytes, *, leads_out: bool) -> tuple[str, str, str]:
        """One request: its status, what was said, and what is wrong with it."""
        begun = time.monotonic()
        query = {"refine": "none", "format": "npz", "wait": 8.0, **options}
        try:
            answer = self._client.post(_URL, params=query, content=content, headers={"Content-Type": media})
        except httpx.HTTPError as error:
            return "none", f"{type(error).__name__}: {error}", "silent: there was no answer"
        seconds, kind = time.monotonic() - begun, str(answer.status_code)
        told = (
            f"{answer.headers} {answer.text}"
            if answer.is_error or answer.status_code == 202
            else _texts(answer.content)
        )
        return kind, told, self._wrong(answer, seconds, told, leads_out)

    def _wrong(self, answer: httpx.Response, seconds: float, told: str, leads_out: bool) -> str:
        if answer.status_code == 200:
            with np.load(io.BytesIO(answer.content), allow_pickle=False) as arrays:
                counts = np.asarray(arrays["modulus"]) ** 2
            return wrong(seconds, told, counts, leads_out)
        if answer.status_code == 202:
            return "late: it was still being read after 8 s"
        if answer.headers.get("content-type") != "application/problem+json":
            return f"form: {answer.status_code} is no problem document"
        if answer.status_code >= 500 and not (answer.status_code == 503 and "retry-after" in answer.headers):
            return f"fault: {answer.status_code}"
        for where in (self._folder / "root", self._service.state):
            if f"{where.resolve()}/" in answer.text:
                return f"place: it tells where {where.name} lies"
        return wrong(seconds, told, None, leads_out)

    def aftermath(self) -> Iterator[Outcome]:
        """What is not as it was before the first case: one that is well, or every fault."""
        found = [Outcome(self._door, "service", kind, told, fault=True) for kind, told in self._left()]
        yield from found or [Outcome(self._door, "service", "alive and clean")]

    def _left(self) -> Iterator[tuple[str, str]]:
        if self._service.process.poll() is not None:
            yield "dead", f"it ended with {self._service.process.returncode}"
            return
        begun = time.monotonic()
        if self._client.get("/healthz").status_code != 200 or time.monotonic() - begun > 1:
            yield "ill", "/healthz"
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        peak = int(status.partition("VmHWM:")[2].split()[0]) * 1024
        if (grown := self._process.memory_info().rss - self._memory) > GROWTH or peak > PEAK:
            yield "memory", f"{grown / 2**20:.0f} MiB more than before, {peak / 2**20:.0f} MiB at its highest"
        try:
            until(lambda: len({child.pid for child in self._service.children()} - self._children) <= 1, _STARTED)
        except AssertionError:  # one is the process that waits for the next order
            new = [child for child in self._service.children() if child.pid not in self._children]
            yield "children", f"{len(new)} processes are left: {[child.cmdline() for child in new[:3]]}"
        yield from self._store()

    def _store(self) -> Iterator[tuple[str, str]]:
        """Only jobs that are known, and nothing of what was sent."""
        store = self._service.state / "store"
        known, cursor = set[str](), ""
        while cursor is not None:
            page = self._client.get("/v1/jobs", params={"limit": 100, **({"cursor": cursor} if cursor else {})}).json()
            known |= {job["id"] for job in page["jobs"]}
            cursor = page["cursor"]
        if strange := sorted(set(os.listdir(store)) - known):
            yield "store", f"{len(strange)} folders of no job: {strange[:3]}"
        if sent := [str(path) for path in store.glob("*/upload*")]:
            yield "store", f"what was sent is kept: {sent[:3]}"


def _texts(content: bytes) -> str:
    """What a result says: its document."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive, archive.open("document.npy") as member:
        return str(np.lib.format.read_array(io.BytesIO(member.read()), allow_pickle=False))


@contextmanager
def serving(folder: Path, door: str, read_s: float, array_bytes: int) -> Iterator[House]:
    """A service whose data root is `folder`/root; it ends with the block, and everything that it has started."""
    models = folder / f"models-{door}"
    write_model(models, crystal())
    bounds = {"INPHASE_BOUNDS__READ_S": str(read_s), "INPHASE_BOUNDS__ARRAY_BYTES": str(array_bytes)}
    options = ("--data-root", str(folder / "root"))
    with running(folder / f"state-{door}", models, *options, INPHASE_WORKERS="0", **bounds) as service:
        house = House(door, service, folder)
        try:
            yield house
        finally:
            house.close()


assert LONGEST_S < _CALLABLE  # so that a late answer is seen as one
