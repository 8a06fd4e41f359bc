"""The Python client, against answers made here; tests/system has the real service."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import httpx
import numpy as np
import pytest

from inphase.client import Client, ServiceError
from inphase.errors import DataError
from inphase.formats import FileReading, RawScan, npz
from inphase.geometry import Geometry
from inphase.pattern import MaskState
from tests.streams import sent

Handler = Callable[[httpx.Request], httpx.Response]


def client(handler: Handler) -> Client:
    """A client that talks to a function."""
    return Client("http://inphase", "secret", transport=httpx.MockTransport(handler))


@pytest.mark.parametrize("dtype", ["<u2", ">u4", "<f4", "|u1"])
@pytest.mark.parametrize("fortran", [False, True])
def test_an_array_is_sent_as_npy(dtype: str, fortran: bool) -> None:
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


def test_a_problem_becomes_one_message() -> None:
    """Title, detail and status of the problem document."""
    problem = {"title": "No such model", "detail": "there is no model 'x'; known: y", "status": 404}
    with (
        client(lambda _: httpx.Response(404, json=problem)) as service,
        pytest.raises(ServiceError, match=r"No such model: there is no model 'x'; known: y \(HTTP 404\)") as caught,
    ):
        service.models()
    assert caught.value.status == 404


@pytest.mark.parametrize("body", [b"<html>Bad Gateway</html>", b"", b"[]"])
def test_answers_of_others_are_survived(body: bytes) -> None:
    """A proxy's error page is an error of ours, too."""
    with client(lambda _: httpx.Response(502, content=body)) as service, pytest.raises(ServiceError, match="502"):
        service.models()


def test_another_server_is_recognised() -> None:
    """200 without JSON is no inphase."""
    with (
        client(lambda _: httpx.Response(200, text="hello")) as service,
        pytest.raises(ServiceError, match="is it an inphase"),
    ):
        service.models()


def test_nobody_there() -> None:
    """A refused connection says where, and what to start."""

    def handler(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with client(handler) as service, pytest.raises(ServiceError, match="inphase serve") as caught:
        service.models()
    assert caught.value.status == 0


def test_follow_takes_up_where_it_was_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every event once up to the job's end, over broken streams and a service that is away for a moment."""
    monkeypatch.setattr("inphase.client._POLL_S", 0.0)
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


def test_follow_tells_every_state_and_revision() -> None:
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


def test_a_revision_is_asked_for_by_its_number(tmp_path: Path) -> None:
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


def test_follow_of_an_unknown_job() -> None:
    """What will not come back is an error at once."""
    with (
        client(lambda _: httpx.Response(404, json={"title": "No such job", "detail": "x"})) as service,
        pytest.raises(ServiceError, match="No such job"),
    ):
        next(service.follow("x"))


def test_a_broken_download_leaves_the_old_file(tmp_path: Path) -> None:
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


def test_the_ending_names_the_format(tmp_path: Path) -> None:
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


def test_a_scan_goes_with_its_geometry_and_mask() -> None:
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


def test_a_file_is_named_in_json() -> None:
    """The source has the path and what belongs to it; options stand beside it."""

    def handler(request: httpx.Request) -> httpx.Response:
        body = json.loads(request.read())
        assert body == {
            "source": {"kind": "file", "path": "scan/", "dark": "dark.tif"}, "wait": 10.0, "refine": "fast",
        }  # fmt: skip
        return httpx.Response(202, json={"id": "x"})

    with client(handler) as service:
        assert service.reconstruct_file("scan/", source={"dark": "dark.tif"}, refine="fast") == {"id": "x"}


def test_a_key_makes_a_call_repeatable() -> None:
    """It travels as the header Idempotency-Key, of single calls and of series."""
    keys: list[str | None] = []

    def handler(request: httpx.Request) -> httpx.Response:
        keys.append(request.headers.get("idempotency-key"))
        return httpx.Response(202, json={"id": "x"})

    with client(handler) as service:
        service.submit(np.zeros((2, 2, 2)), key="a")
        service.reconstruct_file("x", key="b")
        service.submit_series(["scans/"], key="c", refine=None)
        service.submit(np.zeros((2, 2, 2)))
    assert keys == ["a", "b", "c", None]


def received(pattern: Any, **options: Any) -> tuple[str, bytes]:
    """Content type and body of what the client sends."""
    found: list[tuple[str, bytes]] = []

    def handler(request: httpx.Request) -> httpx.Response:
        found.append((request.headers["content-type"], request.read()))
        return httpx.Response(200, json={"id": "x"})

    with client(handler) as service:
        service.reconstruct(pattern, **options)
    return found[0]


_COUNTS = np.arange(60, dtype=np.int64).reshape(3, 4, 5)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (_COUNTS.tolist(), _COUNTS),
        (_COUNTS.astype(float).tolist(), _COUNTS.astype(float)),
        (tuple(map(tuple, _COUNTS.tolist())), _COUNTS),
        (list(_COUNTS), _COUNTS),
        (list(_COUNTS.astype(">u2")), _COUNTS),
        (_COUNTS.astype(">f8"), _COUNTS),
        (_COUNTS.transpose(2, 0, 1), _COUNTS.transpose(2, 0, 1)),
        (_COUNTS[::-1, ::2, 1::3], _COUNTS[::-1, ::2, 1::3]),
        (np.broadcast_to(_COUNTS[:1], (3, 4, 5)), np.broadcast_to(_COUNTS[:1], (3, 4, 5))),
        (memoryview(_COUNTS), _COUNTS),
        (_COUNTS.astype(np.float16), _COUNTS),
        (_COUNTS.view(np.recarray), _COUNTS),
    ],
)
def test_what_numpy_makes_an_array_of_is_sent_as_one(pattern: Any, expected: np.ndarray) -> None:
    """Lists, lists of frames, views of any order and stride: the values arrive at their places."""
    kind, body = received(pattern)
    assert kind == "application/x-npy"
    np.testing.assert_array_equal(np.load(io.BytesIO(body)), expected)


def test_a_dataset_is_read_and_sent(tmp_path: Path) -> None:
    """An open dataset of h5py counts as the array that it holds."""
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        dataset = file.create_dataset("data", data=_COUNTS.astype(np.uint16))
        _, body = received(dataset)
    np.testing.assert_array_equal(np.load(io.BytesIO(body)), _COUNTS)


def test_the_mask_of_a_masked_array_goes_too() -> None:
    """What numpy has masked is masked for the service, not a count."""
    mask = _COUNTS % 7 == 0
    kind, body = received(np.ma.MaskedArray(_COUNTS, mask))
    assert kind == "application/x-npz"
    with np.load(io.BytesIO(body)) as archive:
        np.testing.assert_array_equal(archive["data"][~mask], _COUNTS[~mask])
        np.testing.assert_array_equal(archive["mask"] == MaskState.MASKED, mask)
        np.testing.assert_array_equal(archive["mask"] == MaskState.VALID, ~mask)


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ([[[[1, 2]]]], r"three axes.*\(1, 1, 1, 2\)"),
        ([], r"three axes.*\(0,\)"),
        (7, r"three axes.*shape \(\)"),
        ([[[1, 2], [3]]], "rows of one length"),
        ("scan.h5", "reconstruct_file"),
        (Path("scan.h5"), "reconstruct_file"),
        (b"\x93NUMPY", "reconstruct_file"),
        (None, "NoneType became an array of object"),
        ([[["1"]]], "real numbers; list became an array of <U1"),
        (_COUNTS + 1j, "complex128"),
        (_COUNTS > 3, "array of bool"),
        ((frame for frame in _COUNTS), "generator became an array of object"),
        ([[[2**70]]], "array of object"),
        (np.zeros((1, 1, 1), [("a", int)]), "real numbers"),
    ],
)
def test_what_is_no_pattern_is_a_type_error(pattern: Any, words: str) -> None:
    """Said before anything is sent, with what it should be."""

    def never(_: httpx.Request) -> httpx.Response:
        raise AssertionError("it was sent")

    with client(never) as service, pytest.raises(TypeError, match=words):
        service.reconstruct(pattern)


def test_paths_and_numbers_of_numpy_are_options() -> None:
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
