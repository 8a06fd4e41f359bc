"""The page in a real browser, before a real service with its worker, through real jobs."""

import base64
import io
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, Locator, expect

from inphase.client import Client
from inphase.pattern import MaskState
from service.pictures import colours
from tests.inphase.ptycho.scenes import small
from tests.page.browser import Seen, browser, tab
from tests.page.screenshots import NAMES, shoot
from tests.service.conftest import KEY
from tests.system.serving import Service, running
from tests.toy import counts, crystal, write_model

pytestmark = pytest.mark.system
AXE = Path(__file__).resolve().parents[2] / "page/node_modules/axe-core/axe.min.js"
BY_KEY = {"Authorization": f"Apikey {KEY}"}
LOADED = "image => image.complete && image.naturalWidth > 0"


@dataclass(frozen=True)
class House:
    """A service with a worker, a job that has succeeded with strain maps, one that has failed, and a live scan that is
    finished.
    """

    service: Service
    data: Path
    done: str
    failed: str
    scan: str

    def job(self, job_id: str) -> dict[str, Any]:
        """Its document."""
        document: dict[str, Any] = self.service.http.get(f"/v1/jobs/{job_id}").json()
        return document

    def document_of_scan(self, scan_id: str) -> dict[str, Any]:
        """The document of a live scan."""
        document: dict[str, Any] = self.service.http.get(f"/v1/scans/{scan_id}").json()
        return document

    def array(self, name: str) -> NDArray[Any]:
        """An array of the job that has succeeded, as anybody downloads it."""
        path = name if name == "calculated" else f"result/{name}"
        answer = self.service.http.get(f"/v1/jobs/{self.done}/{path}")
        found: NDArray[Any] = np.load(io.BytesIO(answer.raise_for_status().content))
        return found

    def submit(self, refine: str, seed: int) -> str:
        """A job of another measurement of the crystal."""
        with Client(self.service.url, KEY) as client:
            return str(client.reconstruct(counts(seed=seed), refine=refine, wait=0)["id"])


def measured() -> bytes:
    """The crystal's counts with a geometry: voxels of 5 nm, and the gold 111 reflection."""
    body = io.BytesIO()
    np.savez(body, data=counts(), q_steps=np.eye(3) * 2 * np.pi / (64 * 5e-9), q_centre=np.array([0.0, 0.0, 2.67e10]))
    return body.getvalue()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The browser of all tests here."""
    with browser() as started:
        yield started


@pytest.fixture(scope="module")
def house(chromium: Browser, models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One service for all tests here."""
    root = tmp_path_factory.mktemp("page")
    data, models = root / "data", root / "models"
    data.mkdir()
    shutil.copytree(models_dir, models)
    write_model(models, np.ones_like(crystal()), name="blind", version=2)
    for number in (12, 13):
        np.save(data / f"scan_{number}.npy", counts(seed=number))
    with running(root / "state", models, "--data-root", str(data)) as service:
        service.until_workers()
        sent = {"content": measured(), "headers": BY_KEY | {"Content-Type": "application/x-npz"}, "timeout": 100}
        done = httpx.post(f"{service.url}/v1/reconstructions?refine=40*ER&wait=90", **sent).json()
        assert done["state"] == "succeeded", done
        with Client(service.url, KEY) as client:
            failed = client.reconstruct(np.zeros((64, 64, 64), np.uint32), wait=0)["id"]
            scan = client.open_scan(counts()[0], frames=64, name="measured", refine="none", grid="model")["id"]
            client.add_frames(scan, range(64), list(counts()))
            client.finish_scan(scan)
        yield House(service, data, done["id"], failed, scan)


@pytest.fixture(scope="module")
def login(chromium: Browser, house: House) -> list[Any]:
    """The cookies of a browser that has logged in."""
    with tab(chromium, house.service.url) as found:
        found.log_in()
        return list(found.page.context.cookies())


@pytest.fixture
def seen(chromium: Browser, house: House, login: list[Any]) -> Iterator[Seen]:
    """A tab that has logged in before, at the list of jobs."""
    with tab(chromium, house.service.url) as found:
        found.page.context.add_cookies(login)
        yield found


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


def plane(seen: Seen, axis: int) -> Locator:
    """The canvas of a plane."""
    return seen.page.locator(f".plane canvas[data-axis='{axis}']")


def pixels(canvas: Locator) -> NDArray[np.uint8]:
    """(rows, columns, 4) as the browser drew them."""
    script = """canvas => {
        const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        return [canvas.height, canvas.width, Array.from(data)];
    }"""
    rows, columns, data = canvas.evaluate(script)
    return np.array(data, np.uint8).reshape(rows, columns, 4)


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


def check_drawn(
    canvas: Locator, axis: int, volume: NDArray[Any], shown: NDArray[np.bool_], table: str, *, log: bool = False
) -> None:
    """Every pixel of the plane has the colour of its number in that table, between the bounds that the canvas tells."""
    told = {part: canvas.get_attribute(f"data-{part}") or "" for part in ("index", "low", "high", "begin")}
    drawn = pixels(canvas)
    row, column = (int(part) for part in told["begin"].split(","))
    box = (slice(row, row + drawn.shape[0]), slice(column, column + drawn.shape[1]))
    values, there = (found.take(int(told["index"]), axis)[box] for found in (volume, shown))
    low, high = float(told["low"]), float(told["high"])
    assert high > low
    with np.errstate(divide="ignore", invalid="ignore"):
        unit = np.log(values / low) / np.log(high / low) if log else (values - low) / (high - low)
    expected = colours.coloured(colours.TABLES[table], np.nan_to_num(unit, neginf=0))
    assert there.any()
    assert (drawn[..., 3] == 255 * there).all()
    off = np.abs(drawn[..., :3].astype(int) - expected)[there].max(axis=-1)
    assert np.mean(off > 0) < 0.002  # a rounded number may fall on the other side of a step
    assert off.max() <= 6


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


def test_data_that_cannot_be_used_are_refused_in_words(seen: Seen) -> None:
    """The service's own sentence, as an alert."""
    seen.open("new")
    seen.page.get_by_label("path below a data root").fill("no/such/scan.h5")
    seen.page.get_by_role("button", name="Look at it").click()
    expect(seen.page.get_by_role("alert")).to_contain_text("does not exist below the data roots")
    seen.complaints.clear()  # the browser's line about the status


def test_models_and_system_are_shown(seen: Seen) -> None:
    """What is installed, the living worker, and the requests that were refused."""
    seen.open("models")
    expect(seen.page.get_by_role("heading", name="blind")).to_be_visible()
    expect(seen.page.get_by_role("main")).to_contain_text("inphase-bcdi")
    seen.open("system")
    expect(seen.page.get_by_role("main")).to_contain_text("status 401")
    expect(seen.page.get_by_role("heading", name="Workers")).to_be_visible()


def test_what_runs_a_network_and_what_was_passed_over_is_shown(seen: Seen, house: House) -> None:
    """With the arithmetic and the reason, in the view of the models and in that of the system."""
    over = [{"execution": "CUDAExecutionProvider", "why": "chi2 is 0.4, not 0.1"}]
    status = house.service.http.get("/v1/status").json()
    models = status["models"]
    models["models"][0] |= {"provider": "CPUExecutionProvider", "arithmetic": "float32", "passed_over": over}
    models["refused"] = [{"folder": "broken/3", "why": "its digest is another one"}]
    seen.page.route("**/v1/status", lambda route: route.fulfill(json=status))
    seen.page.route("**/v1/models", lambda route: route.fulfill(json=models))
    for view, name in (("models", models["models"][0]["name"]), ("system", "Networks")):
        seen.open(view)
        panel = seen.page.get_by_role("region", name=name, exact=True)
        expect(panel).to_contain_text("CPUExecutionProvider, float32")
        expect(panel).to_contain_text("not CUDAExecutionProvider: chi2 is 0.4, not 0.1")
        expect(seen.page.get_by_role("main")).to_contain_text("its digest is another one")


def test_a_version_is_activated_and_rolled_back(seen: Seen, house: House) -> None:
    """After a question, for all later requests that name no version; the service says which one it is."""
    seen.open("models")
    panel = seen.page.get_by_role("region", name="blind")
    for version, verb in ((1, "Roll back to version 1"), (2, "Activate version 2")):
        expect(panel).to_contain_text(f"version {3 - version}, active")
        panel.get_by_text(f"version {version}", exact=True).click()
        panel.get_by_role("button", name=f"{verb} of blind").click()
        seen.page.get_by_role("dialog").get_by_role("button", name=verb, exact=True).click()
        expect(panel).to_contain_text(f"version {version}, active")
        told = house.service.http.get("/v1/models/blind").json()
        assert told["active"] == version


def test_who_is_no_admin_is_offered_no_activation(seen: Seen) -> None:
    """The versions are shown all the same."""
    seen.page.route("**/v1/login", lambda route: route.fulfill(json={"owner": "ada", "scope": "submit"}))
    seen.open("models")
    panel = seen.page.get_by_role("region", name="blind")
    panel.get_by_text("version 1", exact=True).click()
    expect(panel.get_by_text("digest").first).to_be_visible()
    expect(panel.get_by_role("button")).to_have_count(0)


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


@pytest.mark.parametrize(("width", "height"), [(390, 844), (1280, 800), (3840, 2160)])
def test_views_fit_the_screen(chromium: Browser, house: House, login: list[Any], width: int, height: int) -> None:
    """On a phone, a laptop and a wall nothing is cut off at the side, and type grows with the wall."""
    with tab(chromium, house.service.url, width=width, height=height) as seen:
        seen.page.context.add_cookies(login)
        for view in ("jobs", f"jobs/{house.done}", "new", f"scans/{house.scan}"):
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


@pytest.mark.skipif("INPHASE_SCREENSHOTS" not in os.environ, reason="`make screenshots` takes them")
@pytest.mark.timeout(580)
def test_screenshots_are_made(chromium: Browser) -> None:
    """Those of the documentation: a simulated rocking curve and the shipped network, in the folder of the variable."""
    with tempfile.TemporaryDirectory(prefix="inphase-") as room:
        made = shoot(chromium, Path(room), Path(os.environ["INPHASE_SCREENSHOTS"]))
    assert {path.name for path in made} == NAMES
    assert all(5_000 < path.stat().st_size < 400_000 for path in made)
