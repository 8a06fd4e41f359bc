"""The pictures of the page in docs/images, which `make screenshots` takes of simulated crystals."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import httpx
from PIL import Image
from playwright.sync_api import Browser, Page

from inphase.client import Client
from inphase.formats import read
from inphase.live.replay import template_of
from tests.page.browser import Seen, tab
from tests.service.conftest import KEY
from tests.system.serving import running, until

MODELS = Path(__file__).resolve().parents[2] / "models"
WIDE: Final = (1280, 860)
PHONE: Final = (390, 844)
WALL: Final = (3840, 2160)
TALL: Final = 1560  # all of a job
TALLER: Final = 1190  # all of a measurement before it is submitted
PATIENCE_MS: Final = 120_000
PATIENCE_S: Final = 120.0
SEEDS: Final = (7, 8, 9)
EXPOSURES: Final = (1.0, 0.5, 0.25, 0.1)  # of the scans of a series, one crystal's
SHARES: Final = (0.56, 0.66, 0.78)  # of a curve, after each of which there is a look
# whatever can be seen has come
LOADED: Final = """() => [...document.images].every(image => {
    const {top, bottom} = image.getBoundingClientRect();
    return bottom < 0 || top > innerHeight || (image.complete && image.naturalWidth > 0);
})"""
NAMES: Final = frozenset(
    f"{name}.png"
    for name in (
        "jobs-light", "jobs-dark", "jobs-narrow", "job-light", "job-dark", "job-narrow", "live-light", "scan-light",
        "scan-dark", "scan-narrow", "new-light", "new-ptychography-light", "compare-light", "series-light",
        "models-light", "system-light", "jobs-wall", "job-wall", "scan-wall",
    )
)  # fmt: skip


@dataclass(frozen=True)
class Shown:
    """What there is to be seen. jobs: of one measurement each, the newest last; live: it runs; scan: it is open."""

    url: str
    jobs: tuple[str, ...]
    series: str
    scan: str
    live: str


@dataclass
class Camera:
    """Takes pictures of a tab. made: those that were taken; those of a wall are kept at half their size."""

    seen: Seen
    folder: Path
    size: tuple[int, int]
    made: list[Path] = field(default_factory=list)

    def open(self, path: str, tall: int | None = None) -> Page:
        """A view, in a window of another height where it is longer."""
        width, height = self.size
        self.seen.page.set_viewport_size({"width": width, "height": tall or height})
        self.seen.open(path)
        return self.seen.page

    def shoot(self, name: str, settle_ms: int = 1500) -> None:
        """The visible part, when everything has come to rest."""
        path = self.folder / f"{name}.png"
        self.seen.page.mouse.move(0, 0)
        self.seen.page.wait_for_function(LOADED)
        self.seen.page.wait_for_timeout(settle_ms)
        self.seen.page.screenshot(path=path)
        picture = Image.open(path).convert("RGB")
        (picture.reduce(2) if self.size == WALL else picture).save(path, optimize=True)
        self.made.append(path)


def shoot(started: Browser, room: Path, folder: Path) -> list[Path]:
    """Every view in light, the most important ones in dark and on a phone.

    room: an empty folder for the service and its data.
    """
    from training.simulate.scan import ScanSettings, simulate_scan, write

    data = room / "data"
    data.mkdir()
    for seed in SEEDS:
        write(simulate_scan(seed), data / f"scan_{seed:04d}.h5")
    for number, share in enumerate(EXPOSURES, 21):
        settings = ScanSettings()
        write(simulate_scan(8, replace(settings, photons=share * settings.photons)), data / f"dose_{number:04d}.h5")
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    with running(room / "state", MODELS, "--data-root", str(data)) as service, Client(service.url, KEY) as client:
        service.until_workers()
        shown = prepared(client, service.url, data)
        for size, dark, take in TABS:
            with tab(started, service.url, width=size[0], height=size[1], dark=dark) as seen:
                seen.page.set_default_timeout(PATIENCE_MS)
                seen.page.goto(f"{service.url}/#key={KEY}")
                seen.page.get_by_role("navigation").wait_for()
                camera = Camera(seen, folder, size)
                take(camera, shown)
                made += camera.made
        client.cancel(shown.live)
        client.abort_scan(shown.scan)
    return made


def prepared(client: Client, url: str, data: Path) -> Shown:
    """Jobs that have succeeded, failed and run, a series, and a live scan with some looks."""
    series = client.submit_series(["dose_*.h5"], refine="none", name="particle 2, shorter and shorter")["id"]
    until(lambda: all(scan["state"] == "succeeded" for scan in client.series(series)["scans"]), PATIENCE_S)
    scan = growing(client, data / "scan_0009.h5")
    jobs = [
        client.reconstruct_file(f"scan_{seed:04d}.h5", refine=recipe, grid="model", wait=PATIENCE_S)["id"]
        for seed, recipe in ((8, "coarse"), (7, "none"))
    ]
    jobs.append(client.reconstruct_file("scan_0007.h5", refine="fast", wait=2 * PATIENCE_S)["id"])
    outside = {"source": {"kind": "file", "path": "scan_0007.h5", "dataset": "no/such"}}
    httpx.post(f"{url}/v1/reconstructions?wait=0", json=outside, headers={"Authorization": f"Apikey {KEY}"})
    live = client.reconstruct_file("scan_0007.h5", refine="6000*ER", wait=0)["id"]
    return Shown(url, tuple(jobs), series, scan, live)


def growing(client: Client, path: Path) -> str:
    """A live scan of which a part has come, with a look after each share of it."""
    curve = read(path)
    frames = len(curve.array)
    scan: str = client.open_scan(template_of(curve), frames, name="particle 3, 210 °C", refine="coarse")["id"]
    places = [place for place in range(frames) if place % 23 != 5]  # some are late
    sent = 0
    for share in SHARES:
        batch = places[sent : round(share * len(places))]
        client.add_frames(scan, batch, list(curve.array[batch]))
        sent += len(batch)
        until_looked(client, scan, sent)
    client.add_frames(scan, places[:1], list(curve.array[places[:1]]))  # it comes twice
    return scan


def until_looked(client: Client, scan: str, frames: int) -> None:
    """Returns when there is a look at so many frames."""
    done = (frames, "succeeded")
    until(lambda: any((look["frames"], look["state"]) == done for look in client.scan(scan)["looks"]), PATIENCE_S)


def in_light(camera: Camera, shown: Shown) -> None:
    """Every view."""
    page = camera.open("jobs")
    page.locator(".row progress").first.wait_for()
    camera.shoot("jobs-light")
    page = camera.open(f"jobs/{shown.live}", TALL)
    page.locator(".iterate").wait_for()
    drawn(page)
    camera.shoot("live-light", settle_ms=4000)
    drawn(camera.open(f"jobs/{shown.jobs[-1]}", TALL))
    camera.shoot("job-light")
    looked(camera.open(f"scans/{shown.scan}"))
    camera.shoot("scan-light")
    page = camera.open(f"compare/{shown.jobs[-1]}/{shown.jobs[-2]}")
    page.locator("canvas[data-array=amplitude_difference]").wait_for()
    page.get_by_role("radio", name="Phase").click()
    page.locator("canvas[data-array=phase_difference]").wait_for()
    camera.shoot("compare-light")
    page = camera.open(f"series/{shown.series}")
    page.get_by_role("listitem").last.get_by_role("img").wait_for()
    camera.shoot("series-light")
    page = camera.open("models")
    page.locator("details").first.wait_for()
    camera.shoot("models-light")
    camera.open("system").get_by_role("region", name="Networks").wait_for()
    camera.shoot("system-light")
    page = camera.open("new", TALLER)
    page.get_by_label("path below a data root").fill("scan_0007.h5")
    page.get_by_role("button", name="Look at it").click()
    masked(page)
    camera.shoot("new-light")
    page = camera.open("new/ptychography")
    for label, value in {
        "path below a data root": "2026/hc5001/star_0054.cxi", "photon energy, keV": "8.8", "detector pixel, µm": "75",
        "dark field": "2026/hc5001/dark.tif", "modes of the probe": "2", "recipe": "20*RAAR+40*EPIE",
    }.items():  # fmt: skip
        page.get_by_label(label).fill(value)
    page.get_by_label("unit").select_option("µm")
    camera.shoot("new-ptychography-light")


def in_dark(camera: Camera, shown: Shown) -> None:
    """The list, a job by its phase, a live scan."""
    page = camera.open("jobs")
    page.locator(".row progress").first.wait_for()
    camera.shoot("jobs-dark")
    page = camera.open(f"jobs/{shown.jobs[-1]}")
    drawn(page)
    page.get_by_role("radio", name="Phase", exact=True).first.click()
    camera.shoot("job-dark")
    looked(camera.open(f"scans/{shown.scan}"))
    camera.shoot("scan-dark")


def on_a_phone(camera: Camera, shown: Shown) -> None:
    """The same."""
    page = camera.open("jobs")
    page.locator(".row progress").first.wait_for()
    camera.shoot("jobs-narrow")
    drawn(camera.open(f"jobs/{shown.jobs[-1]}"))
    camera.shoot("job-narrow")
    looked(camera.open(f"scans/{shown.scan}"))
    camera.shoot("scan-narrow")


def on_a_wall(camera: Camera, shown: Shown) -> None:
    """The same, all of it at once."""
    camera.open("jobs").locator(".row progress").first.wait_for()
    camera.shoot("jobs-wall")
    drawn(camera.open(f"jobs/{shown.jobs[-1]}"))
    camera.shoot("job-wall")
    looked(camera.open(f"scans/{shown.scan}"))
    camera.shoot("scan-wall")


TABS: Final = (
    (WIDE, False, in_light),
    (WIDE, True, in_dark),
    (PHONE, False, on_a_phone),
    (WALL, False, on_a_wall),
)


def drawn(page: Page) -> None:
    """Returns when slices and surface are there."""
    page.locator(".plane canvas").first.wait_for()
    page.locator("canvas[data-of=phase]").wait_for()


def looked(page: Page) -> None:
    """Returns when the images of a live scan are there."""
    page.locator(".shot img").wait_for()
    page.locator(".strip img").nth(len(SHARES) - 1).wait_for()


def masked(page: Page) -> None:
    """Draws a box and a stroke."""
    plane = page.get_by_role("application")
    plane.wait_for()
    box = plane.bounding_box()
    assert box is not None
    for tool, corners in (("Rectangle", ((0.08, 0.12), (0.2, 0.2))), ("Brush", ((0.72, 0.9), (0.86, 0.6)))):
        page.get_by_role("radio", name=tool).click()
        spots = [(box["x"] + across * box["width"], box["y"] + down * box["height"]) for across, down in corners]
        page.mouse.move(*spots[0])
        page.mouse.down()
        page.mouse.move(*spots[1], steps=8)
        page.mouse.up()
