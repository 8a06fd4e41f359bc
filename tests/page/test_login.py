"""The page's login in a real browser, before a real service."""

import httpx
import pytest
from playwright.sync_api import Browser, expect

from tests.page.browser import tab
from tests.page.house import House
from tests.service.conftest import KEY

pytestmark = pytest.mark.system


def test_a_browser_logs_in_and_out(chromium: Browser, house: House) -> None:
    """A wrong key is told so; the right one gives a cookie that no script and no other site gets, until one leaves."""
    with tab(chromium, house.service.url) as seen:
        page = seen.page
        page.goto(seen.url)
        page.get_by_label("API key").fill("not-the-key")
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("alert")).to_contain_text("the API key is wrong")
        seen.log_in()
        (cookie,) = page.context.cookies()
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
        assert KEY not in cookie["value"]
        token = {"Cookie": f"{cookie['name']}={cookie['value']}"}
        assert httpx.get(f"{seen.url}/v1/jobs", headers=token).status_code == 200
        page.get_by_role("button", name="Log out").click()
        page.get_by_label("API key").wait_for()
        assert httpx.get(f"{seen.url}/v1/jobs", headers=token).status_code == 401


def test_a_link_with_a_key_logs_in_and_forgets_it(chromium: Browser, house: House) -> None:
    """As `make demo` prints it: the key leaves the address, and so the history."""
    with tab(chromium, house.service.url) as seen:
        seen.page.goto(f"{seen.url}/#key={KEY}")
        seen.page.get_by_role("table", name="Jobs").wait_for()
        assert KEY not in seen.page.url
