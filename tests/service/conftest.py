"""An application around the toy model."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from service.app import create_app
from service.settings import Settings

KEY = "0123456789abcdefghij"
AppContext = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture
def data_root(tmp_path: Path) -> Path:
    """An empty folder whose files requests may name."""
    root = tmp_path / "data"
    root.mkdir()
    return root


@pytest.fixture
def settings(models_dir: Path, tmp_path: Path, data_root: Path) -> Settings:
    """Settings of a service without a queue."""
    return Settings(
        api_key=KEY,
        models_dir=models_dir,
        state_dir=tmp_path / "state",
        data_roots=(data_root,),
        queue=False,
        threads=1,
    )


@pytest.fixture
def serving() -> AppContext:
    """`async with serving(settings) as client`: a started application and an authorised client."""

    @asynccontextmanager
    async def context(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
        app: FastAPI = create_app(settings)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        headers = {"Authorization": f"Apikey {KEY}"}
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://inphase", headers=headers, timeout=60) as client,
        ):
            client.app = app  # type: ignore[attr-defined]  # for tests that look inside
            yield client

    return context


@pytest.fixture
async def client(serving: AppContext, settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a service without a queue."""
    async with serving(settings) as client:
        yield client
