"""The callback for bluesky, with documents and containers made here; tests/system/test_bluesky.py has the real ones."""

import io
import json
from collections.abc import Mapping
from typing import Any

import httpx
import numpy as np
import pytest

from inphase.bridges import bluesky
from inphase.bridges.bluesky import Outcome, RunReconstruction, check_steps
from inphase.client import Client, Retries
from inphase.errors import DataError
from tests.inphase.bridges.containers import Memory, Stored, run_of
from tests.streams import sent

COUNTS = np.ones((4, 8, 8), np.uint16)
Documents = list[tuple[str, dict[str, Any]]]


def service(state: str = "succeeded", reason: str = "") -> httpx.MockTransport:
    """A service that accepts one job and brings it to its end; its result is an npz of one array."""
    archive = io.BytesIO()
    np.savez(archive, object=np.ones((2, 2, 2), np.complex64), document=json.dumps({"id": "j"}))

    def answer(request: httpx.Request) -> httpx.Response:
        document = {"id": "j", "state": state, "reason": reason}
        match request.method, request.url.path:
            case "POST", _:
                assert request.url.params["refine"] == "fast"
                return httpx.Response(202, json=document | {"state": "accepted"})
            case _, "/v1/jobs/j/events":
                return httpx.Response(200, content=sent(("1-0", "state", {"state": state, "reason": reason})))
            case _, "/v1/jobs/j/result":
                return httpx.Response(200, content=archive.getvalue())
        return httpx.Response(200, json=document)

    return httpx.MockTransport(answer)


def run(th: list[float], status: str = "success", events: int = 4) -> Documents:
    """The documents of a rocking curve."""
    start = {"uid": "u", "motors": ["th"]}
    descriptor = {"uid": "d", "run_start": "u", "name": "primary"}
    rest: Documents = [("event", {"descriptor": "d", "data": {"th": angle, "eiger": "external"}}) for angle in th]
    stop = {"run_start": "u", "exit_status": status, "reason": "beam lost", "num_events": {"primary": events}}
    baseline = {**descriptor, "uid": "b", "name": "baseline"}
    elsewhere = ("event", {"descriptor": "b", "data": {"th": 7.0}})
    return [
        ("start", start),
        ("descriptor", descriptor),
        ("descriptor", baseline),
        elsewhere,
        *rest,
        ("stop", stop),
    ]


def outcome(
    documents: Documents, transport: httpx.BaseTransport, runs: Mapping[str, Any], results: Memory, **more: Any
) -> Outcome:
    """What becomes of a run."""
    told: list[Outcome] = []
    where = Memory("runs")
    where.update(runs)
    with Client("http://inphase", retries=Retries(attempts=1), transport=transport) as client:
        callback = RunReconstruction(
            client, where, results, "eiger", told=told.append, patience=0, refine="fast", **more
        )  # fmt: skip
        for name, document in documents:
            callback(name, document)
        callback.close()
    (found,) = told
    return found


EVEN = [1.0, 1.1, 1.2, 1.3]


def test_a_run_that_stopped_is_reconstructed() -> None:
    """The counts are sent, and the image is put under the run."""
    results = Memory("images")
    found = outcome(run(EVEN), service(), {"u": run_of(Stored(COUNTS), 4)}, results)
    assert found == Outcome("u", "succeeded", job="j", uri="images/u/j")
    assert str(found) == "run u: succeeded, job j, images/u/j"
    assert results["u"]["j"]["object"].shape == (2, 2, 2)


@pytest.mark.parametrize(
    ("documents", "transport", "state", "reason"),
    [
        (run(EVEN, "abort"), service(), "none", "the run ended with 'abort': beam lost"),
        (run([], events=0), service(), "none", "made no events in the stream 'primary'"),
        (run([1.0, 1.1, 1.4, 1.5]), service(), "none", "th did not move in equal steps: 1.1 at event 2"),
        (run(EVEN, events=5), service(), "none", "connected, no data: Tiled at runs has no such run"),
        (run(EVEN), service("failed", "no peak"), "failed", "no peak"),
    ],
)
def test_what_is_no_curve_or_fails_is_told(
    documents: Documents, transport: httpx.BaseTransport, state: str, reason: str
) -> None:
    """And nothing is put into Tiled."""
    results = Memory("images")
    runs = {} if "no such run" in reason else {"u": run_of(Stored(COUNTS), 4)}
    found = outcome(documents, transport, runs, results)
    assert (found.state, found.uri) == (state, "")
    assert reason in found.reason
    assert not results


def test_a_fault_of_the_beamlines_own_function_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """It is told like everything else; by itself the callback tells in the log."""

    def wrong(start: Mapping[str, Any], counts: Any) -> Any:
        raise KeyError("energy")

    found = outcome(run(EVEN), service(), {"u": run_of(Stored(COUNTS), 4)}, Memory("images"), measurement=wrong)
    assert (found.state, found.reason) == ("none", "KeyError: 'energy'")
    bluesky.log(found)
    assert "run u: none, KeyError: 'energy'" in caplog.text


def test_a_service_that_is_away_is_told_so() -> None:
    """By `check` before the first run, and for the run."""

    def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    runs = {"u": run_of(Stored(COUNTS), 4)}
    found = outcome(run(EVEN), httpx.MockTransport(away), runs, Memory("images"))
    assert found.reason.startswith("the service at http://inphase cannot be reached: refused")


def test_events_in_pages_count_as_well() -> None:
    """As fly scans make them."""
    page = ("event_page", {"descriptor": "d", "data": {"th": [1.0, 1.1, 1.4, 1.5]}})
    documents = run([])
    documents[-1][1]["num_events"] = {"primary": 4}
    documents.insert(-1, page)
    assert "equal steps" in outcome(documents, service(), {}, Memory("images")).reason


@pytest.mark.parametrize(
    ("values", "even"),
    [([1, 2, 3], True), ([3, 2.1, 1], True), ([1, 2, 4], False), ([1, 2, 1], False), ([1, 9], True), ([2, 2, 2], True)],
)
def test_steps_are_equal_to_a_fifth(values: list[float], even: bool) -> None:
    """Backwards as well; two positions are always so, and a motor that stands still moves in steps of nothing."""
    if even:
        check_steps({"th": values})
    else:
        with pytest.raises(DataError, match="equal steps"):
            check_steps({"th": values})
