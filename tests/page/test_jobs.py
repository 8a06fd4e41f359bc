"""The list of jobs and the view of one, in a real browser, through real jobs."""

import re
from datetime import datetime
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.page.browser import Seen
from tests.page.house import LOADED, House
from tests.page.planes import plane

pytestmark = pytest.mark.system


def test_jobs_come_and_change_by_themselves(seen: Seen, house: House) -> None:
    """A job that somebody submits appears, runs and succeeds; filters and the search leave what was asked for."""
    seen.open("jobs")
    rows = seen.page.get_by_role("table", name="Jobs").get_by_role("row")
    job_id = house.submit("3*ER", seed=21)
    row = rows.filter(has_text=job_id[:8])
    expect(row).to_be_visible()
    expect(row).to_contain_text("succeeded")
    expect(row).to_contain_text("3*ER")
    row.scroll_into_view_if_needed()
    seen.page.wait_for_function(LOADED, arg=row.get_by_role("img").element_handle())
    seen.page.get_by_role("button", name=re.compile("^failed")).click()
    expect(row).to_have_count(0)
    expect(rows.filter(has_text=house.failed[:8])).to_contain_text("the scan is empty")
    seen.page.get_by_role("button", name=re.compile("^all")).click()
    seen.page.get_by_label("Find").fill(job_id[:8])
    expect(rows).to_have_count(2)  # with the titles


def test_a_long_list_is_drawn_as_one_goes_along_it(seen: Seen, house: House) -> None:
    """A hundred rows at a time, all of which are counted, filtered and found."""
    lines = house.service.http.get("/v1/jobs?state=failed").json()["jobs"]
    many = [lines[0] | {"id": f"{number:032x}", "created": float(number)} for number in range(250)]
    seen.page.route("**/v1/jobs?limit=*", lambda route: route.fulfill(json={"jobs": many, "cursor": None}))
    seen.open("jobs")
    rows = seen.page.get_by_role("table", name="Jobs").get_by_role("row")
    expect(seen.page.get_by_role("search").get_by_role("status")).to_have_text("250 of 250")
    for drawn in (100, 200, 250):
        expect(rows).to_have_count(1 + drawn)  # with the titles
        rows.last.scroll_into_view_if_needed()  # once it lies where it stays
    seen.page.get_by_label("Find").fill(f"{17:032x}")
    expect(rows).to_have_count(2)


def test_arrow_keys_go_from_job_to_job(seen: Seen) -> None:
    """Down and up move the focus, Enter opens."""
    seen.open("jobs")
    links = seen.page.locator(".source a")
    links.first.focus()
    seen.page.keyboard.press("ArrowDown")
    expect(links.nth(1)).to_be_focused()
    seen.page.keyboard.press("k")
    expect(links.first).to_be_focused()
    seen.page.keyboard.press("Enter")
    expect(seen.page.get_by_role("heading", name="Trust")).to_be_visible()


def test_a_running_job_is_watched_and_cancelled_with_a_reason(seen: Seen, house: House) -> None:
    """The error curve grows, the network's image is there; the reason that was typed stays with the job."""
    job_id = house.submit("20000*ER", seed=22)
    seen.open(f"jobs/{job_id}")
    curve = seen.page.get_by_role("img", name=re.compile("Error of the refinement"))
    expect(curve).to_have_attribute("aria-label", re.compile(r": [3-9]\d* points"), timeout=60_000)
    expect(plane(seen, 0)).to_be_visible()
    expect(seen.page.get_by_alt_text(re.compile("The object at iteration"))).to_be_visible()
    seen.page.get_by_role("button", name="Cancel").click()
    seen.page.get_by_label("Reason").fill("the beam is down")
    seen.page.get_by_role("button", name="Cancel the job").click()
    expect(seen.page.get_by_text("cancelled on request: the beam is down")).to_be_visible()
    assert house.job(job_id)["reason"] == "cancelled on request: the beam is down"


def test_a_job_is_told_whole(seen: Seen, house: House) -> None:
    """Trust with its reasons, what preprocessing did, provenance and downloads are those of the document."""
    document = house.job(house.done)
    seen.open(f"jobs/{house.done}")
    said = seen.page.get_by_role("main")
    reasons = document["trust"]["reasons"] or ["Nothing speaks against this result."]
    for text in (
        *reasons,
        document["model"]["provider"],
        document["input"]["digest"][:16],
        document["recipe"]["refine"],
    ):
        expect(said).to_contain_text(text)
    expect(said).to_contain_text("5 × 5 × 5 nm")
    with seen.page.expect_download() as coming:
        said.get_by_role("link", name="cxi").click()
    assert Path(coming.value.path()).read_bytes()[:4] == b"\x89HDF"
    seen.page.get_by_role("radio", name="1: network").click()
    expect(seen.page.get_by_role("radio", name="1: network")).to_be_checked()
    expect(plane(seen, 0)).to_be_visible()


def test_finer_grids_and_the_limits_of_a_probability_are_told(seen: Seen, house: House) -> None:
    """Each grid with its figures and why the last one is the last; times are those of where the reader is."""
    document = house.job(house.done)
    level = {"shape": [128, 216, 64], "recipe": "10*ER", "chi2": 0.00799, "start_free_llk": 0.429, "free_llk": 0.239,
             "support_voxels": 9602, "kept": True, "seconds": 3.8}  # fmt: skip
    document["grid"] = {"requested": "auto", "why": "counts reach far", "levels": [level], "stopped": "halves disagree"}
    document["trust"] |= {"probability": 0.98, "probability_reason": "no finer images were calibrated"}
    seen.page.route(f"**/v1/jobs/{house.done}", lambda route: route.fulfill(json=document))
    seen.open(f"jobs/{house.done}")
    grids = seen.page.get_by_role("region", name="Finer grids")
    for text in ("Counts reach far.", "128 × 216 × 64", "0.429", "0.239", "yes", "Halves disagree."):
        expect(grids).to_contain_text(text)
    trust = seen.page.get_by_role("region", name="Trust")
    expect(trust).to_contain_text("With a probability of 98 % the image is right")
    expect(trust).to_contain_text("But no finer images were calibrated.")
    expect(trust).to_contain_text("the two columns cannot be compared")
    created = datetime.fromisoformat(document["created"]).astimezone()
    provenance = seen.page.get_by_role("region", name="Provenance")
    expect(provenance).to_contain_text(f"{created:%Y-%m-%d %H:%M:%S}")
