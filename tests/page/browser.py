"""A real browser, driven over its own protocol: Chromium of this machine, and what the page did in it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from tests.service.conftest import KEY

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WITHOUT = "no Chromium on this machine: `make browser` installs Debian's, and then the page is tested"
# WebGL without a graphics card; in a container there may be no sandbox to nest into
FLAGS = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--no-sandbox", "--disable-dev-shm-usage"]

PATIENCE_MS = 30_000  # two cores may have much else to do

# a page that asks whether it is logged in; WebGL in software; a test that reads what was drawn
KNOWN = ("401 (Unauthorized)", "GPU stall", "willReadFrequently")


def installed() -> str:
    """The program; skips where there is none."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(WITHOUT)
    return found


@contextmanager
def browser(program: str) -> Iterator[Browser]:
    """A browser without windows."""
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=program, args=FLAGS)
        try:
            yield started
        finally:
            started.close()


@dataclass
class Seen:
    """One tab. complaints: what the browser wrote to the console, and what failed. elsewhere: requests to others."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)

    def log_in(self) -> None:
        """As a person does it."""
        self.page.goto(self.url)
        self.page.get_by_label("API key").fill(KEY)
        self.page.get_by_role("button", name="Log in").click()
        self.page.get_by_role("navigation").wait_for()

    def open(self, path: str) -> None:
        """A view of the page, when its login is known."""
        self.page.goto(f"{self.url}/#/{path}")
        self.page.get_by_role("navigation").wait_for()


def told(said: ConsoleMessage) -> str:
    """What the console was told, at which view and by what."""
    where = said.page.url if said.page else "a closed page"
    return f"{said.type} at {where}, of {said.location['url']}: {said.text}"


@contextmanager
def tab(started: Browser, url: str, *, width: int = 1280, height: int = 900, dark: bool = False) -> Iterator[Seen]:
    """A tab with cookies of its own. Complaints of the page fail the test at its end."""
    context = started.new_context(
        viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light", reduced_motion="reduce"
    )
    seen = Seen(context.new_page(), url)
    page = seen.page
    page.set_default_timeout(PATIENCE_MS)
    page.on("console", lambda said: seen.complaints.append(told(said)) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: seen.complaints.append(f"{error} at {page.url}: {error.stack}"))
    page.on("request", lambda asked: None if asked.url.startswith((url, "blob:")) else seen.elsewhere.append(asked.url))
    try:
        yield seen
    finally:
        context.close()
    assert not seen.elsewhere, seen.elsewhere
    unknown = [said for said in seen.complaints if not any(known in said for known in KNOWN)]
    assert not unknown, unknown  # pytest tells the values of test modules alone
