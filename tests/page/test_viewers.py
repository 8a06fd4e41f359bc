"""Slices, surfaces and ptychograms in a real browser: what is drawn is what is downloaded."""

import io
import re
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, Locator, expect

from inphase.client import Client
from tests.inphase.ptycho.scenes import small
from tests.page.browser import Seen, tab
from tests.page.house import House
from tests.page.planes import check_drawn, pixels, plane
from tests.service.conftest import KEY

pytestmark = pytest.mark.system
DRAWN = (  # label, id, array, colours, whether logarithmic, where it is drawn
    ("Amplitude", "amplitude", "amplitude", "sequential", False, None),
    ("Phase", "phase", "phase", "cyclic", False, "support"),
    ("Strain", "strain", "strain", "diverging", False, None),
    ("Displacement", "displacement", "displacement", "diverging", False, None),
    ("Measured", "measured", "modulus", "sequential", True, "valid"),
    ("Calculated", "calculated", "calculated", "sequential", True, None),
)


def test_what_is_drawn_is_what_is_downloaded(seen: Seen, house: House) -> None:
    """Every pixel of the three planes has the colour of the voxel of the array, or is empty where nothing is shown."""
    seen.open(f"jobs/{house.done}")
    where = {"support": house.array("support"), "valid": house.array("mask") == 0}
    offered = seen.page.get_by_role("radiogroup", name="What the slices show")
    for label, name, array, table, log, within in DRAWN:
        offered.get_by_role("radio", name=label, exact=True).click()
        volume = house.array(array)
        shown = ~np.isnan(volume) & (True if within is None else where[within])
        for axis in range(3):
            canvas = plane(seen, axis)
            expect(canvas).to_have_attribute("data-array", name)
            check_drawn(canvas, axis, volume, shown, table, log=log)


def test_a_ptychogram_is_drawn_as_it_is_downloaded(seen: Seen, house: House) -> None:
    """Amplitude, phase against its mean, and the modes of the probe; only what can be downloaded is offered."""
    scene = small(frames=5)
    with Client(house.service.url, KEY) as client:
        job = client.reconstruct_ptychogram(scene.counts, scene.positions, probe=scene.probe, refine="2*EPIE")["id"]
    get = house.service.http.get
    arrays = {
        name: np.load(io.BytesIO(get(f"/v1/jobs/{job}/result/{name}").raise_for_status().content))
        for name in ("object", "probe", "coverage")
    }
    lit = arrays["coverage"] > 1e-3 * arrays["coverage"].max()
    turned = arrays["object"] * arrays["object"][lit].sum().conj()
    expected: list[tuple[str, NDArray[Any], NDArray[np.bool_], str]] = [
        ("Amplitude", np.abs(arrays["object"])[None], lit[None], "sequential"),
        ("Phase", np.angle(turned)[None], lit[None], "diverging"),
        ("Probe", np.abs(arrays["probe"]), np.ones(arrays["probe"].shape, bool), "sequential"),
    ]
    report = house.job(job)["ptychography"]["report"]
    seen.open("jobs")
    row = seen.page.get_by_role("row").filter(has=seen.page.locator(f"a[href='#/jobs/{job}']"))
    expect(row).to_contain_text(f"R {report['r_factor']:.3g}")
    expect(row.get_by_role("checkbox")).to_have_count(0)  # it is compared with no crystal
    seen.open(f"jobs/{job}")
    offered = seen.page.get_by_role("radiogroup", name="What the slices show")
    for label, volume, shown, table in expected:
        offered.get_by_role("radio", name=label, exact=True).click()
        expect(plane(seen, 0)).to_have_attribute("data-array", label.lower())
        check_drawn(plane(seen, 0), 0, volume, shown, table)
    expect(seen.page.locator(".downloads a")).to_have_text(["npz", "cxi", "json"])
    expect(seen.page.get_by_role("img", name="R factor of the iterations")).to_be_visible()


def test_planes_are_linked_and_play(seen: Seen, house: House) -> None:
    """A click in one plane moves the other two there; keys move a plane; the player goes on by itself."""
    seen.open(f"jobs/{house.done}")
    first = plane(seen, 0)
    first.wait_for()
    box = first.bounding_box()
    assert box is not None
    first.click(position={"x": 0.25 * box["width"], "y": 0.75 * box["height"]}, force=True)
    begin = [int(part) for part in (first.get_attribute("data-begin") or "").split(",")]
    rows, columns = pixels(first).shape[:2]
    expect(plane(seen, 1)).to_have_attribute("data-index", str(begin[0] + int(0.75 * rows)))
    expect(plane(seen, 2)).to_have_attribute("data-index", str(begin[1] + int(0.25 * columns)))
    slider = seen.page.get_by_role("slider", name="Plane of axis 0")
    slider.focus()
    before = int(slider.input_value())
    seen.page.keyboard.press("ArrowRight")
    expect(first).to_have_attribute("data-index", str(before + 1))
    seen.page.get_by_role("button", name="Play along axis 0").click()
    expect(first).not_to_have_attribute("data-index", str(before + 1))


def test_planes_keep_their_proportions(chromium: Browser, house: House, login: list[Any]) -> None:
    """In a low window as well, in which they become small: these voxels are cubes (to two pixels of the screen)."""
    with tab(chromium, house.service.url, width=1280, height=400) as seen:
        seen.page.context.add_cookies(login)
        seen.open(f"jobs/{house.done}")
        for axis in range(3):
            box = plane(seen, axis).bounding_box()
            assert box is not None
            rows, columns = pixels(plane(seen, axis)).shape[:2]
            assert box["width"] == pytest.approx(box["height"] * columns / rows, abs=2)


def test_the_surface_turns(seen: Seen, house: House) -> None:
    """It is the mesh that is downloaded, looks different from another side, and can be coloured by strain."""
    seen.open(f"jobs/{house.done}")
    canvas = seen.page.get_by_role("application")
    expect(canvas).to_have_attribute("data-of", "phase")
    mesh = house.service.http.get(f"/v1/jobs/{house.done}/surface?level=0.3").content
    corners = re.search(rb'"count": (\d+)', mesh)
    assert corners is not None
    expect(canvas).to_have_attribute("data-corners", corners[1].decode())
    before = picture(canvas)
    assert len(np.unique(before.reshape(-1, before.shape[-1]), axis=0)) > 100
    canvas.focus()
    for _ in range(6):
        seen.page.keyboard.press("ArrowRight")
    seen.page.wait_for_timeout(300)
    assert np.abs(picture(canvas) - before).mean() > 1
    seen.page.get_by_role("radiogroup", name="What colours the surface").get_by_role("radio", name="Strain").click()
    expect(canvas).to_have_attribute("data-of", "strain")


def picture(canvas: Locator) -> NDArray[np.float64]:
    """What is on the screen."""
    return np.asarray(Image.open(io.BytesIO(canvas.screenshot())).convert("RGB"), np.float64)
