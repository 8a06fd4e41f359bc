"""A real RunEngine and a real Tiled server, in an environment of their own, with a real service: the page's example."""

import json
import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.docs.examples import URL, blocks
from tests.service.conftest import KEY
from tests.system.serving import free_port, running, until

ROOT = Path(__file__).resolve().parents[2]
PAGE = "docs/how-to/reconstruct-bluesky-runs.md"
TILED_URL = "http://127.0.0.1:8010"  # where the page supposes it

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def bluesky() -> Path:
    """The programs of an environment with bluesky and Tiled: `make bluesky` makes it, INPHASE_BLUESKY names another."""
    folder = Path(os.environ.get("INPHASE_BLUESKY", ROOT / ".bluesky")) / "bin"
    if not (folder / "tiled").is_file():
        pytest.skip("there is no environment with bluesky and Tiled: `make bluesky` makes one")
    return folder


@contextmanager
def tiled_server(programs: Path, folder: Path, key: str) -> Iterator[str]:
    """A catalogue of Tiled that reads the detector's files; its address."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [programs / "tiled", "serve", "catalog", folder / "catalog.db", "--init", "--write", folder / "written",
               "--write", f"duckdb:///{folder}/tables.db",
               "--read", folder, "--api-key", key, "--host", "127.0.0.1", "--port", str(port)]  # fmt: skip
    with (folder / "tiled.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    try:

        def answers() -> bool:
            assert process.poll() is None, (folder / "tiled.log").read_text()
            try:
                return httpx.get(f"{url}/api/v1/", timeout=5).status_code == 200
            except httpx.TransportError:
                return False

        until(answers, 240)  # it loads much
        yield url
    finally:
        process.terminate()
        process.wait(30)


def test_runs_become_images_in_tiled(bluesky: Path, tmp_path: Path, models: Path, pattern: NDArray[np.uint32]) -> None:
    """A rocking curve that a detector has written into a file and Tiled serves comes back as the image that the service
    makes of the same counts; a run that was aborted and a map are told and not sent.
    """
    folder, key = tmp_path / "beamline", secrets.token_hex(20)
    folder.mkdir()
    np.save(folder / "counts.npy", pattern)
    with running(tmp_path / "state", models) as service, tiled_server(bluesky, folder, key) as tiled:
        source = [block.replace(URL, service.url).replace(TILED_URL, tiled) for block in blocks(PAGE, "python")]
        clean = {name: value for name, value in os.environ.items() if not name.startswith("INPHASE_")}
        done = subprocess.run(
            [bluesky / "python", Path(__file__).with_name("beamline.py"), folder],
            env=clean | {"PYTHONPATH": str(ROOT), "INPHASE_API_KEY": KEY, "TILED_API_KEY": key},
            input=json.dumps(source), capture_output=True, text=True, timeout=240,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        told = json.loads((folder / "told.json").read_text())
        curve, lost, uneven, again = told["outcomes"]
        assert (curve["run"], curve["state"]) == (told["uid"], "succeeded")
        assert curve["uri"].startswith(tiled)
        assert (lost["state"], "'fail'" in lost["reason"]) == ("none", True)
        assert "th did not move in equal steps" in uneven["reason"]
        assert again["state"] == "succeeded"
        assert told["loaded"] == []
        with service.client() as client:
            job = client.job(curve["job"])
            assert told["document"]["trust"] == client.job(again["job"])["trust"]
            assert job["input"]["shape"] == list(pattern.shape)
            np.testing.assert_array_equal(np.load(folder / "amplitude.npy"), client.array(again["job"], "amplitude"))
            same = client.reconstruct(pattern, wait=60, refine="fast", reuse=False)
            np.testing.assert_array_equal(client.array(same["id"], "object"), client.array(curve["job"], "object"))
        assert told["arrays"]["object"] == [64, 64, 64]
