"""Live scans in a real browser, fed as a detector would."""

import re

import pytest
from playwright.sync_api import expect

from inphase.client import Client
from tests.page.browser import Seen
from tests.page.house import LOADED, House
from tests.service.conftest import KEY
from tests.toy import counts

pytestmark = pytest.mark.system


def test_a_live_scan_grows_and_is_finished(seen: Seen, house: House) -> None:
    """Frames that came, came twice and are missing, advice and the images of the looks come by themselves."""
    curve = counts(seed=51)
    with Client(house.service.url, KEY) as client:
        scan = client.open_scan(curve[0], frames=len(curve), name="particle 3", refine="2*ER", grid="model")["id"]
        seen.open("scans")
        card = seen.page.get_by_role("region", name="particle 3")
        expect(card).to_contain_text("0 frames")
        card.get_by_role("link", name="0 frames").click()
        frames, advice = (seen.page.get_by_role("region", name=name) for name in ("Frames", "Advice"))
        places = [place for place in range(45) if place != 7]
        client.add_frames(scan, [*places, 3, 4], [*curve[places], curve[3], curve[4]])
        for text in ("44 of 64", "1: 7", "came twice2"):
            expect(frames).to_contain_text(text)
        expect(frames.get_by_role("img", name=re.compile("Rocking curve so far: 44 points"))).to_be_visible()
        expect(advice).to_contain_text("peak passed")
        told = client.scan(scan)["advice"]["words"]
        expect(advice.get_by_role("listitem").first).to_have_text(told[0])
        looks = seen.page.get_by_role("region", name="Looks, newest first").get_by_role("listitem")
        first = looks.filter(has_text="1: 44 frames").get_by_role("img", name="Central slices of look 1")
        expect(first).to_be_visible()
        rest = [7, *range(45, len(curve))]
        client.add_frames(scan, rest, list(curve[rest]))
        expect(frames).to_contain_text("64 of 64")
    seen.page.get_by_role("button", name="Finish").click()
    seen.page.get_by_label("Reason, if there is one").fill("all has come")
    seen.page.get_by_role("button", name="Finish the scan").click()
    expect(seen.page.get_by_text("all has come, by admin")).to_be_visible()
    final = looks.filter(has_text="64 frames, final")
    picture = final.get_by_role("img", name=re.compile("Central slices of look"))
    seen.page.wait_for_function(LOADED, arg=picture.element_handle(timeout=60_000))
    expect(seen.page.locator(".title .state")).to_contain_text("finished")
    expect(seen.page.get_by_role("button", name="Abort")).to_have_count(0)
    final.get_by_role("link").click()
    seen.page.get_by_role("link", name=re.compile(f"^{scan[:8]}, look .*, final$")).click()
    seen.page.wait_for_url(re.compile(f"#/scans/{scan}$"))


def test_a_live_scan_is_aborted_with_a_reason(seen: Seen, house: House) -> None:
    """The reason stays with the scan, and nothing more can be done with it; one without frames cannot be finished."""
    with Client(house.service.url, KEY) as client:
        scan = client.open_scan(counts()[0], name="lost")["id"]
    seen.open(f"scans/{scan}")
    seen.page.get_by_role("button", name="Finish").click()
    seen.page.get_by_role("button", name="Finish the scan").click()
    expect(seen.page.get_by_role("alert")).to_contain_text("there is nothing to look at")
    seen.complaints.clear()  # the browser's line about the status
    seen.page.get_by_role("button", name="Go on").click()
    seen.page.get_by_role("button", name="Abort").click()
    seen.page.get_by_label("Reason, which stays with the scan").fill("beam lost")
    seen.page.get_by_role("button", name="Abort the scan").click()
    expect(seen.page.get_by_text("beam lost, by admin")).to_be_visible()
    expect(seen.page.get_by_role("button", name=re.compile("Finish|Abort"))).to_have_count(0)
    assert house.document_of_scan(scan)["reason"] == "beam lost"
