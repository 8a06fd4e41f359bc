"""An application around the toy model."""

import functools
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from service import cli
from service.app import create_app
from service.page.serving import Asset
from service.sandbox.sandbox import Sandbox
from service.settings import Settings
from tests.service.warm import Nursery

KEY = "0123456789abcdefghij"
Run = tuple[int, str, str]
AppContext = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture(scope="session", autouse=True)
def packed_once() -> Iterator[None]:
    """The files of the page are read and packed for the first application, and not for each of hundreds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Asset, "of", functools.cache(Asset.of))
        yield


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Has loaded what the processes that read files need, and forks them."""
    started = Nursery()
    yield started
    started.close()


@pytest.fixture
def warm_templates(nursery: Nursery, monkeypatch: pytest.MonkeyPatch) -> None:
    """The processes that read files are forked from one that is warm: to load them takes a second of a processor."""
    monkeypatch.setattr("service.sandbox.sandbox.subprocess", nursery)


@pytest.fixture(autouse=True)
def readers_when_needed(warm_templates: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """An application starts the process that reads files with the first file: most tests read none. A service that is a
    process of its own starts it at once, and cold (tests/system).
    """
    monkeypatch.setattr(Sandbox, "start", lambda self: setattr(self, "_stopped", False))


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


@pytest.fixture
def inphase(models_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    """`inphase("models")` runs the command; exit code, standard output, standard error."""
    monkeypatch.setenv("INPHASE_MODELS_DIR", str(models_dir))
    monkeypatch.setenv("INPHASE_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("INPHASE_THREADS", "1")
    monkeypatch.delenv("INPHASE_URL", raising=False)

    def run(*arguments: str | Path) -> Run:
        monkeypatch.setattr(sys, "argv", ["inphase", *map(str, arguments)])
        code: str | int | None = 0
        try:
            cli.main()
        except SystemExit as ended:
            code = ended.code
        captured = capsys.readouterr()
        return (code if isinstance(code, int) else 0), captured.out, captured.err

    return run
