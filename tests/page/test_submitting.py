"""A measurement is looked at and submitted, in a real browser."""

import base64
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import expect

from inphase.formats import READERS
from inphase.ptycho.formats import READERS as SCAN_READERS
from tests.inphase.ptycho.scenes import small
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


def test_what_is_wrong_in_a_recipe_is_pointed_at(seen: Seen) -> None:
    """The service's caret stands below the place, as on a terminal."""
    seen.open("new")
    seen.page.get_by_label("path below a data root").fill("scan_12.npy")
    seen.page.get_by_role("button", name="Look at it").click()
    seen.page.get_by_label("recipe or preset").fill("20*ER + 20*FOO")
    seen.page.get_by_role("button", name="Reconstruct").click()
    pointed = seen.page.get_by_role("alert").locator("pre")
    pointed.wait_for()
    assert pointed.inner_text().splitlines() == ["  20*ER + 20*FOO", "             ^"]
    seen.complaints.clear()  # the browser's line about the status


def test_every_file_that_is_read_by_its_path_is_sent_too(seen: Seen, tmp_path: Path) -> None:
    """Its suffix is offered, and its type is one that the service takes: it is refused for what it holds alone."""
    for view, call, readers in (
        ("new", "**/v1/previews?*", READERS),
        ("new/ptychography", "**/v1/ptychograms?*", SCAN_READERS),
    ):
        seen.open(view)
        expect(seen.page.get_by_role("region", name="Scan")).to_have_count(int(view != "new"))
        picker = seen.page.locator("input[type=file]")
        assert set((picker.get_attribute("accept") or "").split(",")) == set(readers)
        for suffix in readers:
            (tmp_path / f"empty{suffix}").write_bytes(b"none")
            with seen.page.expect_response(call) as response:
                picker.set_input_files(tmp_path / f"empty{suffix}")
                if view != "new":
                    seen.page.get_by_role("button", name="Reconstruct").click()
            assert response.value.status in (400, 422), suffix
    expect(seen.page.get_by_role("alert")).to_contain_text(f"empty{suffix}")
    seen.complaints.clear()  # the browser's lines about the statuses


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


def write_scan(path: Path, photons: float = 1e7) -> Path:
    """A small ptychographic scan with positions in pixels, counted by a detector with an offset of 7."""
    scene = small(frames=5, photons=photons)
    np.savez(path, data=(scene.counts + 7).astype(np.uint32), scan=scene.positions, probe=scene.probe)
    return path


def submitted(seen: Seen, house: House) -> dict[str, Any]:
    """The document of the job that the form makes, when its page shows that it has succeeded."""
    seen.page.get_by_role("button", name="Reconstruct").click()
    seen.page.wait_for_url(re.compile("#/jobs/[0-9a-f]{32}"))
    expect(seen.page.get_by_role("heading", name="Downloads")).to_be_visible()
    return house.job(seen.page.url.rpartition("/")[2])


def test_a_ptychographic_scan_is_submitted(seen: Seen, house: House, tmp_path: Path) -> None:
    """By its path and as a file, with what it lacks; what is left empty is left to the service."""
    write_scan(house.data / "star.npz")
    np.save(house.data / "dark.npy", np.full((32, 32), 7.0))
    seen.open("new")
    seen.page.get_by_role("radio", name="A ptychographic scan").click()
    expect(seen.page.get_by_role("region", name="Scan")).to_be_visible()
    seen.page.get_by_label("path below a data root").fill("star.npz")
    seen.page.get_by_label("unit").select_option("pixels of the object")
    seen.page.get_by_label("dark field").fill("dark.npy")
    seen.page.get_by_label("recipe").fill("3*EPIE")
    expect(seen.page.get_by_role("combobox", name="network", exact=True)).to_have_text("nonescans@1")
    job = submitted(seen, house)
    told = job["ptychography"]
    assert (job["state"], told["source"]) == ("succeeded", str(house.data / "star.npz"))
    assert {name: told["options"][name] for name in ("recipe", "modes", "seed", "positions_start")} == {
        "recipe": "3*EPIE", "modes": None, "seed": 0, "positions_start": None,
    }  # fmt: skip
    assert any("dark field" in note for note in told["report"]["notes"])
    assert told["report"]["pixel_m"] is None

    seen.open("new/ptychography")
    seen.page.locator("input[type=file]").set_input_files(write_scan(tmp_path / "mine.npz"))
    for label, value in {
        "photon energy, keV": "9", "sample to detector, m": "0.5", "detector pixel, µm": "1",
        "focus to sample, mm": "500", "modes of the probe": "2", "recipe": "2*EPIE",
    }.items():  # fmt: skip
        seen.page.get_by_label(label).fill(value)
    told = submitted(seen, house)["ptychography"]
    assert (told["source"], told["options"]["modes"]) == ("mine.npz", 2)
    # the detector is as far from the sample as the sample from the focus: a shadow is twice as large as what casts it
    np.testing.assert_allclose(told["report"]["pixel_m"], 0.5e-6)


def test_a_scan_that_is_refused_stays_in_the_form(seen: Seen) -> None:
    """With the service's own sentence, beside the button; nothing is sent without data."""
    seen.open("new/ptychography")
    order = seen.page.get_by_role("region", name="Reconstruction")
    for path, recipe, says in (
        ("", "", "There are no data yet"),
        ("scan_12.npy", "HIO", "HIO"),
        ("no/such/scan.cxi", "", "does not exist below the data roots"),
    ):
        seen.page.get_by_label("path below a data root").fill(path)
        seen.page.get_by_label("recipe").fill(recipe)
        order.get_by_role("button", name="Reconstruct").click()
        expect(order.get_by_role("alert")).to_contain_text(says)
        expect(seen.page.get_by_label("path below a data root")).to_have_value(path)
    seen.complaints.clear()  # the browser's lines about the statuses


def test_data_of_the_other_kind_go_to_its_form(seen: Seen, house: House, tmp_path: Path) -> None:
    """The service names the other call, and the form leads there with the data; a file that neither takes stays."""
    write_scan(house.data / "star.npz")
    seen.open("new")
    seen.page.get_by_label("path below a data root").fill("star.npz")
    seen.page.get_by_role("button", name="Look at it").click()
    expect(seen.page.get_by_role("alert")).to_contain_text("holds a ptychographic scan")
    seen.page.get_by_role("link", name="a ptychographic scan").click()
    expect(seen.page.get_by_role("radio", name="A ptychographic scan")).to_be_checked()
    expect(seen.page.get_by_label("path below a data root")).to_have_value("star.npz")

    np.savez(tmp_path / "curve.npz", data=counts(seed=33))
    seen.page.locator("input[type=file]").set_input_files(tmp_path / "curve.npz")
    seen.page.get_by_role("button", name="Reconstruct").click()
    expect(seen.page.get_by_role("alert")).to_contain_text("holds no positions")
    seen.page.get_by_role("link", name="a rocking curve or single frames").click()
    expect(seen.page.get_by_role("main")).to_contain_text("64 × 64 × 64 of uint32")
    expect(seen.page.get_by_role("combobox", name="network", exact=True)).to_have_text(
        "the default oneblind@1blind@2inphase-bcdi@1"
    )

    (tmp_path / "notes.txt").write_text("mine")
    seen.page.locator("input[type=file]").set_input_files(tmp_path / "notes.txt")
    expect(seen.page.get_by_role("alert")).to_contain_text("notes.txt is not sent from here")
    seen.complaints.clear()  # the browser's lines about the statuses
