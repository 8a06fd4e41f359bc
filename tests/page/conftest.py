"""A browser, and one service for all tests of the page."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from playwright.sync_api import Browser

from inphase.client import Client
from tests.page.browser import Seen, browser, installed, tab
from tests.page.house import BY_KEY, House, measured
from tests.service.conftest import KEY
from tests.system.serving import running
from tests.toy import counts, crystal, write_model, write_scan_model


@pytest.fixture(scope="session")
def program() -> str:
    """The browser of this machine: without one no service is started for these tests."""
    return installed()


@pytest.fixture(scope="module")
def chromium(program: str) -> Iterator[Browser]:
    """The browser of a module: while it is open its event loop runs, beside which asynchronous tests cannot."""
    with browser(program) as started:
        yield started


@pytest.fixture(scope="session")
def house(program: str, models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One service for all tests here."""
    root = tmp_path_factory.mktemp("page")
    data, models = root / "data", root / "models"
    data.mkdir()
    shutil.copytree(models_dir, models)
    write_model(models, np.ones_like(crystal()), name="blind", version=2)
    write_scan_model(models)
    for number in (12, 13):
        np.save(data / f"scan_{number}.npy", counts(seed=number))
    with running(root / "state", models, "--data-root", str(data)) as service:
        service.until_workers()
        sent = {"content": measured(), "headers": BY_KEY | {"Content-Type": "application/x-npz"}, "timeout": 100}
        done = httpx.post(f"{service.url}/v1/reconstructions?refine=40*ER&wait=90", **sent).json()
        assert done["state"] == "succeeded", done
        with Client(service.url, KEY) as client:
            failed = client.reconstruct(np.zeros((64, 64, 64), np.uint32), wait=0)["id"]
            scan = client.open_scan(counts()[0], frames=64, name="measured", refine="none", grid="model")["id"]
            client.add_frames(scan, range(64), list(counts()))
            client.finish_scan(scan)
        yield House(service, data, done["id"], failed, scan)


@pytest.fixture(scope="module")
def login(chromium: Browser, house: House) -> list[Any]:
    """The cookies of a browser that has logged in."""
    with tab(chromium, house.service.url) as found:
        found.log_in()
        return list(found.page.context.cookies())


@pytest.fixture
def seen(chromium: Browser, house: House, login: list[Any]) -> Iterator[Seen]:
    """A tab that has logged in before, at the list of jobs."""
    with tab(chromium, house.service.url) as found:
        found.page.context.add_cookies(login)
        yield found
