"""A series in a real browser."""

import pytest
from playwright.sync_api import expect

from tests.page.browser import Seen
from tests.page.house import BY_KEY, House

pytestmark = pytest.mark.system


def test_a_series_is_a_strip_of_images(seen: Seen, house: House) -> None:
    """Each scan with its number, its picture and how it fits; a picture leads to its job."""
    order = {"scans": ["scan_12.npy", "scan_13.npy"], "refine": "none", "name": "heating"}
    made = house.service.http.post("/v1/series", json=order, headers=BY_KEY).json()
    seen.open("series")
    panel = seen.page.get_by_role("region", name="heating")
    panel.get_by_role("link", name="2 scans").click()
    strip = seen.page.get_by_role("listitem")
    expect(strip).to_have_count(2)
    expect(strip.get_by_role("img", name="Central slices of scan 1")).to_be_visible()
    expect(strip.last).to_contain_text("scan_13.npy")
    strip.last.get_by_role("link").click()
    expect(seen.page.get_by_role("heading", name="scan_13.npy")).to_be_visible()
    assert seen.page.get_by_role("main").get_by_role("link", name=made["id"][:8]).count() == 1
