from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.routing import Match

from service.api.routing import Router


def _router(prefix: str) -> Router:
    router = Router(prefix=prefix)

    @router.get("/{name}")
    async def read(name: str) -> str:
        return f"{prefix} {name}"

    return router


def _app(root_path: str = "") -> FastAPI:
    app = FastAPI(root_path=root_path)
    for prefix in ("/v1/jobs", "/v1/scans"):
        app.include_router(_router(prefix))
    return app


def test_addresses_reach_the_router_whose_beginning_they_have() -> None:
    client = TestClient(_app())
    assert client.get("/v1/jobs/a").json() == "/v1/jobs a"
    assert client.get("/v1/scans/b").json() == "/v1/scans b"
    assert client.get("/v1/other/c").status_code == 404
    assert client.post("/v1/scans/b").status_code == 405


def test_a_proxy_that_passes_its_own_prefix_on_changes_nothing() -> None:
    assert TestClient(_app(), root_path="/beamline").get("/beamline/v1/scans/b").json() == "/v1/scans b"


def test_routes_of_another_beginning_are_not_tried() -> None:
    scope = {"type": "http", "path": "/v2/models/x", "method": "GET"}
    assert _router("/v1/jobs").matches(scope) == (Match.NONE, {})
