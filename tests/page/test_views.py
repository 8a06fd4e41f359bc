"""All views: accessible, safe, and as large as the screen."""

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.page.browser import Seen, tab
from tests.page.house import House

pytestmark = pytest.mark.system
AXE = Path(__file__).resolve().parents[2] / "page/node_modules/axe-core/axe.min.js"


@pytest.mark.skipif(not AXE.is_file(), reason="axe-core is not installed: `make page` does, where there is npm")
def test_axe_finds_nothing_serious(chromium: Browser, house: House, login: list[Any]) -> None:
    """No view has a serious or critical fault of accessibility, in either colour scheme."""
    faults = {}
    with tab(chromium, house.service.url) as seen:
        seen.page.goto(seen.url)
        seen.page.get_by_label("API key").wait_for()
        faults["login"] = axe(seen)
        seen.page.context.add_cookies(login)
        seen.page.reload()
        for view in (
            "jobs",
            f"jobs/{house.done}",
            f"compare/{house.done}/{house.done}",
            "scans",
            f"scans/{house.scan}",
            "series",
            "new",
            "new/ptychography",
            "models",
            "system",
        ):
            seen.open(view)
            seen.page.get_by_role("main").locator("h1, h2").first.wait_for()
            for scheme in ("light", "dark"):
                seen.page.emulate_media(color_scheme=scheme)
                faults[f"{view}, {scheme}"] = axe(seen)
            if view == "new":
                seen.page.get_by_label("path below a data root").fill("scan_12.npy")
                seen.page.get_by_role("button", name="Look at it").click()
                seen.page.get_by_role("application").wait_for()
                faults["new, looked at"] = axe(seen)
    assert {view: found for view, found in faults.items() if found} == {}


def axe(seen: Seen) -> list[str]:
    """Rules that the view breaks, and where. What it keeps is not looked up: that takes longer than finding out."""
    if seen.page.evaluate("() => !window.axe"):
        seen.page.evaluate(AXE.read_text(encoding="utf-8"))
    found = seen.page.evaluate("() => axe.run({resultTypes: ['violations']})")
    return [
        f"{rule['id']}: {node['html'][:120]}"
        for rule in found["violations"]
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]


def test_nothing_within_the_page_is_a_script(seen: Seen) -> None:
    """What an attacker might write into the page does not run."""
    seen.open("jobs")
    seen.page.evaluate(
        """() => {
            const script = document.createElement('script');
            script.textContent = 'window.injected = true';
            document.body.append(script);
        }"""
    )
    assert seen.page.evaluate("() => window.injected") is None
    assert any("Content Security Policy" in said for said in seen.complaints)
    seen.complaints.clear()


def test_a_view_that_was_left_draws_nothing_more(seen: Seen, house: House) -> None:
    """Not even before the next frame, when some of what it began has not ended: there the colours change."""
    seen.open(f"scans/{house.scan}")
    curve = seen.page.get_by_role("img", name=re.compile("Rocking curve so far"))
    curve.locator("canvas").wait_for()
    seen.page.evaluate("() => { window.requestAnimationFrame = window.setTimeout = () => 0; }")  # no next frame
    seen.page.evaluate("() => { location.hash = '#/models'; }")
    expect(curve).to_have_count(0)
    seen.page.evaluate("() => { matchMedia('(prefers-color-scheme: dark)').onchange = () => console.log('dark'); }")
    with seen.page.expect_event("console", lambda said: said.text == "dark"):
        seen.page.emulate_media(color_scheme="dark")


@pytest.mark.parametrize(("width", "height"), [(390, 844), (1280, 800), (3840, 2160)])
def test_views_fit_the_screen(chromium: Browser, house: House, login: list[Any], width: int, height: int) -> None:
    """On a phone, a laptop and a wall nothing is cut off at the side, and type grows with the wall."""
    with tab(chromium, house.service.url, width=width, height=height) as seen:
        seen.page.context.add_cookies(login)
        for view in ("jobs", f"jobs/{house.done}", "new", "new/ptychography", f"scans/{house.scan}"):
            seen.open(view)
            seen.page.get_by_role("main").locator("h1").first.wait_for()
            assert seen.page.evaluate("() => document.documentElement.scrollWidth <= innerWidth"), view
        size = float(seen.page.evaluate("() => parseFloat(getComputedStyle(document.documentElement).fontSize)"))
        assert (size > 25) == (width == 3840)


def test_a_wall_shows_slices_and_surface_at_once(chromium: Browser, house: House, login: list[Any]) -> None:
    """Beside each other, whole, without scrolling: nobody scrolls a wall."""
    with tab(chromium, house.service.url, width=3840, height=2160) as seen:
        seen.page.context.add_cookies(login)
        seen.open(f"jobs/{house.done}")
        expect(seen.page.get_by_role("application")).to_have_attribute("data-of", "phase")
        boxes = [seen.page.get_by_role("region", name=name).bounding_box() for name in ("Slices", "Surface")]
        slices, surface = (box for box in boxes if box is not None)
        assert slices["x"] + slices["width"] <= surface["x"]
        for box in (slices, surface):
            assert box["y"] + box["height"] < 0.75 * 2160
