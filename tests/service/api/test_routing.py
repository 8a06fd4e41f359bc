"""Routers are passed over as a whole, and what they answer stays as it was."""

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from starlette.routing import Match

from service.api.routing import Router


def _router(prefix: str) -> Router:
    router = Router(prefix=prefix)

    @router.get("/{name}")
    async def read(name: str) -> str:
        return f"{prefix} {name}"

    return router


@pytest.fixture
def app() -> FastAPI:
    """Two routers."""
    app = FastAPI()
    for prefix in ("/v1/jobs", "/v1/scans"):
        app.include_router(_router(prefix))
    return app


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/jobs/a", 200),
        ("GET", "/v1/scans/a", 200),
        ("GET", "/v1/other/a", 404),
        ("GET", "/v1/scans", 404),
        ("POST", "/v1/scans/a", 405),
    ],
)
async def test_addresses_reach_the_router_whose_beginning_they_have(
    app: FastAPI, method: str, path: str, status: int
) -> None:
    async with AsyncClient(transport=ASGITransport(app), base_url="http://test") as client:
        answer = await client.request(method, path)
    assert answer.status_code == status
    if status == 200:
        assert answer.json() == f"{path.removesuffix('/a')} a"


async def test_a_prefix_that_a_proxy_passes_on_changes_nothing(app: FastAPI) -> None:
    transport = ASGITransport(app, root_path="/beamline")
    async with AsyncClient(transport=transport, base_url="http://test") as client:
        assert (await client.get("/beamline/v1/scans/b")).json() == "/v1/scans b"


def test_routes_of_another_beginning_are_not_tried() -> None:
    scope = {"type": "http", "path": "/v2/models/x", "method": "GET"}
    assert _router("/v1/jobs").matches(scope) == (Match.NONE, {})
