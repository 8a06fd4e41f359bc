"""NVIDIA's own client, as it comes, against `inphase serve`."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as aio
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from tests.service.api.oip.calls import NAMES, Arrays, features, heard
from tests.service.conftest import KEY
from tests.system.serving import Service, running
from tests.toy import crystal, write_model

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that only predicts, with a network whose answers tell what it has heard."""
    folder = tmp_path_factory.mktemp("oip")
    write_model(folder / "models", crystal())
    write_model(folder / "models", np.ones_like(crystal()), name="echo", version=2, echo=1.0)
    with running(folder / "state", folder / "models", INPHASE_QUEUE="false") as service:
        yield service


def key() -> dict[str, str]:
    """The header, anew for each call: the client writes its own into what it is given."""
    return {"Authorization": f"Apikey {KEY}"}


@pytest.fixture
def client(service: Service) -> Iterator[triton.InferenceServerClient]:
    """The client that waits."""
    with triton.InferenceServerClient(service.url.removeprefix("http://"), concurrency=4) as client:
        yield client


def inputs(arrays: Arrays, module: Any = triton, *, binary: bool = True) -> list[Any]:
    """As the client wants them."""
    found = []
    for name, array in arrays.items():
        one = module.InferInput(name, list(array.shape), NAMES[array.dtype.name])
        one.set_data_from_numpy(array, binary_data=binary)
        found.append(one)
    return found


def test_what_the_client_asks_before_it_infers(client: triton.InferenceServerClient) -> None:
    """Health, metadata, configuration, repository, statistics: everything is there under the names that it reads."""
    assert client.is_server_live()
    assert client.is_server_ready()
    server = client.get_server_metadata(headers=key())
    assert server["name"] == "inphase"
    assert "binary_tensor_data" in server["extensions"]
    client.load_model("echo", headers=key())
    assert client.is_model_ready("echo", headers=key())
    assert client.is_model_ready("echo", "2", headers=key())
    assert not client.is_model_ready("nobody", headers=key())
    about = client.get_model_metadata("echo", headers=key())
    assert about["inputs"][0] == {"name": "modulus", "datatype": "FP32", "shape": [-1, 64, 64, 64]}
    config = client.get_model_config("echo", "2", headers=key())
    assert (config["max_batch_size"], config["input"][0]["data_type"]) == (64, "TYPE_FP32")
    index = {entry["name"]: entry["state"] for entry in client.get_model_repository_index(headers=key())}
    assert index == dict.fromkeys(("echo", "echo.counts", "inphase-bcdi", "inphase-bcdi.counts"), "READY")
    before = client.get_inference_statistics("echo", headers=key())["model_stats"][0]
    client.infer("echo", inputs(features()), headers=key())
    after = client.get_inference_statistics("echo", headers=key())["model_stats"][0]
    assert after["inference_stats"]["success"]["count"] == before["inference_stats"]["success"]["count"] + 1
    assert after["inference_stats"]["compute_infer"]["ns"] > before["inference_stats"]["compute_infer"]["ns"]


@pytest.mark.parametrize("coding", [None, "gzip", "deflate"])
def test_tensors_there_and_back(client: triton.InferenceServerClient, coding: str | None) -> None:
    """As octets, packed as the client packs them, and an output as text beside one as octets."""
    answer = client.infer(
        "echo", inputs(features(2)), "2", request_id="seven", headers=key(),
        request_compression_algorithm=coding, response_compression_algorithm=coding,
    )  # fmt: skip
    assert answer.get_response()["id"] == "seven"
    for name, known in (("amplitude", 1.0), ("phase", 0.0)):
        found = answer.as_numpy(name)
        assert (found.shape, found.dtype) == ((2, 32, 32, 32), np.float32)
        for row, more in zip(found, heard(2), strict=True):
            np.testing.assert_allclose(row, known + more, rtol=1e-6)
    for output in [triton.InferRequestedOutput("phase", binary_data=binary) for binary in (False, True)]:
        one = client.infer("echo", inputs(features()), outputs=[output], headers=key())
        assert [found["name"] for found in one.get_response()["outputs"]] == ["phase"]
        np.testing.assert_allclose(one.as_numpy("phase"), heard()[0], rtol=1e-6)


def test_one_measurement(client: triton.InferenceServerClient, pattern: NDArray[np.uint32]) -> None:
    """Detector integers through the way of /v1: an object of the size of the crystal that they show."""
    answer = client.infer("inphase-bcdi.counts", inputs({"counts": pattern}), headers=key())
    expected = np.abs(crystal())
    found = answer.as_numpy("amplitude")
    assert found.shape == expected.shape
    # the toy network draws the crystal itself; canonical form moves it by whole voxels, or mirrors it
    assert np.count_nonzero(found > 0.5) == np.count_nonzero(expected > 0.5)
    assert answer.get_response()["parameters"]["trust"] in ("high", "medium", "low")


def refused(call: Any, status: str, words: str) -> None:
    """The client raises the service's own sentence."""
    with pytest.raises(InferenceServerException) as caught:
        call()
    assert caught.value.status() == status
    assert words in caught.value.message()


def test_errors_reach_the_caller_as_sentences(client: triton.InferenceServerClient) -> None:
    """Not as a complaint that an answer could not be decoded."""
    good = inputs(features())
    wrong = features() | {"modulus": np.zeros((1, 64, 64, 63), np.float32)}
    refused(lambda: client.infer("echo", inputs(wrong), headers=key()), "400", "FP32 of the shape [-1, 64, 64, 64]")
    nan = features() | {"modulus": np.full((1, 64, 64, 64), np.nan, np.float32)}
    refused(lambda: client.infer("echo", inputs(nan), headers=key()), "422", "not finite")
    text = inputs(features(), binary=False)
    refused(lambda: client.infer("echo", text, headers=key()), "413", "binary_data_size")
    refused(lambda: client.infer("nobody", good, headers=key()), "404", "known: echo")
    refused(lambda: client.infer("echo", good), "401", "API key is needed")
    refused(lambda: client.infer("echo", good, timeout=5, headers=key()), "400", "timeout")
    refused(lambda: client.unload_model("inphase-bcdi", headers=key()), "403", "the default model")
    refused(lambda: client.get_system_shared_memory_status(headers=key()), "404", "/v2/systemsharedmemory/status")
    assert client.is_server_live()


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")  # how the client hands it to its library
async def test_the_client_that_does_not_wait(service: Service) -> None:
    """Twelve requests at a time on one loop, each with an answer of its own."""
    async with aio.InferenceServerClient(service.url.removeprefix("http://")) as client:
        assert await client.is_server_ready()
        assert (await client.get_model_metadata("echo", headers=key()))["versions"] == ["2"]

        async def one(number: int) -> float:
            arrays = features()
            arrays["modulus"] *= number
            answer = await client.infer("echo", inputs(arrays, aio), headers=key())
            return float(answer.as_numpy("phase").mean())

        found = await asyncio.gather(*map(one, range(12)))
        np.testing.assert_allclose(found, 0.11 + np.arange(12), rtol=1e-5)
        with pytest.raises(InferenceServerException, match="known: echo"):
            await client.infer("nobody", inputs(features(), aio), headers=key())


def test_callers_at_once_get_their_own_answers(service: Service) -> None:
    """From four threads: what one sends never comes back to another."""

    def ask(first: int) -> list[float]:
        with triton.InferenceServerClient(service.url.removeprefix("http://")) as client:
            found = []
            for number in range(first, first + 8):
                arrays = features()
                arrays["modulus"] *= number
                found.append(float(client.infer("echo", inputs(arrays), headers=key()).as_numpy("phase").mean()))
            return found

    with ThreadPoolExecutor(4) as threads:
        answers = [value for part in threads.map(ask, range(0, 32, 8)) for value in part]
    np.testing.assert_allclose(answers, 0.11 + np.arange(32), rtol=1e-5)
