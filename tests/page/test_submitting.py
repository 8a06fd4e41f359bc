"""A measurement is looked at and submitted, in a real browser."""

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.page.browser import Seen
from tests.page.house import House
from tests.toy import counts

pytestmark = pytest.mark.system


def test_a_file_is_looked_at_and_submitted(seen: Seen, house: House, tmp_path: Path) -> None:
    """Dropped or chosen, or named by its path: what the service reads is shown before, and the job opens after."""
    np.save(tmp_path / "mine.npy", counts(seed=31))
    seen.open("new")
    seen.page.locator("input[type=file]").set_input_files(tmp_path / "mine.npy")
    expect(seen.page.get_by_role("main")).to_contain_text("64 × 64 × 64 of uint32")
    read = seen.page.get_by_role("region", name="What the service reads")
    expect(read.get_by_role("img", name=re.compile("Largest values along axis"))).to_have_count(3)
    seen.page.get_by_label("recipe or preset").fill("none")
    seen.page.get_by_role("button", name="Reconstruct").click()
    seen.page.wait_for_url(re.compile("#/jobs/[0-9a-f]{32}"))
    expect(seen.page.get_by_role("heading", name="Downloads")).to_be_visible()
    job = house.job(seen.page.url.rpartition("/")[2])
    assert (job["state"], job["recipe"]["refine"]) == ("succeeded", "none")
    seen.open("new")
    seen.page.get_by_label("path below a data root").fill("scan_12.npy")
    seen.page.get_by_role("button", name="Look at it").click()
    expect(seen.page.get_by_role("main")).to_contain_text("64 × 64 × 64 of uint32")
    expect(seen.page.get_by_role("button", name="Reconstruct")).to_be_visible()


DROPPED = """octets => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([Uint8Array.from(atob(octets), sign => sign.charCodeAt(0))], 'dropped.npy'));
    return transfer;
}"""


def test_a_file_is_dropped(seen: Seen) -> None:
    """The field says that it takes the file while it hovers; once it is dropped the service looks at it."""
    seen.open("new")
    field = seen.page.locator(".drop")
    field.wait_for()
    stream = io.BytesIO()
    np.save(stream, counts(seed=32)[16:48])
    transfer = seen.page.evaluate_handle(DROPPED, base64.b64encode(stream.getvalue()).decode())
    field.dispatch_event("dragover", {"dataTransfer": transfer})
    expect(field).to_have_class("drop over")
    field.dispatch_event("drop", {"dataTransfer": transfer})
    expect(field).to_have_class("drop")
    expect(seen.page.get_by_role("main")).to_contain_text("32 × 64 × 64 of uint32")
    expect(seen.page.get_by_role("button", name="Reconstruct")).to_be_visible()


def test_data_that_cannot_be_used_are_refused_in_words(seen: Seen) -> None:
    """The service's own sentence, as an alert."""
    seen.open("new")
    seen.page.get_by_label("path below a data root").fill("no/such/scan.h5")
    seen.page.get_by_role("button", name="Look at it").click()
    expect(seen.page.get_by_role("alert")).to_contain_text("does not exist below the data roots")
    seen.complaints.clear()  # the browser's line about the status
