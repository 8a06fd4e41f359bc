"""The pictures of the page in docs/images, which `make screenshots` takes of a simulated crystal."""

from pathlib import Path

import httpx
from PIL import Image
from playwright.sync_api import Browser, Page

from inphase.client import Client
from tests.page.browser import tab
from tests.service.conftest import KEY
from tests.system.serving import running

MODELS = Path(__file__).resolve().parents[2] / "models"
LIGHT, DARK, NARROW = (1280, 860), (1280, 860), (390, 844)
TALL = 1560  # all of a job
PATIENCE_MS = 120_000


def shoot(started: Browser, room: Path, folder: Path) -> list[Path]:
    """The list and a job in light and dark, a job on a phone and while it runs, two results side by side, a measurement
    before it is submitted.

    room: an empty folder for the service and its data.
    """
    from training.simulate.scan import simulate_scan, write

    data = room / "data"
    data.mkdir()
    for seed in (7, 8):
        write(simulate_scan(seed), data / f"scan_{seed:04d}.h5")
    folder.mkdir(parents=True, exist_ok=True)
    with running(room / "state", MODELS, "--data-root", str(data)) as service, Client(service.url, KEY) as client:
        service.until_workers()
        shown = [
            client.reconstruct_file(f"scan_{seed:04d}.h5", refine=recipe, grid="model", wait=120)["id"]
            for seed, recipe in ((8, "none"), (8, "coarse"), (7, "none"))
        ]
        job = client.reconstruct_file("scan_0007.h5", refine="fast", wait=200)["id"]
        headers = {"Authorization": f"Apikey {KEY}"}
        outside = {"source": {"kind": "file", "path": "scan_0007.h5", "dataset": "no/such"}}
        httpx.post(f"{service.url}/v1/reconstructions?wait=0", json=outside, headers=headers)
        live = client.reconstruct_file("scan_0007.h5", refine="3000*ER", wait=0)["id"]
        made = []
        with tab(started, service.url, width=LIGHT[0], height=LIGHT[1]) as seen:
            seen.page.set_default_timeout(PATIENCE_MS)
            seen.page.goto(f"{service.url}/#key={KEY}")
            seen.page.locator(".row progress").first.wait_for()
            made.append(kept(seen.page, folder / "jobs-light.png"))
            seen.open(f"jobs/{live}")
            seen.page.locator(".iterate").wait_for()
            drawn(seen.page)
            seen.page.set_viewport_size({"width": LIGHT[0], "height": TALL})
            seen.page.wait_for_timeout(4000)
            made.append(kept(seen.page, folder / "live-light.png"))
            seen.open(f"jobs/{job}")
            drawn(seen.page)
            made.append(kept(seen.page, folder / "job-light.png"))
            seen.page.set_viewport_size({"width": LIGHT[0], "height": LIGHT[1]})
            seen.open(f"compare/{job}/{shown[2]}")
            seen.page.locator("canvas[data-array=amplitude_difference]").wait_for()
            seen.page.get_by_role("radio", name="Phase").click()
            seen.page.locator("canvas[data-array=phase_difference]").wait_for()
            made.append(kept(seen.page, folder / "compare-light.png"))
            seen.open("new")
            seen.page.get_by_label("path below a data root").fill("scan_0007.h5")
            seen.page.get_by_role("button", name="Look at it").click()
            seen.page.locator(".previews canvas").first.wait_for()
            made.append(kept(seen.page, folder / "new-light.png"))
        with tab(started, service.url, width=DARK[0], height=DARK[1], dark=True) as seen:
            seen.page.set_default_timeout(PATIENCE_MS)
            seen.page.goto(f"{service.url}/#key={KEY}")
            seen.page.locator(".row progress").first.wait_for()
            made.append(kept(seen.page, folder / "jobs-dark.png"))
            seen.open(f"jobs/{job}")
            drawn(seen.page)
            seen.page.get_by_role("radio", name="Phase", exact=True).first.click()
            made.append(kept(seen.page, folder / "job-dark.png"))
        with tab(started, service.url, width=NARROW[0], height=NARROW[1]) as seen:
            seen.page.set_default_timeout(PATIENCE_MS)
            seen.page.goto(f"{service.url}/#key={KEY}")
            seen.page.get_by_role("navigation").wait_for()
            seen.open(f"jobs/{job}")
            drawn(seen.page)
            made.append(kept(seen.page, folder / "job-narrow.png"))
        client.cancel(live)
    return made


def drawn(page: Page) -> None:
    """Returns when slices and surface are there."""
    page.locator(".plane canvas").first.wait_for()
    page.locator("canvas[data-of=phase]").wait_for()


def kept(page: Page, path: Path) -> Path:
    """The visible part."""
    page.mouse.move(0, 0)
    page.wait_for_timeout(1500)
    page.screenshot(path=path)
    Image.open(path).convert("RGB").save(path, optimize=True)
    return path
