"""Two results beside each other, in a real browser."""

import io
import re

import httpx
import numpy as np
import pytest
from playwright.sync_api import expect

from service.pictures import colours
from tests.page.browser import Seen
from tests.page.house import BY_KEY, House
from tests.page.planes import pixels

pytestmark = pytest.mark.system


def test_two_results_are_compared_side_by_side(seen: Seen, house: House) -> None:
    """Ticked in the list or chosen from a job: the figures are the service's, and what is drawn what is downloaded."""
    other = house.submit("6*ER", seed=41)
    seen.open("jobs")
    rows = seen.page.get_by_role("table", name="Jobs").get_by_role("row")
    expect(rows.filter(has_text=other[:8])).to_contain_text("succeeded")
    for job_id in (house.done, other):
        rows.filter(has_text=job_id[:8]).get_by_role("checkbox").check()
    seen.page.get_by_role("link", name="Compare the two").click()
    seen.page.wait_for_url(re.compile(f"#/compare/{house.done}/{other}$"))
    address = f"{house.service.url}/v1/jobs/{house.done}/comparison/{other}"
    figures = seen.page.get_by_role("region", name="How alike they are")
    expect(figures).to_contain_text("complex correlation")
    told = httpx.get(address, headers=BY_KEY).raise_for_status().json()
    assert 0.9 < told["correlation"] <= 1
    for name in ("correlation", "ssim"):
        expect(figures).to_contain_text(f"{float(f'{told[name]:.4g}'):g}")
    seen.page.get_by_role("radio", name="Phase").click()
    seen.page.get_by_role("radio", name="axis 1").click()
    for side in ("a", "b", "difference"):
        canvas = seen.page.locator(f"canvas[data-array='phase_{side}']")
        expect(canvas).to_have_attribute("data-axis", "1")
        volume = np.load(io.BytesIO(httpx.get(f"{address}/phase_{side}", headers=BY_KEY).raise_for_status().content))
        parts = ("index", "low", "high")
        index, low, high = (float(canvas.get_attribute(f"data-{part}") or "") for part in parts)
        values = volume.take(int(index), 1)
        there = np.isfinite(values)
        table = colours.TABLES["diverging" if side == "difference" else "cyclic"]
        expected = colours.coloured(table, np.nan_to_num((values - low) / (high - low)))
        drawn = pixels(canvas)
        assert there.any()
        assert (drawn[..., 3] == 255 * there).all()
        assert np.abs(drawn[..., :3].astype(int) - expected)[there].max() <= 6
    seen.page.get_by_role("link", name="Exchange A and B").click()
    seen.page.wait_for_url(re.compile(f"#/compare/{other}/{house.done}$"))
    seen.open(f"jobs/{other}")
    seen.page.get_by_label("Compare with").select_option(house.done)
    seen.page.wait_for_url(re.compile(f"#/compare/{other}/{house.done}$"))


def test_a_job_without_a_result_is_not_compared(seen: Seen, house: House) -> None:
    """The service's own sentence, as an alert."""
    seen.open(f"compare/{house.done}/{house.failed}")
    expect(seen.page.get_by_role("alert")).to_contain_text("has no result")
    seen.complaints.clear()  # the browser's line about the status
