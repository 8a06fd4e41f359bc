"""What becomes of accepted jobs when Redis, or everything, is killed:
nothing is lost, and the service says what it can do.
"""

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from inphase.client import FINAL, Client, Event, Retries, ServiceError
from service.jobs.embedded import find_server
from tests.service.conftest import KEY
from tests.system.serving import Service, free_port, plain, running, until

pytestmark = pytest.mark.system

LASTING = "1500*ER"  # some seconds: Redis is away and back in the meantime


@contextmanager
def redis_server(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A Redis of the site, on TCP, as docs/how-to/run-the-service.md asks for."""
    command = [str(find_server()), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
    with (folder / "redis.log").open("ab") as log:
        process = subprocess.Popen([*command, "--appendonly", "yes", "--appendfsync", "always"], stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


def until_ended(client: Client, jobs: list[str], seconds: float = 60.0) -> list[dict[str, Any]]:
    """The documents of jobs when all have ended."""
    until(lambda: all(client.job(job)["state"] in FINAL for job in jobs), seconds)
    return [client.job(job) for job in jobs]


def of_redis(service: Service) -> psutil.Process:
    """The Redis server that a service has started."""
    return next(p for p in service.children() if "redis-server" in p.name() or "valkey-server" in p.name())


def test_everything_killed_and_nothing_lost(tmp_path: Path, models: Path, pattern: NDArray[np.uint32]) -> None:
    """kill -9 of Redis and the service right after they have accepted jobs and a series:
    the next service finishes all.
    """
    data = tmp_path / "data"
    data.mkdir()
    for number in range(3):
        np.save(data / f"scan_{number}.npy", np.roll(pattern, number, axis=0))
    root = ("--data-root", str(data))
    with running(tmp_path / "state", models, "--workers", "0", *root) as first:
        with first.client() as client:
            jobs = [client.submit(pattern, refine="3*ER", seed=seed)["id"] for seed in range(4)]
            series = client.submit_series(["scan_*.npy"], refine="2*ER")["id"]
        of_redis(first).kill()
        first.process.kill()
        first.nobody_left(30)
    with running(tmp_path / "state", models, *root) as second, second.client() as client:
        assert [job["state"] for job in until_ended(client, jobs)] == ["succeeded"] * 4
        until(lambda: client.series(series)["done"])
        assert client.series(series)["states"]["succeeded"] == 3
        assert len(list(client.jobs())) == 7  # each once


def test_redis_away_and_back(tmp_path: Path, models: Path, pattern: NDArray[np.uint32]) -> None:
    """While a site's Redis is away: predictions go on unrecorded, what needs the queue is 503,
    accepted jobs end afterwards.

    A job that computes goes on meanwhile, and who follows it hears its end.
    """
    port = free_port()
    with redis_server(tmp_path, port) as redis:
        until(lambda: b"Ready to accept" in (tmp_path / "redis.log").read_bytes())
        with running(tmp_path / "state", models, REDIS_URL=f"redis://127.0.0.1:{port}") as service:
            service.until_workers()
            events: list[Event] = []
            with service.client() as client:
                computing = client.submit(pattern, refine=LASTING, start="network")["id"]
                waiting = client.submit(pattern, refine="2*ER")["id"]
                until(lambda: client.job(computing)["state"] == "running")

                def follow() -> None:
                    with service.client() as other:
                        events.extend(other.follow(computing))

                thread = threading.Thread(target=follow)
                thread.start()
                until(lambda: events)
                redis.kill()
                redis.wait(10)
                check_away(service, client, pattern)
                with redis_server(tmp_path, port):
                    done = until_ended_again(client, [computing, waiting])
                    thread.join(30)
                    assert not thread.is_alive()
                    assert client.status()["queue"]["up"]
                    until(lambda: client.status()["queue"]["workers"])  # as soon as it has announced itself again
                    assert len(client.status()["queue"]["workers"]) == 1
                    assert client.reconstruct(pattern, refine="3*ER", wait=30)["state"] == "succeeded"
                    service.process.terminate()
                    service.nobody_left(30)
    assert [job["state"] for job in done] == ["succeeded", "succeeded"], done
    assert done[0]["attempt"] == 1  # Redis away is no reason to begin again
    states = [event.data["state"] for event in events if event.kind == "state"]
    assert states[-1] == "succeeded"
    assert len({event.event_id for event in events if event.event_id}) == len(
        [event for event in events if event.event_id]
    )


def until_ended_again(client: Client, jobs: list[str]) -> list[dict[str, Any]]:
    """As until_ended, over the moments in which Redis is still coming back."""

    def ended() -> bool:
        try:
            return all(client.job(job)["state"] in FINAL for job in jobs)
        except ServiceError as error:
            if error.status != 503:
                raise
            return False

    until(ended)
    return [client.job(job) for job in jobs]


def check_away(service: Service, client: Client, pattern: NDArray[np.uint32]) -> None:
    """What the service does without its Redis."""
    for refine in ("none", "fast"):
        answer = client.reconstruct(pattern, refine=refine, wait=5)
        assert (answer["state"], answer["recorded"]) == ("succeeded", False)
        assert "Redis" in answer["reason"]
    with plain(service.url, headers={"Authorization": f"Apikey {KEY}"}, timeout=30) as http:
        refused = [http.get("/v1/jobs"), http.delete(f"/v1/jobs/{'0' * 32}"), http.get("/v1/series")]
        assert [answer.status_code for answer in refused] == [503] * 3
        once = Retries(attempts=1)  # as a rule a client waits, twice for five seconds
        with Client(service.url, KEY, retries=once) as impatient, pytest.raises(ServiceError, match="503"):
            impatient.submit(pattern, refine="fast")
        assert all(answer.headers["retry-after"] for answer in refused)
        assert http.get("/readyz").status_code == 200
        assert http.get("/v1/status").json()["queue"]["up"] is False
