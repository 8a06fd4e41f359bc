"""A mask is drawn on a measurement, in a real browser."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Locator, expect

from inphase.pattern import MaskState
from tests.page.browser import Seen
from tests.page.house import House
from tests.toy import counts

pytestmark = pytest.mark.system
HOT = (5, 60, 3)  # a voxel brighter than the peak
BOX = (slice(None), slice(10, 15), slice(20, 41))  # rows and columns of every frame
FRAMES = (slice(50, 53), slice(None), slice(5, 10))
STAMP = (slice(None), slice(30, 31), slice(9, 10))


@pytest.mark.parametrize("way", ["sent", "named"])
def test_a_mask_is_drawn_and_sent_along(seen: Seen, house: House, tmp_path: Path, way: str) -> None:
    """Rectangles with the pointer, a threshold, and a brush with the keys: the job masks these voxels and no other."""
    measured = counts(seed=33)
    measured[HOT] = 3 * measured.max()
    folder = tmp_path if way == "sent" else house.data
    np.save(folder / "masked.npy", measured)
    seen.open("new")
    if way == "sent":
        seen.page.locator("input[type=file]").set_input_files(folder / "masked.npy")
    else:
        seen.page.get_by_label("path below a data root").fill("masked.npy")
        seen.page.get_by_role("button", name="Look at it").click()
    mask = seen.page.get_by_role("region", name="Mask", exact=True)
    status, undo = mask.get_by_text("masked here"), mask.get_by_role("button", name="Undo")
    drag(seen, mask, (10, 20), (14, 40))
    expect(status).to_contain_text("105 pixels masked here")
    drag(seen, mask, (0, 0), (63, 63))
    expect(status).to_contain_text("4096 pixels")
    undo.click()
    expect(status).to_contain_text("105 pixels")
    mask.get_by_role("radio", name="Threshold").click()
    mask.get_by_label("Least value").fill(str(2 * counts(seed=33).max()))
    mask.get_by_role("button", name="Mask them").click()
    expect(status).to_contain_text("106 pixels")
    mask.get_by_role("radio", name="Brush").click()
    mask.get_by_label("width").fill("1")
    plane = mask.get_by_role("application")
    plane.hover(position={"x": 1, "y": 1})
    plane.focus()
    for key in [*["Shift+ArrowDown"] * 3, *["ArrowRight"] * 9, "Space"]:
        seen.page.keyboard.press(key)
    expect(status).to_contain_text("107 pixels")
    mask.get_by_role("radio", name="frames × columns").click()
    mask.get_by_role("radio", name="Rectangle").click()
    drag(seen, mask, (50, 5), (54, 12))
    mask.get_by_label("take away").check()
    drag(seen, mask, (53, 5), (54, 12))
    drag(seen, mask, (50, 10), (52, 12))
    expect(status).to_contain_text("15 pixels")
    seen.page.get_by_label("recipe or preset").fill("none")
    seen.page.get_by_role("button", name="Reconstruct").click()
    seen.page.wait_for_url(re.compile("#/jobs/[0-9a-f]{32}"))
    expect(seen.page.get_by_role("heading", name="Downloads")).to_be_visible()
    job = house.job(seen.page.url.rpartition("/")[2])
    expected = np.zeros(measured.shape, bool)
    expected[:, HOT[1], HOT[2]] = expected[BOX] = expected[FRAMES] = expected[STAMP] = True
    assert f"{expected.sum()} voxels masked by 4 boxes" in job["input"]["chosen"]
    answer = house.service.http.get(f"/v1/jobs/{job['id']}/result/mask").raise_for_status()
    found = np.load(io.BytesIO(answer.content)) == MaskState.MASKED
    assert job["preprocess"]["offset"] == [0, 0, 0]
    assert np.array_equal(found, expected)


def drag(seen: Seen, mask: Locator, begin: tuple[int, int], end: tuple[int, int]) -> None:
    """From one pixel (row, column) of the plane that is drawn on to another, with the pointer."""
    canvas = mask.locator("canvas.cover")
    canvas.scroll_into_view_if_needed()
    rows, columns = (int(canvas.evaluate(f"canvas => canvas.{side}")) for side in ("height", "width"))
    box = canvas.bounding_box()
    assert box is not None
    spots = [
        (box["x"] + (column + 0.5) * box["width"] / columns, box["y"] + (row + 0.5) * box["height"] / rows)
        for row, column in (begin, end)
    ]
    seen.page.mouse.move(*spots[0])
    seen.page.mouse.down()
    seen.page.mouse.move(*spots[1], steps=4)
    seen.page.mouse.up()


def test_a_mask_is_cleared_and_drawn_by_keys(seen: Seen, house: House) -> None:
    """Space begins and ends a rectangle, Escape gives it up, Control and Z undo, and Clear leaves nothing."""
    seen.open("new")
    seen.page.get_by_label("path below a data root").fill("scan_12.npy")
    seen.page.get_by_role("button", name="Look at it").click()
    mask = seen.page.get_by_role("region", name="Mask", exact=True)
    status = mask.get_by_text("masked here")
    mask.get_by_role("application").focus()
    press = seen.page.keyboard.press
    for key in ("Space", "ArrowDown", "ArrowRight", "Escape"):
        press(key)
    expect(status).to_contain_text("nothing is masked here")
    for key in ("Space", "ArrowDown", "Shift+ArrowRight", "Space"):
        press(key)
    expect(status).to_contain_text("22 pixels")
    press("Control+z")
    expect(status).to_contain_text("nothing is masked here")
    for key in ("Space", "Space"):
        press(key)
    expect(status).to_contain_text("1 pixel masked here")
    mask.get_by_role("button", name="Clear").click()
    expect(status).to_contain_text("nothing is masked here")
    mask.get_by_role("button", name="Undo").click()
    expect(status).to_contain_text("1 pixel masked here")
