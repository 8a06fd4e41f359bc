"""Many hosts: two APIs, Redis and two workers, each with an address of its own, and a folder that they share."""

import asyncio
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from pydantic import SecretStr

from inphase.client import Client, ServiceError
from service.jobs.embedded import find_server
from service.jobs.errors import NoRedisError
from service.jobs.record import Records
from service.jobs.state import JobState
from service.jobs.store import Store
from service.settings import Settings
from tests.service.conftest import KEY
from tests.system.network import Network, NoNetworkError, network
from tests.system.serving import INPHASE
from tests.toy import counts, crystal, write_model

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(600)]

PASSWORD = "between/hosts@only"
START_S = 180.0  # two processes load torch at once, perhaps on a busy machine
RECIPE = "1000*ER"  # some seconds: long enough to pull a cable in the middle
T = TypeVar("T")


@dataclass
class Hosts:
    """The running house; `here` calls a function on the first API's host. client, other: of the two APIs."""

    network: Network
    client: Client
    other: Client
    apis: dict[str, subprocess.Popen[str]]
    records: Records
    store: Store
    logs: Path
    here: Callable[[Callable[[], Any]], Any]

    def until(self, condition: Callable[[], T], seconds: float) -> T:
        """What the condition gives as soon as it is true."""
        end = time.monotonic() + seconds
        while not (found := self.here(condition)):
            assert time.monotonic() < end, f"not within {seconds} s; {self.log('w1')[-2000:]}"
            time.sleep(0.05)
        return found

    def log(self, host: str) -> str:
        """What a host's program has written."""
        return (self.logs / host).read_text()


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    """Five hosts: redis, api, api2, w1, w2."""
    try:
        server = find_server()
    except NoRedisError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("hosts")
    for name in ("redis", "shared", "logs"):
        (folder / name).mkdir()
    write_model(folder / "models", crystal())
    with ExitStack() as stack:
        try:
            lan = stack.enter_context(network("redis", "api", "api2", "w1", "w2"))
        except NoNetworkError as error:
            pytest.skip(str(error))
        here = stack.enter_context(lan.on("api"))
        url = f"redis://{lan.addresses['redis']}:6379"
        settings = {
            "INPHASE_API_KEY": KEY, "INPHASE_STATE_DIR": str(folder / "shared"),
            "INPHASE_MODELS_DIR": str(folder / "models"),
            "INPHASE_THREADS": "1", "INPHASE_DRAIN_S": "1", "INPHASE_REDIS_URL": url,
            "INPHASE_REDIS_PASSWORD": PASSWORD,
        }  # fmt: skip
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("INPHASE_", "REDIS_"))}
        redis = ["--bind", lan.addresses["redis"], "--requirepass", PASSWORD, "--dir", folder / "redis"]
        commands = {
            "redis": [server, *redis, "--appendonly", "yes", "--appendfsync", "always", "--save", ""],
            "api": [*INPHASE, "serve", "--host", lan.addresses["api"], "--workers", "0"],
            "api2": [*INPHASE, "serve", "--host", lan.addresses["api2"], "--workers", "0"],
            "w1": [*INPHASE, "worker"],
            "w2": [*INPHASE, "worker"],
        }
        processes: dict[str, subprocess.Popen[str]] = {}
        stack.callback(lambda: end(list(processes.values())))
        for host, command in commands.items():
            log = stack.enter_context((folder / "logs" / host).open("w"))
            processes[host] = lan.start(host, command, log, clean | settings)
        client, other = (Client(f"http://{lan.addresses[name]}:8000", KEY) for name in ("api", "api2"))
        for made in (client, other):
            stack.callback(made.close)
        records = Records(Settings(redis_url=url, redis_password=SecretStr(PASSWORD)).redis_address or "")
        stack.callback(records.close)
        apis = {name: processes[name] for name in ("api", "api2")}
        found = Hosts(lan, client, other, apis, records, Store(folder / "shared" / "store"), folder / "logs", here)
        found.until(lambda: answers(client) and answers(other), START_S)
        found.until(lambda: len(records.workers()) == 2, START_S)
        yield found


def end(processes: list[subprocess.Popen[str]]) -> None:
    """End processes together; one that is far from its Redis may not go by itself."""
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def answers(client: Client) -> bool:
    """Whether the service is up."""
    try:
        return bool(client.models())
    except ServiceError as error:
        if error.status:
            raise
        return False


def test_a_cut_cable_costs_no_job(hosts: Hosts) -> None:
    """A worker is cut off in mid-job: the other ends the job, once; the first one's late result is refused;
    it works on.
    """
    here, until, client, records, store = hosts.here, hosts.until, hosts.client, hosts.records, hosts.store
    submitted = here(lambda: client.reconstruct(counts(), wait=0, refine=RECIPE, start="network"))
    job_id = submitted["id"]
    until(lambda: records.get(job_id).progress, 30)
    first = host_of(here(lambda: records.get(job_id)).worker)
    other = {"w1": "w2", "w2": "w1"}[first]

    hosts.network.cut(first)
    cut = time.monotonic()
    until(lambda: records.get(job_id).attempt == 2, 30)
    assert time.monotonic() - cut < 5  # 2 s of silence and a look every half second are the design
    until(lambda: store.has(job_id, "result-1"), 180)  # the worker in the dark, being ahead, comes to an end
    record = until(lambda: (found := records.get(job_id)).state.final and found, 180)
    assert (record.state, record.attempt, record.result) == (JobState.SUCCEEDED, 2, "result-2")
    assert host_of(record.worker) == other

    hosts.network.join(first)
    until(lambda: f"job {job_id}: attempt 1 came too late, dropped" in hosts.log(first), 30)
    until(lambda: store.names(job_id) == ["input", "result-2"], 10)
    assert here(lambda: records.get(job_id)) == record
    assert here(lambda: states(records, job_id)) == [
        "accepted", "reading", "queued", "running", "running", "succeeded",
    ]  # fmt: skip
    document = here(lambda: client.job(job_id))
    assert (document["state"], document["attempt"]) == ("succeeded", 2)
    support = here(lambda: client.array(job_id, "support"))
    assert support.sum() == (np.abs(crystal()) > 0).sum()

    hosts.network.cut(other)
    try:
        again = here(lambda: client.reconstruct(counts(), wait=50, refine="2*ER", start="network"))
        assert (again["state"], again["attempt"]) == ("succeeded", 1)
        assert host_of(here(lambda: records.get(again["id"])).worker) == first
    finally:
        hosts.network.join(other)


def test_two_apis_are_one_service(hosts: Hosts) -> None:
    """What one has accepted the other follows, cancels and hands out; the same call at both is one job."""
    here, client, other = hosts.here, hosts.client, hosts.other
    pattern = counts(seed=2)  # an earlier one would be answered with its result
    job_id = here(lambda: other.submit(pattern, refine=RECIPE, start="network", key="scan-1"))["id"]
    assert here(lambda: client.submit(pattern, refine=RECIPE, start="network", key="scan-1"))["id"] == job_id
    told = here(lambda: _until_progress(client, job_id))
    assert told[-2:] == ["state", "progress"]
    here(lambda: client.cancel(job_id, "ice on the sample"))
    ended = hosts.until(lambda: (found := other.job(job_id))["state"] == "cancelled" and found, 30)
    assert ended["reason"].endswith("ice on the sample")


def test_an_api_that_dies_takes_nothing_with_it(hosts: Hosts) -> None:
    """Killed over jobs that it has accepted and others that it reads: all end, and the other one has the results."""
    here, client, other = hosts.here, hosts.client, hosts.other
    at_work = here(lambda: other.submit(counts(seed=3), refine="300*ER", start="network"))["id"]
    hosts.until(lambda: hosts.records.get(at_work).progress, 30)
    stream = here(lambda: _until_progress(client, at_work))
    assert stream[-1] == "progress"
    unread = [
        here(lambda seed=seed: other.submit(counts(seed=seed), refine="2*ER", start="network"))["id"] for seed in (4, 5)
    ]
    hosts.apis["api2"].kill()
    for job_id in (at_work, *unread):
        document = hosts.until(
            lambda job_id=job_id: (found := client.job(job_id))["state"] == "succeeded" and found, 120
        )
        assert document["recorded"]
        assert here(lambda job_id=job_id: client.array(job_id, "support")).any()


def _until_progress(client: Client, job_id: str) -> list[str]:
    """Kinds of the events of a job up to the first progress."""
    kinds = []
    events = client.follow(job_id)
    for event in events:
        kinds.append(event.kind)
        if event.kind == "progress":
            break
    events.close()  # type: ignore[attr-defined]  # a generator
    return kinds


def host_of(worker: str) -> str:
    """The host in a worker's name."""
    return worker.partition(":")[0]


def states(records: Records, job_id: str) -> list[str]:
    """The states that the job went through, in order."""

    async def collect() -> list[str]:
        return [e.data["state"] async for e in records.follow(job_id) if e is not None and e.kind == "state"]

    return asyncio.run(collect())
