"""The pictures of the page in docs/images: `make screenshots` takes them of a simulated crystal and the shipped network."""

from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser

from tests.page.browser import tab

SIZES = {"light": (1280, 860), "dark": (1280, 860), "narrow": (390, 844)}


def shoot(started: Browser, url: str, key: str, job: str, folder: Path, source: str = "scan_12.npy") -> list[Path]:
    """The list and one job in light and dark, the job on a phone, a measurement before it is submitted."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for look, (width, height) in SIZES.items():
        with tab(started, url, width=width, height=height, dark=look == "dark") as seen:
            page = seen.page
            page.goto(f"{url}/#key={key}")
            page.get_by_role("navigation").wait_for()

            def keep(view: str, look: str = look, page=page) -> None:  # type: ignore[no-untyped-def]
                page.mouse.move(0, 0)
                page.wait_for_timeout(700)
                path = folder / f"{view}-{look}.png"
                page.screenshot(path=path)
                Image.open(path).convert("RGB").quantize(256).save(path, optimize=True)
                made.append(path)

            if look != "narrow":
                page.locator(".row img").first.wait_for()
                keep("jobs")
            seen.open(f"jobs/{job}")
            page.locator("canvas[data-of=phase]").wait_for()
            page.locator(".plane canvas").first.wait_for()
            if look == "light":
                page.set_viewport_size({"width": width, "height": 1500})
            keep("job")
            if look == "light":
                page.set_viewport_size({"width": width, "height": height})
                seen.open("new")
                page.get_by_label("path below a data root").fill(source)
                page.get_by_role("button", name="Look at it").click()
                page.locator(".previews canvas").first.wait_for()
                keep("new")
    return made
