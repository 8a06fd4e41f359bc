"""/v2 as an application: what real clients see of it is in tests/system/test_oip.py."""

import asyncio
import json
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from service.identity.keys import Key, Keyring, Scope
from tests.service.api.calls import load
from tests.service.api.conftest import NPY, npy
from tests.service.api.oip.calls import LENGTH, binary, features, heard, read, refused

URL = "/v2/models/echo/infer"


async def test_tensors_through_a_network(client: httpx.AsyncClient) -> None:
    """As octets there and back; the answer names the version and repeats the id."""
    body, headers = binary(features(), id="seven")
    answer = await client.post(URL, content=body, headers=headers)
    document, found = read(answer)
    assert answer.headers["content-type"] == "application/octet-stream"
    assert (document["id"], document["model_name"], document["model_version"]) == ("seven", "echo", "3")
    assert {name: array.shape for name, array in found.items()} == dict.fromkeys(
        ("amplitude", "phase"), (1, 32, 32, 32)
    )
    np.testing.assert_allclose(found["amplitude"], 1 + heard()[0], rtol=1e-6)
    assert "infer;dur=" in answer.headers["server-timing"]


async def test_many_patterns_in_one_request(client: httpx.AsyncClient) -> None:
    """Each row of the answer belongs to the row of the request, and each counts as one inference."""
    body, headers = binary(features(5))
    _, found = read(await client.post(URL, content=body, headers=headers))
    assert found["phase"].shape == (5, 32, 32, 32)
    for row, expected in zip(found["phase"], heard(5), strict=True):
        np.testing.assert_allclose(row, expected, rtol=1e-6)
    stats = (await client.get("/v2/models/echo/stats")).json()["model_stats"][0]
    assert (stats["version"], stats["inference_count"]) == ("3", 5)


async def test_versions(client: httpx.AsyncClient) -> None:
    """An earlier one is asked by its number."""
    body, headers = binary(features())
    document, found = read(await client.post("/v2/models/echo/versions/1/infer", content=body, headers=headers))
    assert document["model_version"] == "1"
    np.testing.assert_allclose(found["phase"], 0.5 * heard()[0], rtol=1e-6)
    assert (await client.get("/v2/models/echo/versions/1")).json()["versions"] == ["1", "3"]
    refused(await client.post("/v2/models/echo/versions/2/infer", content=body, headers=headers), 404, "versions: 1, 3")


async def test_json_there_and_back(client: httpx.AsyncClient) -> None:
    """Small networks can be asked by hand; octets and text may be mixed, and outputs chosen."""
    image = {
        "modulus": np.zeros((1, 64, 64), np.float32),
        "valid": np.ones((1, 64, 64), np.float32),
        "autocorrelation": np.zeros((1, 2, 64, 64), np.float32),
    }
    inputs = [
        {"name": name, "datatype": "FP32", "shape": array.shape, "data": array.tolist()}
        for name, array in image.items()
    ]
    document, found = read(await client.post("/v2/models/moduli/infer", json={"inputs": inputs}))
    assert "id" not in document
    np.testing.assert_array_equal(found["amplitude"], np.ones((1, 32, 32), np.float32))
    inputs[0] = {k: v for k, v in inputs[0].items() if k != "data"} | {"parameters": {"binary_data_size": 4 * 64**2}}
    outputs = [{"name": "phase"}, {"name": "amplitude", "parameters": {"binary_data": True}}]
    text = json.dumps({"inputs": inputs, "outputs": outputs}).encode()
    answer = await client.post(
        "/v2/models/moduli/infer", content=text + image["modulus"].tobytes(), headers={LENGTH: str(len(text))}
    )
    document, found = read(answer)
    assert ["data" in output for output in document["outputs"]] == [True, False]
    np.testing.assert_array_equal(found["amplitude"], np.ones((1, 32, 32), np.float32))
    np.testing.assert_array_equal(found["phase"], np.zeros((1, 32, 32), np.float32))


async def test_an_output_that_is_not_there(client: httpx.AsyncClient) -> None:
    """It is refused before the network is asked."""
    body, headers = binary(features(), outputs=[{"name": "strain"}])
    refused(await client.post(URL, content=body, headers=headers), 400, "strain", "amplitude, phase")


async def test_what_is_not_finite_is_refused_as_elsewhere(client: httpx.AsyncClient) -> None:
    """With the input and the place."""
    arrays = features()
    arrays["valid"][0, 1, 2, 3] = np.nan
    body, headers = binary(arrays)
    refused(await client.post(URL, content=body, headers=headers), 422, "valid", "(0, 1, 2, 3)")


async def test_counts_are_reconstructed_as_by_v1(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """The same amplitude and phase as POST /v1/reconstructions with refine=none, and what it says of them."""
    v1 = await client.post("/v1/reconstructions?refine=none&format=npz", content=npy(pattern), headers=NPY)
    expected = load(v1)
    for counts in (pattern, pattern.astype(np.float32)):
        body, headers = binary({"counts": counts})
        document, found = read(await client.post("/v2/models/inphase-bcdi.counts/infer", content=body, headers=headers))
        for name in ("amplitude", "phase"):
            np.testing.assert_array_equal(found[name], expected[name])
        report = json.loads(str(expected["document"]))
        assert document["parameters"] == {
            "chi2": pytest.approx(report["metrics"]["final"]["chi2"]), "trust": report["trust"]["level"],
        }  # fmt: skip


@pytest.mark.parametrize("bad", [np.nan, -5.0])
async def test_counts_that_are_none_are_refused_as_by_v1(
    client: httpx.AsyncClient, pattern: NDArray[np.uint32], bad: float
) -> None:
    """With the same words where /v1 refuses, and taken where it takes them."""
    counts = np.full((64, 64, 64), bad, np.float32)
    v1 = await client.post("/v1/reconstructions?refine=none", content=npy(counts), headers=NPY)
    body, headers = binary({"counts": counts})
    answer = await client.post("/v2/models/inphase-bcdi.counts/infer", content=body, headers=headers)
    assert answer.status_code == v1.status_code == 422
    assert answer.json()["error"] == answer.json()["detail"]


async def test_keys_are_asked_for_as_elsewhere(client: httpx.AsyncClient) -> None:
    """401 without one, 403 with one that only reads; health needs none."""
    client.app.state.services.keyring = Keyring([Key.of("r" * 20, "eve", Scope.READ)])  # type: ignore[attr-defined]
    for path in ("/v2/health/live", "/v2/health/ready"):
        assert (await client.get(path, headers={"Authorization": ""})).status_code == 200
    for path in ("/v2", "/v2/models/echo", "/v2/models/echo/config", "/v2/models/stats", "/v2/models/echo/ready"):
        refused(await client.get(path), 401, "key")
    reader = {"Authorization": f"Apikey {'r' * 20}"}
    assert (await client.get("/v2/models/echo", headers=reader)).status_code == 200
    body, headers = binary(features())
    refused(await client.post(URL, content=body, headers=headers | reader), 403, "submit")
    refused(await client.post("/v2/repository/models/echo/load", headers=reader), 403, "submit")


async def test_the_repository(client: httpx.AsyncClient) -> None:
    """What is not loaded is not ready, says how it becomes so, is loaded and unloaded; the default stays."""
    refused(await client.get("/v2/models/echo/ready"), 503, "the first request loads it")
    ready = (await client.post("/v2/repository/index", json={"ready": True})).json()
    assert {entry["name"] for entry in ready} == {"inphase-bcdi", "inphase-bcdi.counts"}
    assert len((await client.post("/v2/repository/index")).json()) == 8
    assert (await client.post("/v2/repository/models/echo/load", json={})).json()["state"] == "READY"
    assert (await client.get("/v2/models/echo/versions/3/ready")).status_code == 200
    refused(await client.get("/v2/models/echo/versions/1/ready"), 503)
    refused(await client.post("/v2/repository/models/echo/load", json={"parameters": {"config": "{}"}}), 400, "card")
    stats = (await client.get("/v2/models/stats")).json()["model_stats"]
    assert {entry["name"] for entry in stats} == {"echo", "echo.counts", "inphase-bcdi", "inphase-bcdi.counts"}
    refused(await client.post("/v2/repository/models/inphase-bcdi/unload"), 403, "the default model")
    assert (await client.post("/v2/repository/models/echo/unload")).json()["state"] == "UNAVAILABLE"
    refused(await client.get("/v2/models/echo/ready"), 503, "the first request loads it")
    body, headers = binary(features())
    assert (await client.post(URL, content=body, headers=headers)).status_code == 200
    assert (await client.get("/v2/models/echo/ready")).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v2/nowhere"), ("GET", "/v2/systemsharedmemory/status"), ("PUT", "/v2/models/echo"), ("GET", URL)],
)
async def test_what_there_is_not(client: httpx.AsyncClient, method: str, path: str) -> None:
    """In the protocol's form as well."""
    answer = await client.request(method, path)
    refused(answer, answer.status_code, path)
    assert answer.status_code in (404, 405)


async def test_errors_elsewhere_have_no_second_text(client: httpx.AsyncClient) -> None:
    """Only the protocol wants one."""
    assert "error" not in (await client.get("/v1/nowhere")).json()


async def test_a_caller_who_leaves_is_not_computed(client: httpx.AsyncClient) -> None:
    """While all runs are taken by others; the request ends, and the line is empty."""
    services: Any = client.app.state.services  # type: ignore[attr-defined]
    session = services.sessions.get("echo")
    runs = services.settings.compute_slots
    begun, go_on = asyncio.Semaphore(0), asyncio.Event()
    loop = asyncio.get_running_loop()
    real, computed = session.infer, []

    def slow(tensors: Any) -> Any:
        loop.call_soon_threadsafe(begun.release)
        asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(20)
        computed.append(float(tensors["modulus"].max()))
        return real(tensors)

    session.infer = slow
    body, headers = binary(features())
    first = [asyncio.create_task(client.post(URL, content=body, headers=headers)) for _ in range(runs)]
    for _ in first:
        await asyncio.wait_for(begun.acquire(), 20)
    arrays = features()
    arrays["modulus"][0, 0, 0, 0] = 50
    body, headers = binary(arrays)
    leaving = asyncio.create_task(client.post(URL, content=body, headers=headers))
    waiting = services.batcher._waiting
    async with asyncio.timeout(20):
        while not len(waiting):  # noqa: ASYNC110  # the line sets no event
            await asyncio.sleep(0.01)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    go_on.set()
    assert [answer.status_code for answer in await asyncio.gather(*first)] == runs * [200]
    assert (await client.post(URL, content=binary(features())[0], headers=binary(features())[1])).status_code == 200
    assert computed == (runs + 1) * [1.0]
