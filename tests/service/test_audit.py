"""The audit log: who did what."""

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import structlog
from numpy.typing import NDArray

from tests.service.api.calls import URL
from tests.service.api.conftest import NPY, npy
from tests.service.api.queued import by, client, keyed
from tests.service.conftest import KEY

__all__ = ["client", "keyed"]  # fixtures
PAGE = {"Inphase-Page": "1"}


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    """The lines of the log, with what was bound to the request."""
    with structlog.testing.capture_logs([structlog.contextvars.merge_contextvars]) as found:
        yield found


def audited(lines: list[Any]) -> list[dict[str, Any]]:
    """The lines of the audit log."""
    return [line for line in lines if line["event"] == "audit"]


async def test_a_live_scan_and_a_deletion_are_written_down(
    keyed: httpx.AsyncClient, pattern: NDArray[np.uint32], lines: list[Any]
) -> None:
    """Who opened and aborted a scan, and who deleted a job that had ended."""
    opened = await keyed.post("/v1/scans", json={"shape": [64, 64], "dtype": "uint32"}, headers=by("ada"))
    scan = opened.json()["id"]
    await keyed.delete(f"/v1/scans/{scan}", params={"reason": "the beam is down"}, headers=by("ada"))
    answer = await keyed.post(URL, params={"wait": 0}, content=npy(pattern), headers=NPY | by("ada"))
    job = answer.json()["id"]
    await keyed.delete(f"/v1/jobs/{job}")
    async with asyncio.timeout(20):  # who reads it is told
        while (await keyed.get(f"/v1/jobs/{job}")).json()["state"] != "cancelled":  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert (await keyed.delete(f"/v1/jobs/{job}/record")).status_code == 204
    told = [(line["action"], line.get("scan") or line.get("job"), line["owner"]) for line in audited(lines)]
    assert told == [
        ("submit", scan, "ada"), ("cancel", scan, "ada"), ("submit", job, "ada"), ("cancel", job, "admin"),
        ("delete", job, "admin"),
    ]  # fmt: skip
    assert [line["of"] for line in audited(lines) if line["action"] in ("cancel", "delete")] == ["ada"] * 3


async def test_what_is_done_to_a_job_is_written_down_with_who_did_it(
    keyed: httpx.AsyncClient, pattern: NDArray[np.uint32], lines: list[Any]
) -> None:
    """One line for the submission and one for the cancellation, with the key's id and the request's."""
    answer = await keyed.post(URL, params={"wait": 0}, content=npy(pattern), headers=NPY | by("ada"))
    job = answer.json()["id"]
    cancelled = await keyed.delete(f"/v1/jobs/{job}", params={"reason": "the beam is down"})
    submitted, ended = audited(lines)
    assert {"action": "submit", "job": job, "owner": "ada"}.items() <= submitted.items()
    assert submitted["request_id"] == answer.headers["x-request-id"]
    assert len(submitted["key"]) == 12
    assert {
        "action": "cancel", "job": job, "of": "ada", "owner": "admin", "reason": "the beam is down",
        "request_id": cancelled.headers["x-request-id"],
    }.items() <= ended.items()  # fmt: skip


async def test_a_repeated_request_is_one_submission(
    keyed: httpx.AsyncClient, pattern: NDArray[np.uint32], lines: list[Any]
) -> None:
    """The second call with an Idempotency-Key makes nothing."""
    headers = NPY | by("ada") | {"Idempotency-Key": "once"}
    for _ in range(2):
        await keyed.post(URL, params={"wait": 0}, content=npy(pattern), headers=headers)
    assert len(audited(lines)) == 1


async def test_logins_and_refused_keys_are_written_down_without_the_key(
    keyed: httpx.AsyncClient, lines: list[Any]
) -> None:
    """Who came in, who went, and who was kept out, from where."""
    del keyed.headers["Authorization"]
    for key in ("ada" * 8, "not-the-key"):
        await keyed.post("/v1/login", json={"key": key}, headers=PAGE)
    await keyed.delete("/v1/login", headers=PAGE)
    keyed.cookies.clear()
    await keyed.get("/v1/jobs", headers=by("carla"))
    found = audited(lines)
    assert [line["action"] for line in found] == ["login", "refuse", "logout", "refuse"]
    assert [line.get("owner") for line in found] == ["ada", None, "ada", None]
    assert (found[3]["why"], found[3]["path"], found[3]["client"]) == ("the API key is wrong", "/v1/jobs", "127.0.0.1")
    assert "not-the-key" not in str(lines)
    assert KEY not in str(lines)


async def test_every_line_of_a_request_says_whose_it_is(keyed: httpx.AsyncClient, lines: list[Any]) -> None:
    """The access log too; what an earlier request was known by is forgotten."""
    await keyed.get("/v1/jobs", headers=by("ada"))
    await keyed.get("/v1/nothing")
    first, second = (line for line in lines if line["event"] == "request")
    assert (first["owner"], "request_id" in first) == ("ada", True)
    assert "owner" not in second


async def test_a_prediction_that_is_not_recorded_is_a_submission(
    keyed: httpx.AsyncClient, pattern: NDArray[np.uint32], lines: list[Any]
) -> None:
    """While there is no queue."""
    services = keyed.app.state.services  # type: ignore[attr-defined]
    services._redis.stop()
    answer = await keyed.post("/v1/reconstructions?refine=none", content=npy(pattern), headers=NPY | by("ada"))
    assert answer.status_code == 200, answer.text
    (line,) = audited(lines)
    assert {"action": "submit", "recorded": False, "owner": "ada"}.items() <= line.items()
