"""The networks over HTTP."""

import httpx
import onnxruntime
import pytest

from service.settings import Settings
from tests.service.api.calls import check
from tests.service.conftest import AppContext


async def test_models(client: httpx.AsyncClient) -> None:
    """The list marks the default and the provider in use; one model has its cards; an unknown one is 404."""
    listed = {model["name"]: model for model in (await client.get("/v1/models")).json()["models"]}
    assert listed["inphase-bcdi"]["default"] is True
    assert listed["inphase-bcdi"]["family"] == "volume"
    assert listed["inphase-bcdi"]["provider"].endswith("ExecutionProvider")
    assert listed["inphase-bcdi"]["arithmetic"] == "float32"
    assert listed["inphase-bcdi"]["passed_over"] == []
    assert listed["blind"]["provider"] is listed["blind"]["arithmetic"] is None  # not loaded yet
    card = (await client.get("/v1/models/blind")).json()["cards"][0]
    assert card["grid"] == [64, 64, 64]
    check(await client.get("/v1/models/nonesuch"), 404, "known: blind, inphase-bcdi")


async def test_a_gpu_that_is_not_there_is_told(serving: AppContext, settings: Settings) -> None:
    """The service serves on the CPU; status and list of models say what it was to run on, and why it does not."""
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime was built for CUDA")
    async with serving(settings.model_copy(update={"provider": "cuda", "warm_models": ("blind",)})) as client:
        assert (await client.get("/readyz")).status_code == 200
        models = (await client.get("/v1/status")).json()["models"]["models"]
        for model in models:  # both are loaded before anybody asks
            assert (model["provider"], model["arithmetic"]) == ("CPUExecutionProvider", "float32")
            (passed,) = model["passed_over"]
            assert passed["execution"] == "CUDA in TF32"
            assert "the installed onnxruntime has no CUDAExecutionProvider" in passed["why"]
