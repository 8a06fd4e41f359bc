"""Both clients, against answers made here; tests/system has the real service."""

import contextlib
import inspect
import io
import json
import math
import re
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from inphase import ptycho
from inphase.client import (
    AsyncClient,
    Client,
    ConflictError,
    FaultError,
    LateError,
    MissingError,
    OverloadError,
    Retries,
    ServiceError,
    UnreachableError,
)
from inphase.errors import DataError
from inphase.formats import FileReading, RawScan, npz
from inphase.geometry import Geometry
from tests.streams import sent

Handler = Callable[[httpx.Request], httpx.Response]
Connect = Callable[..., Any]
_COUNTS = np.arange(60, dtype=np.int64).reshape(3, 4, 5)


@pytest.mark.parametrize("dtype", ["<u2", ">u4", "<f4", "|u1"])
@pytest.mark.parametrize("fortran", [False, True])
def test_an_array_is_sent_as_npy(client: Connect, dtype: str, fortran: bool) -> None:
    """What arrives loads as the same array, with its length told before; the callback hears of every byte."""
    array = np.arange(60).reshape(3, 4, 5).astype(dtype)
    heard: list[tuple[int, int]] = []

    def handler(request: httpx.Request) -> httpx.Response:
        body = request.read()
        assert request.headers["content-length"] == str(len(body))
        assert request.headers["authorization"] == "Apikey secret"
        assert dict(request.url.params) == {"refine": "none", "wait": "3.0"}
        np.testing.assert_array_equal(np.load(io.BytesIO(body)), array)
        return httpx.Response(200, json={"id": "x"})

    with client(handler) as service:
        sent = np.asfortranarray(array) if fortran else array
        assert service.reconstruct(sent, wait=3.0, refine="none", model=None, sent=lambda a, b: heard.append((a, b)))
    assert heard == [(array.nbytes, array.nbytes)]


def test_a_problem_becomes_one_message(client: Connect) -> None:
    """Title, detail and status of the problem document."""
    problem = {"title": "No such model", "detail": "there is no model 'x'; known: y", "status": 404}
    with (
        client(lambda _: httpx.Response(404, json=problem)) as service,
        pytest.raises(ServiceError, match=r"No such model: there is no model 'x'; known: y \(HTTP 404\)") as caught,
    ):
        service.models()
    assert caught.value.status == 404
    assert isinstance(caught.value, MissingError)


@pytest.mark.parametrize("body", [b"<html>Bad Gateway</html>", b"", b"[]"])
def test_answers_of_others_are_survived(client: Connect, body: bytes) -> None:
    """A proxy's error page is an error of ours, too."""
    with client(lambda _: httpx.Response(502, content=body)) as service, pytest.raises(ServiceError, match="502"):
        service.models()


def test_another_server_is_recognised(client: Connect) -> None:
    """200 without JSON is no inphase."""
    with (
        client(lambda _: httpx.Response(200, text="hello")) as service,
        pytest.raises(ServiceError, match="is it an inphase"),
    ):
        service.models()


def test_nobody_there(client: Connect) -> None:
    """A refused connection says where, and what to start."""

    def handler(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with client(handler) as service, pytest.raises(ServiceError, match="inphase serve") as caught:
        service.models()
    assert caught.value.status == 0


def test_follow_takes_up_where_it_was_cut(client: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every event once up to the job's end, over broken streams and a service that is away for a moment."""
    monkeypatch.setattr("inphase.client.blocking.POLL_S", 0.0)
    monkeypatch.setattr("inphase.client.asynchronous.POLL_S", 0.0)
    queued = ("1-0", "state", {"state": "queued", "reason": ""})
    running = ("2-0", "state", {"state": "running", "reason": ""})
    progress = ("3-0", "progress", {"iteration": 10})
    done = ("4-0", "state", {"state": "succeeded", "reason": ""})
    asked: list[str | None] = []
    answers = iter(
        [
            httpx.Response(200, content=sent(queued, running) + b"event: progress\nid: 3-0\nda"),
            httpx.Response(200, json={"state": "running"}),
            httpx.Response(503, json={"title": "Service Unavailable", "detail": "leaving"}),
            httpx.Response(200, content=sent()),
            httpx.Response(503, json={"title": "The queue is not available", "detail": "Redis"}),
            httpx.ConnectError("refused"),
            httpx.Response(200, content=sent(progress)),
            httpx.Response(200, json={"state": "running"}),
            httpx.Response(200, content=sent(done)),
        ]
    )

    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/events"):
            asked.append(request.headers.get("last-event-id"))
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    with client(handler) as service:
        events = [event for event in service.follow("x") if event.kind != "waiting"]
    assert [event.event_id for event in events] == ["1-0", "2-0", "3-0", "4-0"]
    assert [event.ends for event in events] == [False, False, False, True]
    assert asked == [None, "2-0", "2-0", "2-0", "2-0", "3-0"]


def test_follow_tells_every_state_and_revision(client: Connect) -> None:
    """From accepted on; a revision says where it is, and neither it nor a state before the end ends the stream."""
    states = ("accepted", "reading", "queued", "running", "succeeded")
    events = [(f"{n}-0", "state", {"state": state, "reason": ""}) for n, state in enumerate(states, 1)]
    first = {"number": 1, "kind": "network", "final": False, "result": "/v1/jobs/x/result?revision=1"}
    last = first | {"number": 2, "kind": "refined", "final": True, "result": "/v1/jobs/x/result?revision=2"}
    events.insert(4, ("4-1", "revision", last))
    events.insert(2, ("2-1", "revision", first))
    with client(lambda _: httpx.Response(200, content=sent(*events))) as service:
        heard = [event for event in service.follow("x") if event.kind != "waiting"]
    assert [(event.event_id, event.kind, event.data) for event in heard] == events
    assert [event.ends for event in heard] == [False] * 6 + [True]


def test_a_revision_is_asked_for_by_its_number(client: Connect, tmp_path: Path) -> None:
    """Of arrays and files; without it nothing is asked, and the service answers with the newest."""
    asked: list[dict[str, str]] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(dict(request.url.params))
        stream = io.BytesIO()
        np.save(stream, np.zeros(2))
        return httpx.Response(200, content=stream.getvalue())

    with client(handler) as service:
        service.array("x", "phase", "32,:,:", revision=1)
        service.array("x", "phase")
        service.save("x", tmp_path / "first.cxi", revision=1)
        service.save("x", tmp_path / "newest.npz")
    assert asked == [{"slice": "32,:,:", "revision": "1"}, {}, {"format": "cxi", "revision": "1"}, {"format": "npz"}]


def test_follow_of_an_unknown_job(client: Connect) -> None:
    """What will not come back is an error at once."""
    with (
        client(lambda _: httpx.Response(404, json={"title": "No such job", "detail": "x"})) as service,
        pytest.raises(ServiceError, match="No such job"),
    ):
        next(service.follow("x"))


def test_a_broken_download_leaves_the_old_file(client: Connect, tmp_path: Path) -> None:
    """An answer that is no result leaves what was there, and nothing beside it."""
    path = tmp_path / "result.npz"
    path.write_bytes(b"old")
    with client(lambda _: httpx.Response(409, json={"title": "Conflict", "detail": "no result"})) as service:
        with pytest.raises(ServiceError, match="no result"):
            service.save("x", path)
        assert path.read_bytes() == b"old"
        assert list(tmp_path.iterdir()) == [path]
    with client(lambda _: httpx.Response(200, content=b"new")) as service:
        service.save("x", path)
    assert path.read_bytes() == b"new"


def test_the_ending_names_the_format(client: Connect, tmp_path: Path) -> None:
    """The service is asked for what the name says; an unknown ending is told without asking."""
    asked = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.params["format"])
        return httpx.Response(200, content=b"bytes")

    with client(handler) as service:
        for ending in ("cxi", "VTS", "npz"):
            service.save("x", tmp_path / f"result.{ending}")
        with pytest.raises(DataError, match="known endings"):
            service.save("x", tmp_path / "result.pdf")
    assert asked == ["cxi", "vts", "npz"]
    assert (tmp_path / "result.cxi").read_bytes() == b"bytes"


def test_a_scan_goes_with_its_geometry_and_mask(client: Connect) -> None:
    """A scan read from a file is sent as npz with all that is known of it; without geometry and mask as plain npy."""
    bodies = []

    def handler(request: httpx.Request) -> httpx.Response:
        bodies.append((request.headers["content-type"], request.read()))
        assert int(request.headers["content-length"]) == len(bodies[-1][1])
        return httpx.Response(202, json={"id": "x"})

    counts = np.arange(60, dtype=np.uint16).reshape(3, 4, 5)
    geometry = Geometry(np.diag([1.0, 2.0, 3.0]), np.array([0.0, 0.0, 9.0]))
    mask = np.broadcast_to(np.eye(4, 5, dtype=np.uint8), counts.shape)
    with client(handler) as service:
        service.reconstruct(RawScan(counts, geometry, "", "", mask=mask))
        service.reconstruct(RawScan(counts, None, "", ""))
    (kind, body), (plain, _) = bodies
    assert (kind, plain) == ("application/x-npz", "application/x-npy")
    back = npz.decode(io.BytesIO(body), "", FileReading(Path()))
    assert np.array_equal(back.array, counts)
    assert back.geometry is not None
    assert np.array_equal(back.geometry.q_steps, geometry.q_steps)
    assert np.array_equal(back.geometry.q_centre, geometry.q_centre)
    assert np.array_equal(back.mask, mask)


def test_a_file_is_named_in_json(client: Connect) -> None:
    """The source has the path and what belongs to it; options stand beside it."""

    def handler(request: httpx.Request) -> httpx.Response:
        body = json.loads(request.read())
        assert body == {
            "source": {"kind": "file", "path": "scan/", "dark": "dark.tif"}, "wait": 10.0, "refine": "fast",
        }  # fmt: skip
        return httpx.Response(202, json={"id": "x"})

    with client(handler) as service:
        assert service.reconstruct_file("scan/", source={"dark": "dark.tif"}, refine="fast") == {"id": "x"}


def test_a_key_makes_a_call_repeatable(client: Connect) -> None:
    """It travels as the header Idempotency-Key, of single calls and of series; without one the client makes its own."""
    keys: list[str | None] = []

    def handler(request: httpx.Request) -> httpx.Response:
        keys.append(request.headers.get("idempotency-key"))
        return httpx.Response(202, json={"id": "x"})

    with client(handler) as service:
        service.submit(np.zeros((2, 2, 2)), key="a")
        service.reconstruct_file("x", key="b")
        service.submit_series(["scans/"], key="c", refine=None)
        service.submit(np.zeros((2, 2, 2)))
    assert keys[:3] == ["a", "b", "c"]
    assert re.fullmatch("[0-9a-f]{32}", str(keys[3]))


def test_paths_and_numbers_of_numpy_are_options(client: Connect) -> None:
    """What scripts have at hand is sent as JSON has it; a single scan needs no list."""
    bodies: list[Any] = []

    def handler(request: httpx.Request) -> httpx.Response:
        bodies.append(json.loads(request.read()))
        assert request.headers["content-type"] == "application/json"
        return httpx.Response(200, json={"id": "x"})

    with client(handler) as service:
        service.reconstruct_file(Path("scan_0054"), source={"dark": Path("dark.tif")}, seed=np.int64(3))
        service.submit_series(Path("scans"), seed=np.uint8(4))
        service.submit_series("scan_*.h5")
        service.submit_series([Path("a.npy"), "b.npy"])
        with pytest.raises(TypeError, match="set cannot be sent"):
            service.submit_series(["a.npy"], reading={"roi"})
    assert bodies[0]["source"] == {"kind": "file", "path": "scan_0054", "dark": "dark.tif"}
    assert [body.get("seed") for body in bodies] == [3, 4, None, None]
    assert [body["scans"] for body in bodies[1:]] == [["scans"], ["scan_*.h5"], ["a.npy", "b.npy"]]


def times(client: Connect, call: Callable[[Any], object], first: tuple[int, Any] | Exception) -> int:
    """How often a call is made where this answer, or failure, comes at first and a good one then."""
    made = 0

    def handler(request: httpx.Request) -> httpx.Response:
        nonlocal made
        made += 1
        if made > 1:
            return done()
        if isinstance(first, Exception):
            raise first
        return httpx.Response(first[0], json=first[1])

    with client(handler) as service, contextlib.suppress(ServiceError):
        call(service)
    return made


def done() -> httpx.Response:
    """The document of a job that has succeeded."""
    return httpx.Response(200, json={"id": "x", "state": "succeeded"})


_REFUSED = {"type": "urn:inphase:error:x", "title": "No", "detail": "x"}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (httpx.ConnectError("refused"), 2),
        (httpx.ReadError("reset"), 2),
        (httpx.RemoteProtocolError("closed"), 2),
        ((502, _REFUSED), 2),
        ((503, _REFUSED), 2),
        (httpx.ReadTimeout("slow"), 1),
        ((404, _REFUSED), 1),
        ((422, _REFUSED), 1),
        ((500, _REFUSED), 1),
    ],
)
def test_what_may_succeed_later_is_asked_again(client: Connect, answer: Any, expected: int) -> None:
    """Of a question, and of a pattern, whose body begins anew: the service sees all of it, under the same key."""
    assert times(client, lambda service: service.job("x"), answer) == expected
    assert times(client, lambda service: service.submit(np.ones((2, 2, 2))), answer) == expected


def test_a_repeated_pattern_is_whole_and_has_one_key(client: Connect) -> None:
    """What was half sent is sent from its beginning, so that the service knows it for the same."""
    seen: list[tuple[str, bytes]] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append((request.headers["idempotency-key"], request.read()))
        if len(seen) < 3:
            raise httpx.WriteError("broken", request=request)
        return done()

    with client(handler) as service:
        service.submit(_COUNTS)
    assert len(set(seen)) == 1
    np.testing.assert_array_equal(np.load(io.BytesIO(seen[0][1])), _COUNTS)


def test_a_caller_may_ask_once(client: Connect) -> None:
    """And is told at once."""
    asked: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return httpx.Response(503, json=_REFUSED)

    with client(handler, Retries(attempts=1)) as service, pytest.raises(OverloadError):
        service.status()
    assert asked == ["/v1/status"]


@pytest.mark.parametrize(
    ("failure", "kind", "sent"),
    [
        (httpx.ConnectError("refused"), UnreachableError, False),
        (httpx.ConnectTimeout("slow"), UnreachableError, False),
        (httpx.ReadError(""), UnreachableError, True),
        (httpx.ReadTimeout("slow"), LateError, True),
    ],
)
def test_no_answer_says_whether_the_request_was_sent(
    client: Connect, failure: Exception, kind: type[UnreachableError], sent: bool
) -> None:
    """A timeout is told apart from a connection that is lost."""

    def handler(request: httpx.Request) -> httpx.Response:
        raise failure

    with client(handler) as service, pytest.raises(kind) as caught:
        service.models()
    assert (type(caught.value), caught.value.sent, caught.value.status) == (kind, sent, 0)


def test_an_address_that_is_none() -> None:
    """No host, no scheme: said so, and not tried again."""
    with Client("inphase", retries=Retries(first_s=60.0)) as service, pytest.raises(ServiceError, match="protocol"):
        service.models()


def test_another_server_is_no_request_error(client: Connect) -> None:
    """What is no inphase is a fault of the address."""
    with client(lambda _: httpx.Response(200, text="hello")) as service, pytest.raises(FaultError):
        service.status()


def events_and_job(*events: tuple[str, str, dict[str, Any]], state: str) -> Handler:
    """A service with one job."""

    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/events"):
            return httpx.Response(200, content=sent(*events))
        return httpx.Response(200, json={"id": "x", "state": state})

    return handler


def test_wait_tells_what_happens_and_gives_the_document(client: Connect) -> None:
    """Every event but silence; a failed job is an end like any other."""
    heard: list[str] = []
    progress = {"stage": "HIO", "iteration": 9, "total": 50, "chi2": 0.0123, "support_voxels": 7}
    events = [
        ("1-0", "state", {"state": "running", "reason": ""}),
        ("2-0", "progress", progress),
        ("3-0", "progress", progress | {"chi2": None}),
        ("4-0", "revision", {"number": 1, "kind": "network", "final": False}),
        ("5-0", "revision", {"number": 2, "kind": "refined", "final": True}),
        ("6-0", "state", {"state": "failed", "reason": "no memory"}),
    ]
    with client(events_and_job(*events, state="failed")) as service:
        document = service.wait("x", progress=lambda event: heard.append(str(event)))
    assert document == {"id": "x", "state": "failed"}
    assert heard == [
        "running",
        "HIO 10 of 50, chi2 0.0123",
        "HIO 10 of 50",
        "revision 1: network",
        "revision 2: refined, the last one",
        "failed: no memory",
    ]


def test_wait_has_an_end(client: Connect) -> None:
    """The job goes on; the caller does not wait for it."""
    events = [("1-0", "state", {"state": "running", "reason": ""})]
    with (
        client(events_and_job(*events, state="running")) as service,
        pytest.raises(TimeoutError, match="job x has not ended within 0 s; it goes on"),
    ):
        service.wait("x", timeout=0.0)


def test_a_result_that_is_not_there_says_why(client: Connect) -> None:
    """With the reason of the job."""
    problem = {"title": "Conflict", "detail": "job x has no result, it is failed: the file is empty"}
    with (
        client(lambda _: httpx.Response(409, json=problem)) as service,
        pytest.raises(ConflictError, match="the file is empty"),
    ):
        service.result("x")


def test_a_file_is_sent_as_it_is(client: Connect, tmp_path: Path) -> None:
    """Its bytes, as what its ending says; how it is read stands in the query; the caller hears of every byte."""
    path, seen, heard = tmp_path / "scan.h5", [], []
    path.write_bytes(bytes(range(256)) * 8192)

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append((request.headers["content-type"], dict(request.url.params), request.read()))
        return done()

    with client(handler) as service:
        service.submit_upload(
            path, refine="none", source={"dataset": "a/b"}, sent=lambda done, size: heard.append((done, size))
        )
        with pytest.raises(ValueError, match=r"scan\.txt: a file is sent by its ending, one of \.npy"):
            service.reconstruct_upload(tmp_path / "scan.txt")
        with pytest.raises(FileNotFoundError):
            service.reconstruct_upload(tmp_path / "none.h5")
    query = {"refine": "none", "dataset": "a/b", "wait": "0.0", "name": "scan.h5"}
    assert seen == [("application/x-hdf5", query, path.read_bytes())]
    assert heard == [(2**20, 2**21), (2**21, 2**21)]


@pytest.mark.parametrize(
    ("file", "options", "name"),
    [
        ("scan\n54.h5", {}, "scan54.h5"),
        (f"{'s' * 250}.h5", {}, f"{'s' * 197}.h5"),
        ("scan.h5", {"name": "particle 3"}, "particle 3"),
    ],
)
def test_a_job_of_a_file_has_its_name(
    client: Connect, tmp_path: Path, file: str, options: dict[str, Any], name: str
) -> None:
    """What the service takes of it, unless the caller gives another one."""
    (tmp_path / file).write_bytes(b"bytes")
    seen = []

    def handler(request: httpx.Request) -> httpx.Response:
        request.read()
        seen.append(request.url.params["name"])
        return done()

    with client(handler) as service:
        service.reconstruct_upload(tmp_path / file, **options)
        service.reconstruct_ptychogram_upload(tmp_path / file, **options)
    assert seen == [name, name]


def test_a_ptychographic_scan_is_sent_or_named(client: Connect, tmp_path: Path) -> None:
    """As arrays, which the library reads as they are, as a file, or by its path, with its options beside it."""
    seen: list[tuple[str, str, dict[str, str], bytes]] = []

    def handler(request: httpx.Request) -> httpx.Response:
        kind = request.headers["content-type"]
        seen.append((request.url.path, kind, dict(request.url.params), request.read()))
        return done()

    counts = np.random.default_rng(1).poisson(9.0, (5, 8, 8)).astype(np.uint16)
    places, probe = np.arange(10.0).reshape(5, 2), np.ones((8, 8), np.complex64)
    path = tmp_path / "scan.ptyd"
    path.write_bytes(b"bytes")
    with client(handler) as service:
        maps = {"dark": np.full((8, 8), 2), "flat": np.ones((8, 8))}
        service.reconstruct_ptychogram(counts, places, probe=probe, refine="2*EPIE", focus_m=math.inf, wait=0, **maps)
        service.reconstruct_ptychogram_upload(path, unit="pixel", modes=None, wait=0)
        service.reconstruct_ptychogram_file("scan.cxi", focus_m=0.01, modes=None, turn=False, wait=0)
    assert {where for where, *_ in seen} == {"/v1/ptychograms"}
    _, kind, query, content = seen[0]
    assert (kind, query) == ("application/x-npz", {"refine": "2*EPIE", "focus_m": "inf", "wait": "0"})
    (tmp_path / "sent.npz").write_bytes(content)
    found = ptycho.read(tmp_path / "sent.npz", unit="pixel")
    np.testing.assert_array_equal(found.patterns, counts)
    np.testing.assert_array_equal(found.positions_px, places)
    assert found.probe is not None
    np.testing.assert_array_equal(found.probe, probe[None])
    np.testing.assert_array_equal(found.counts(), np.maximum(counts, 2) - 2)
    assert seen[1][1:] == ("application/x-hdf5", {"name": "scan.ptyd", "unit": "pixel", "wait": "0"}, b"bytes")
    named = {"source": {"kind": "file", "path": "scan.cxi"}, "wait": 0, "focus_m": 0.01, "turn": False}
    assert json.loads(seen[2][3]) == named


@pytest.mark.parametrize(("status", "after"), [(422, ["DELETE"]), (503, [])])
def test_a_scan_whose_probe_is_refused_does_not_stay_open(client: Connect, status: int, after: list[str]) -> None:
    """It is aborted, and the refusal raised. Of another error nobody knows: the probe may be there."""
    asked: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request.method)
        if request.method == "PUT":
            return httpx.Response(status, json={"detail": "trained in another beam"})
        return httpx.Response(200, json={"id": "7"})

    with client(handler, Retries(attempts=1)) as service, pytest.raises(ServiceError, match="another beam"):
        service.open_scan(np.zeros((8, 8), np.uint16), kind="ptycho", probe=np.ones((8, 8)))
    assert asked == ["POST", "PUT", *after]


def test_the_refusal_of_a_probe_is_raised_even_if_the_scan_cannot_be_aborted(client: Connect) -> None:
    """It says which scan is left open, and why."""

    def handler(request: httpx.Request) -> httpx.Response:
        answers = {"POST": (200, {"id": "7"}), "PUT": (422, {"detail": "trained in another beam"})}
        status, body = answers.get(request.method, (500, {"detail": "the disk is full"}))
        return httpx.Response(status, json=body)

    with client(handler, Retries(attempts=1)) as service, pytest.raises(ServiceError, match="another beam") as refused:
        service.open_scan(np.zeros((8, 8), np.uint16), kind="ptycho", probe=np.ones((8, 8)))
    (note,) = refused.value.__notes__
    assert "scan 7 is still open" in note
    assert "the disk is full" in note


def test_every_page_of_the_list_is_asked_for(client: Connect) -> None:
    """With the same filters, from cursor to cursor."""
    asked: list[dict[str, str]] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(dict(request.url.params))
        last = "cursor" in request.url.params
        return httpx.Response(200, json={"jobs": [{"id": len(asked)}], "cursor": None if last else "7"})

    with client(handler) as service:
        found = list(service.jobs(state="failed", owner=None))
    assert [job["id"] for job in found] == [1, 2]
    assert asked == [{"state": "failed"}, {"state": "failed", "cursor": "7"}]


def test_both_clients_have_the_same_methods() -> None:
    """With the same arguments, in the same order."""
    of = {
        kind: {
            name: list(inspect.signature(method).parameters)
            for name, method in inspect.getmembers(kind, inspect.isfunction)
            if name[0] != "_"
        }
        for kind in (Client, AsyncClient)
    }
    assert of[Client] == of[AsyncClient]


def test_loading_it_is_cheap() -> None:
    """A fresh interpreter loads neither numpy nor what only other parts of inphase need, nor asyncio; the best of three
    loads takes less than 0.2 s of the processor, most of which is httpx.
    """
    code = (
        "import sys, time; begun = time.process_time(); import inphase.client; "
        "print(time.process_time() - begun, *{name.partition('.')[0] for name in sys.modules})"
    )
    seconds = []
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
        took, *loaded = done.stdout.split()
        assert not {"numpy", "h5py", "scipy", "msgspec", "matplotlib", "asyncio"} & set(loaded)
        seconds.append(float(took))
    assert min(seconds) < 0.2


@pytest.mark.parametrize(
    ("url", "checked"), [("http://beamline", False), ("https://beamline", True), ("HTTPS://beamline", True)]
)
def test_certificates_are_checked_wherever_there_are_some(url: str, checked: bool) -> None:
    """Those of the authorities are loaded for https alone; http leads nowhere else: no redirection is followed."""
    with Client(url) as client:
        context = client._http._transport._pool._ssl_context  # type: ignore[attr-defined]  # of httpx and of httpcore
        assert (context.verify_mode is ssl.CERT_REQUIRED, context.check_hostname) == (checked, checked)
        assert bool(context.get_ca_certs()) == checked
        assert not client._http.follow_redirects
