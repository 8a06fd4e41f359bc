"""Keys, health, status, metrics, models, documentation."""

import logging
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from service.settings import Settings
from tests.service.api.calls import URL, check
from tests.service.api.conftest import NPY, npy
from tests.service.conftest import KEY, AppContext

OPEN = {"/healthz", "/readyz", "/openapi.json", "/docs"}


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Apikey",
        "Apikey ",
        "Apikey wrong",
        "Bearer wrong",
        f"Basic {KEY}",
        f"Token {KEY}",
        KEY,
        f"Apikey {KEY}x",
        f"Bearer {KEY}x",
        f"Bearer{KEY}",
        "Apikey \xff\xfe",
    ],
)
@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/status", "/v1/models", "/metrics", f"/v1/jobs/{'0' * 32}/result"])
async def test_without_the_key_nothing_opens(client: httpx.AsyncClient, path: str, header: str | None) -> None:
    """No key, a wrong one, another scheme: 401 with the way to do it, and never the key."""
    del client.headers["Authorization"]
    headers = {} if header is None else {"Authorization": header.encode("latin-1")}
    answer = await client.get(path, headers=headers)  # type: ignore[arg-type]
    check(answer, 401, "Authorization: Apikey")
    assert answer.headers["www-authenticate"] == 'Apikey realm="inphase", Bearer realm="inphase"'
    assert KEY not in answer.text


@pytest.mark.parametrize("scheme", ["Apikey", "APIKEY", "apikey", "Bearer", "bearer", "BEARER"])
async def test_a_right_key_opens_by_either_scheme(client: httpx.AsyncClient, scheme: str) -> None:
    """Ours, and the one that most programs can send; names of schemes are compared without case (RFC 9110)."""
    assert (await client.get("/v1/models", headers={"Authorization": f"{scheme} {KEY}"})).status_code == 200


@pytest.mark.parametrize(
    ("header", "word"),
    [("", "is needed"), ("Bearer wrong", "is wrong"), (f"Basic {KEY}", "this scheme"), (KEY, "missing before")],
)
async def test_a_refused_key_is_told_what_is_wrong(client: httpx.AsyncClient, header: str, word: str) -> None:
    """The right key in the wrong words is not called a wrong key."""
    check(await client.get("/v1/models", headers={"Authorization": header}), 401, word, "(or Bearer)")


async def test_every_route_is_closed_but_the_open_ones(client: httpx.AsyncClient) -> None:
    """No route is forgotten: what the schema lists answers 401 without a key, save health."""
    del client.headers["Authorization"]
    paths = (await client.get("/openapi.json")).json()["paths"]
    assert len(paths) >= 10
    for path, methods in paths.items():
        for method in methods:
            url = path.replace("{job_id}", "0" * 32).replace("{name}", "phase")
            answer = await client.request(method, url)
            assert (answer.status_code == 401) == (path not in OPEN), path


async def test_a_key_is_made_where_none_is_set(settings: Settings, serving: AppContext) -> None:
    """The generated key opens the service, the test's does not."""
    async with serving(settings.model_copy(update={"api_key": None})) as client:
        assert (await client.get("/v1/models")).status_code == 401
        key = client.app.state.services.generated_key  # type: ignore[attr-defined]
        assert (await client.get("/v1/models", headers={"Authorization": f"Apikey {key}"})).status_code == 200


async def test_health_needs_no_key(client: httpx.AsyncClient) -> None:
    """Probes have no key."""
    del client.headers["Authorization"]
    assert (await client.get("/healthz")).json() == {"status": "ok"}
    assert (await client.get("/readyz")).json() == {"ready": True, "why": None}


async def test_the_store_that_cannot_be_written_is_not_ready(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ready means that a job could be accepted."""
    monkeypatch.setattr("service.api.status.os.access", lambda path, mode: False)
    answer = await client.get("/readyz")
    assert (answer.status_code, answer.json()["why"]) == (503, "the store cannot be written")


async def test_status(client: httpx.AsyncClient) -> None:
    """What a dashboard shows; no queue here."""
    status = (await client.get("/v1/status")).json()
    assert status["queue"] is None
    assert status["draining"] is False
    assert status["bytes_in_flight"] == 0
    assert [model["name"] for model in status["models"]["models"]] == ["blind", "inphase-bcdi"]


async def test_models(client: httpx.AsyncClient) -> None:
    """The list marks the default and the provider in use; one model has its cards; an unknown one is 404."""
    listed = {model["name"]: model for model in (await client.get("/v1/models")).json()["models"]}
    assert listed["inphase-bcdi"]["default"] is True
    assert listed["inphase-bcdi"]["provider"].endswith("ExecutionProvider")
    assert listed["blind"]["provider"] is None  # not loaded yet
    card = (await client.get("/v1/models/blind")).json()["cards"][0]
    assert card["grid"] == [64, 64, 64]
    check(await client.get("/v1/models/nonesuch"), 404, "known: blind, inphase-bcdi")


async def test_metrics(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """Requests by route template, stages and refusals are counted; ids never become labels."""
    await client.post(URL, params={"refine": "none"}, content=npy(pattern), headers=NPY)
    await client.get(f"/v1/jobs/{'0' * 32}")
    text = (await client.get("/metrics")).text
    assert (
        'inphase_http_request_duration_seconds_count{code="200",method="POST",route="/v1/reconstructions"} 1.0' in text
    )
    assert 'route="/v1/jobs/{job_id}"' in text
    assert 'inphase_stage_duration_seconds_count{stage="infer"} 1.0' in text
    assert 'inphase_refused_requests_total{code="503"} 1.0' in text
    assert "0" * 32 not in text


async def test_two_applications_share_nothing(serving: AppContext, settings: Settings) -> None:
    """Metrics of one application do not appear in another."""
    async with serving(settings) as one, serving(settings) as other:
        await one.get("/v1/models")
        assert 'route="/v1/models"' in (await one.get("/metrics")).text
        assert 'route="/v1/models"' not in (await other.get("/metrics")).text


async def test_request_ids(client: httpx.AsyncClient) -> None:
    """A sane one is echoed, anything else replaced; every answer has one."""
    assert (await client.get("/healthz", headers={"X-Request-ID": "run-42.a"})).headers["x-request-id"] == "run-42.a"
    strange = (await client.get("/healthz", headers={"X-Request-ID": "a b\tc"})).headers["x-request-id"]
    assert len(strange) == 32


async def test_openapi(client: httpx.AsyncClient) -> None:
    """The schema names the four bodies, the answers and the security of POST /v1/reconstructions."""
    schema: dict[str, Any] = (await client.get("/openapi.json")).json()
    post = schema["paths"][URL]["post"]
    assert post["requestBody"]["content"].keys() == {
        "application/json", "application/x-npy", "application/x-npz", "application/octet-stream",
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


async def test_the_documentation_needs_no_network(client: httpx.AsyncClient) -> None:
    """Beamlines are offline: the page loads its script and style from the service."""
    page = (await client.get("/docs")).text
    assert "//cdn" not in page
    for asset in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"):
        assert f"/docs/static/{asset}" in page
        assert (await client.get(f"/docs/static/{asset}")).status_code == 200


async def test_keys_do_not_reach_the_log(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither the access log nor an error shows a key."""
    with caplog.at_level(logging.DEBUG):
        await client.get("/v1/models")
        await client.get("/v1/models", headers={"Authorization": "Apikey another-secret"})
    shown = caplog.text + "".join(capsys.readouterr())
    assert KEY not in shown
    assert "another-secret" not in shown
