"""Requests that no honest client sends: a clear answer, never 500, and nothing of the server in it."""

import csv
import io
import os
from pathlib import Path

import httpx
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from service.errors import ApiError, below_roots
from service.identity.keys import Key, Scope
from service.intake.sources import expand
from service.series.document import _cell
from service.settings import Settings
from tests.service.api.calls import URL, check
from tests.service.api.conftest import NPY, npy
from tests.service.api.queued import client
from tests.service.conftest import AppContext

__all__ = ["client"]  # a fixture


@pytest.mark.parametrize("refine", ["9" * 400 + "*ER", "1e999*ER", f"10*RAAR(beta={'9' * 400})", "3*(1e300*ER)"])
async def test_numbers_of_a_recipe_are_bounded(
    client: httpx.AsyncClient, pattern: NDArray[np.uint32], refine: str
) -> None:
    """400 digits are no count of iterations, and no number at all."""
    check(await client.post(URL, params={"refine": refine}, content=npy(pattern), headers=NPY), 422)


async def test_a_picture_of_nothing(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """A slice may be empty as an array, and not as a picture."""
    job = (await client.post(URL, params={"refine": "none"}, content=npy(pattern), headers=NPY)).json()["id"]
    where = f"/v1/jobs/{job}/result/amplitude"
    for cut in ("5,5:5,:", "5,:,5:5"):
        check(await client.get(where, params={"slice": cut, "format": "png"}), 422, "none of its voxels")
    assert np.load(io.BytesIO((await client.get(where, params={"slice": "5,5:5,:"})).content)).shape[0] == 0


@pytest.mark.parametrize("scan", ["a\0/*", "a\0", "*\0", "/a\0/*"])
async def test_a_series_with_a_null_byte(client: httpx.AsyncClient, scan: str) -> None:
    """No file has such a name."""
    check(await client.post("/v1/series", json={"scans": [scan], "refine": "none"}), 422, "null byte")


@pytest.mark.parametrize("number", ["1e400", "-1e400", "NaN", "Infinity"])
async def test_numbers_to_set_are_finite(client: httpx.AsyncClient, data_root: Path, number: str) -> None:
    """Also those that JSON does not have, and those too large for a double."""
    body = f'{{"source": {{"kind": "file", "path": "x", "set": {{"distance": {number}}}}}, "refine": "none"}}'
    answer = await client.post(URL, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422, answer.text
    body = f'{{"scans": ["x"], "reading": {{"set": {{"distance": {number}}}}}}}'
    assert (
        await client.post("/v1/series", content=body, headers={"Content-Type": "application/json"})
    ).status_code == 422


async def test_a_key_of_the_queue_is_no_job(serving: AppContext, settings: Settings, tmp_path: Path) -> None:
    """The id is checked before anything is looked up, for keys that see their own jobs only as well."""
    user = "abcdefghij0123456789"
    key = Key.of(user, "ada", Scope.SUBMIT)
    (tmp_path / "keys.yaml").write_text(f"- {{owner: {key.owner}, scope: {key.scope}, sha256: '{key.sha256}'}}\n")
    async with serving(
        settings.model_copy(update={"queue": True, "workers": 0, "keys_file": tmp_path / "keys.yaml"})
    ) as c:
        job = (await c.post(URL, params={"wait": 0}, content=npy(np.ones((8, 8, 8))), headers=NPY)).json()["id"]
        for ending in (":events", "%3Aevents", "\u0661", ""):
            answer = await c.get(f"/v1/jobs/{job}{ending}/events", headers={"Authorization": f"Apikey {user}"})
            assert answer.status_code in (404, 422), answer.text


async def test_no_redirects(client: httpx.AsyncClient) -> None:
    """An address with a slash too many is none: a redirect would lead where the Host header says."""
    answer = await client.get("/v1/jobs/", headers={"Host": "evil.example"})
    check(answer, 404)
    assert "evil" not in answer.text
    assert "location" not in answer.headers


async def test_two_lengths_of_one_body(client: httpx.AsyncClient) -> None:
    """The connection ends with the answer, so that nothing that follows is taken for another request."""
    answer = await client.get("/healthz", headers={"Content-Length": "0", "Transfer-Encoding": "chunked"})
    assert answer.headers["connection"] == "close"
    assert "connection" not in (await client.get("/healthz")).headers


async def test_a_fault_ends_the_connection(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """After 500 what the request has left unread is not known."""
    monkeypatch.setattr("service.api.jobs.records", lambda _: 1 / 0)
    answer = await client.get("/v1/jobs")
    assert answer.status_code == 500
    assert answer.headers["connection"] == "close"


async def test_headers_of_npy_that_python_does_not_parse(client: httpx.AsyncClient) -> None:
    """Whatever numpy's parser raises for it."""
    for text in ("{'descr': '<f4', 'shape': (", "(" * 5000, "{'descr': '''", "{'descr': [('a', 'O')]}", "\n  x\n y"):
        length = len(text).to_bytes(2, "little")
        answer = await client.post(URL, content=b"\x93NUMPY\x01\x00" + length + text.encode(), headers=NPY)
        check(answer, 400, "npy header")


async def test_errors_name_files_below_the_roots(client: httpx.AsyncClient, data_root: Path) -> None:
    """Where the roots lie on the server is not told, in the answer nor in the reason of a job."""
    (data_root / "a.npy").write_bytes(b"no array")
    (data_root / "maps").mkdir()
    os.mkfifo(data_root / "pipe.npy")
    tifffile.imwrite(data_root / "maps" / "flat.tif", np.zeros((2, 3, 4), np.uint8), photometric="minisblack")
    for source in ({"path": "a.npy"}, {"path": "pipe.npy"}, {"path": "a.npy", "flat": "maps/flat.tif"}):
        body = {"source": {"kind": "file", **source}, "refine": "none"}
        answer = await client.post(URL, json=body)
        problem = check(answer, 422, source.get("flat", source["path"]))
        assert str(data_root) not in answer.text
        assert problem["detail"].startswith(source.get("flat", source["path"]))


def test_paths_begin_below_the_longest_root(tmp_path: Path) -> None:
    """Of two roots, one inside the other, the inner one; other text stays."""
    roots = (tmp_path, tmp_path / "inner")
    text = f"{tmp_path}/inner/a.h5: wants {tmp_path}/b.h5, not /etc/c"
    assert below_roots(text, roots) == "a.h5: wants b.h5, not /etc/c"
    assert below_roots("/a/b", (Path("/"),)) == "/a/b"


@pytest.mark.parametrize("text", ["=1+1", "+cmd", "-2+3", "@SUM(A1)", "\t=1", "\r=1"])
def test_a_cell_is_no_formula(text: str) -> None:
    """A spreadsheet shows what stands there; numbers, and other texts, stay."""
    stream = io.StringIO()
    csv.writer(stream).writerow([_cell(text), _cell(-2.5), _cell("a=b"), _cell(None)])
    assert next(csv.reader(io.StringIO(stream.getvalue(), newline=""))) == [f"'{text}", "-2.5", "a=b", ""]


def test_patterns_look_at_a_bounded_number_of_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two links back to their own folder make a tree without end; each folder is looked into once on each level."""
    from inphase.formats import Reading

    np.save(tmp_path / "scan_1.npy", np.ones((4, 4, 4)))
    for name in "ab":
        (tmp_path / name).symlink_to(tmp_path, target_is_directory=True)
    found = expand(["*/" * 30 + "*.npy"], Reading(), (tmp_path,), 10)
    assert [source.path for source in found] == [str(tmp_path / "scan_1.npy")]
    with pytest.raises(ApiError, match="41 folders down, more than 32"):
        expand(["*/" * 40 + "*.npy"], Reading(), (tmp_path,), 10)
    monkeypatch.setattr("service.intake.sources._MOST_NAMES", 20)
    with pytest.raises(ApiError, match="may look at 20 names"):
        expand(["*/" * 30 + "*.npy"], Reading(), (tmp_path,), 10)


async def test_what_is_answered_is_documented(client: httpx.AsyncClient) -> None:
    """401 of everything that needs a key, 409 of jobs."""
    paths = (await client.get("/openapi.json")).json()["paths"]
    for path in ("/v1/jobs", "/v1/jobs/{job_id}", URL, "/v1/series", "/v1/models", "/v1/status", "/metrics"):
        for method, operation in paths[path].items():
            assert "401" in operation["responses"], (path, method)
    assert "409" in paths[URL]["post"]["responses"]
