"""The networks over HTTP."""

import httpx

from tests.service.api.calls import check


async def test_models(client: httpx.AsyncClient) -> None:
    """The list marks the default and the provider in use; one model has its cards; an unknown one is 404."""
    listed = {model["name"]: model for model in (await client.get("/v1/models")).json()["models"]}
    assert listed["inphase-bcdi"]["default"] is True
    assert listed["inphase-bcdi"]["provider"].endswith("ExecutionProvider")
    assert listed["blind"]["provider"] is None  # not loaded yet
    card = (await client.get("/v1/models/blind")).json()["cards"][0]
    assert card["grid"] == [64, 64, 64]
    check(await client.get("/v1/models/nonesuch"), 404, "known: blind, inphase-bcdi")
