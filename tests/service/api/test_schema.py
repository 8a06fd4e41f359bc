"""The OpenAPI schema."""

from typing import Any

import httpx

from tests.service.api.calls import URL


async def test_openapi(client: httpx.AsyncClient) -> None:
    """The schema names the bodies, the answers and the security of POST /v1/reconstructions."""
    schema: dict[str, Any] = (await client.get("/openapi.json")).json()
    post = schema["paths"][URL]["post"]
    assert post["requestBody"]["content"].keys() == {
        "application/json", "application/x-npy", "application/x-npz", "application/octet-stream", "application/x-hdf5",
        "application/x-nexus", "application/x-cxi", "application/x-matlab-data", "image/tiff",
    }  # fmt: skip
    assert {"200", "202", "400", "401", "403", "404", "413", "415", "422", "503", "507"} <= post["responses"].keys()
    assert post["security"] == [{"Apikey": []}]
    assert {"model", "domain", "preprocess", "refine", "start", "starts", "seed", "wait", "priority"} <= {
        parameter["name"] for parameter in post["parameters"]
    }
    references = [
        part.split('"')[0] for part in (await client.get("/openapi.json")).text.split("#/components/schemas/")[1:]
    ]
    assert set(references) <= schema["components"]["schemas"].keys()


async def test_the_job_document_is_described_flat(client: httpx.AsyncClient) -> None:
    """The schema has the parts of the report and of the envelope side by side, as the document itself."""
    from service.document import JobDocument
    from service.jobs.state import JobState

    schema = (await client.get("/openapi.json")).json()["components"]["schemas"]["JobDocument"]
    document = JobDocument("0" * 32, JobState.ACCEPTED, "2026-01-01T00:00:00.000Z").to_builtins()
    assert set(schema["properties"]) == set(document)
    assert set(schema["required"]) == {"id", "state", "created"}
