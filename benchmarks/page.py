"""The page with 1,000 jobs: when it can be used, how much a browser loads, how smoothly the surface turns.

python -m benchmarks.page               # about a minute; needs Chromium (make browser)
"""

import gzip
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import quote
from uuid import uuid4

import numpy as np
import typer
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks import ROOT
from inphase.client import Client
from inphase.fourier import forward
from service.intake.acceptance import RESULT
from service.jobs.entry import Origin
from service.jobs.record import Records
from service.jobs.state import JobState
from service.jobs.store import Store
from service.page.serving import BUILT
from training.evaluate.machine import busyness, header
from training.evaluate.tables import table

_REPEATS: Final = 7
_SECONDS: Final = 3.0  # over which frames are counted
_FLAGS: Final = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--no-sandbox", "--disable-dev-shm-usage"]
# milliseconds since the navigation began, when all jobs are listed and when a filter has been answered
_USABLE: Final = """async count => {
    const until = async done => { while (!done()) await new Promise(requestAnimationFrame); return performance.now(); };
    const first = await until(() => document.querySelectorAll('.row').length > 1);
    const all = await until(() => document.querySelector('.count')?.textContent.startsWith(`${count} of`));
    const chip = [...document.querySelectorAll('.chip')].find(one => one.textContent.startsWith('failed'));
    const begun = performance.now();
    chip.click();
    const answered = await until(() => !document.querySelector('.row:not(.head, .failed)'));
    return [first, all, answered - begun];
}"""
_FRAMES: Final = """async seconds => {
    let frames = 0;
    const end = performance.now() + 1000 * seconds;
    while (performance.now() < end) { await new Promise(requestAnimationFrame); frames += 1; }
    return frames / seconds;
}"""


def crystal() -> NDArray[np.uint32]:
    """Counts of a faceted crystal with a smooth phase, 64^3."""
    z, y, x = np.mgrid[-32:32, -32:32, -32:32].astype(np.float32)
    inside = (abs(z) < 11) & (abs(y) < 10) & (abs(x) < 11) & (z + y + x < 16) & (x - y < 15)
    intensity = np.abs(forward(np.where(inside, np.exp(0.5j * np.sin((z + 0.5 * x) / 8)), 0))) ** 2
    found: NDArray[np.uint32] = np.random.default_rng(0).poisson(intensity * (3e6 / intensity.sum())).astype(np.uint32)
    return found


@contextmanager
def service(folder: Path) -> Iterator[tuple[str, str]]:
    """Address and key of a running service with one worker."""
    key = secrets.token_hex(20)
    environment = {"INPHASE_API_KEY": key, "INPHASE_STATE_DIR": str(folder), "PATH": str(Path(sys.executable).parent)}
    command = [sys.executable, "-m", "service.cli", "serve", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            line = next(line for line in process.stdout if line.startswith("inphase is ready on "))
            yield line.split()[4], key
        finally:
            process.terminate()


def filled(url: str, key: str, state: Path, count: int) -> str:
    """So many jobs, every tenth of them failed; the id of one that has an image.

    One is computed. The others are written into the service's records with its document and a second name of its
    result, since it is the list that is measured.
    """
    with Client(url, key) as client:
        done = str(client.reconstruct(crystal(), refine="20*ER", wait=200)["id"])
    records, store = Records(f"unix://{quote(str(state / 'redis/redis.sock'))}"), Store(state / "store", 2**40)
    record = records.get(done)
    for number in range(1, count):
        job_id, reader = uuid4().hex, uuid4().hex
        records.create(job_id, record.document, asked="{}", reader=reader, origin=Origin(record.owner))
        if number % 10:
            store.link(done, record.result, job_id, RESULT)
            records.conclude(job_id, reader, JobState.SUCCEEDED, document=record.document, result=RESULT)
        else:
            records.conclude(
                job_id, reader, JobState.FAILED, reason="the scan is empty: none of its voxels has a count"
            )
    records.close()
    return done


def opened(browser: Browser, url: str, key: str) -> Page:
    """A tab that has logged in and shows nothing yet; nothing is cached."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    answer = context.request.post(f"{url}/v1/login", data={"key": key}, headers={"Inphase-Page": "1"})
    assert answer.ok, answer.text()
    return context.new_page()


def usable(browser: Browser, url: str, key: str, count: int) -> list[tuple[float, float]]:
    """Milliseconds to the first jobs, to all of them, and of a filter; of each the median and the least."""
    runs = []
    for _ in range(_REPEATS):
        page = opened(browser, url, key)
        page.goto(url, wait_until="commit")
        runs.append(page.evaluate(_USABLE, count))
        page.context.close()
    return [(statistics.median(run), min(run)) for run in zip(*runs, strict=True)]


def smoothness(browser: Browser, url: str, key: str, job: str) -> float:
    """Frames a second of the surface while it turns by itself."""
    page = opened(browser, url, key)
    page.goto(f"{url}/#/jobs/{job}")
    page.locator("canvas[data-of=phase]").wait_for()
    page.get_by_role("button", name="Turn").click()
    frames = float(page.evaluate(_FRAMES, _SECONDS))
    page.context.close()
    return frames


def importing() -> tuple[float, float]:
    """Seconds of the processor that a fresh interpreter needs to load the client: median and least."""
    code = "import time; begun = time.process_time(); import inphase.client; print(time.process_time() - begun)"
    runs = [
        float(subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True).stdout)
        for _ in range(_REPEATS)
    ]
    return statistics.median(runs), min(runs)


def main(
    out: Annotated[Path, typer.Option(help="The table is written to this Markdown file.")] = ROOT
    / "benchmarks/results/page.md",
    count: Annotated[int, typer.Option(help="So many jobs are listed.")] = 1000,
) -> None:
    """Measure and write the table.

    Example: python -m benchmarks.page --out /tmp/page.md
    """
    found = next((path for name in ("chromium", "google-chrome") if (path := shutil.which(name))), None)
    if found is None:
        raise typer.BadParameter("there is no Chromium on this machine: `make browser` installs it")
    busy = busyness()
    with tempfile.TemporaryDirectory() as name, service(Path(name)) as (url, key):
        job = filled(url, key, Path(name), count)
        with sync_playwright() as driver, driver.chromium.launch(executable_path=found, args=_FLAGS) as browser:
            version = browser.version
            first, every, filtered = usable(browser, url, key, count)
            frames = smoothness(browser, url, key, job)
    code = [path for path in sorted(BUILT.iterdir()) if path.suffix in (".html", ".css", ".js")]
    packed = sum(len(gzip.compress(path.read_bytes())) for path in code)
    rows = [
        ["first jobs on the screen, ms after the navigation began", *(f"{ms:.0f}" for ms in first)],
        [f"all {count} jobs listed, ms after the navigation began", *(f"{ms:.0f}" for ms in every)],
        ["a filter answered, ms after the click", *(f"{ms:.0f}" for ms in filtered)],
        ["frames a second of the turning surface, drawn by the processor alone", f"{frames:.0f}", ""],
        ["code that the browser loads, kB packed", f"{packed / 1000:.0f}", ""],
        ["loading inphase.client, ms of the processor", *(f"{1000 * seconds:.0f}" for seconds in importing())],
    ]
    lines = ["# The page\n", f"{header()} Chromium {version}.\n"]
    lines.append(
        f"Service, worker and browser on one machine, nothing cached, {_REPEATS} loads. {busy} The first jobs can "
        "be opened and filtered before the others have come. One command makes this page: "
        "`python -m benchmarks.page`.\n"
    )
    lines += table(["", "median", "least"], rows)
    out.write_text("\n".join(lines) + "\n")
    typer.echo(f"wrote {out}")


if __name__ == "__main__":
    typer.run(main)
