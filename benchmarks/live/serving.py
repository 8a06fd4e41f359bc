"""A service of its own for a benchmark."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx

from benchmarks import ROOT
from inphase.client import Client

KEY: Final = "0123456789abcdefghij"
_START_S: Final = 120.0


@contextmanager
def service(**settings: str) -> Iterator[Client]:
    """A service of its own with one worker. settings: further variables of its environment."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = int(found.getsockname()[1])
    with tempfile.TemporaryDirectory() as folder:
        own = {"INPHASE_API_KEY": KEY, "INPHASE_STATE_DIR": folder, "INPHASE_MODELS_DIR": str(ROOT / "models")}
        process = subprocess.Popen(
            [sys.executable, "-m", "service.cli", "serve", "--port", str(port)], env=os.environ | own | settings,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            with Client(f"http://127.0.0.1:{port}", KEY) as client:
                _until_there(f"http://127.0.0.1:{port}", process)
                yield client
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def store_kind() -> str:
    """One sentence: what the store of such a service lies on."""
    folder = Path(tempfile.gettempdir()).resolve()
    found = [line.split()[1:3] for line in Path("/proc/self/mounts").read_text().splitlines()]
    _, kind = max((mount for mount in found if folder.is_relative_to(mount[0])), key=lambda mount: len(mount[0]))
    told = ", in memory, where nothing waits for a disk" if kind == "tmpfs" else ""
    return f"The service's store lay on {kind}{told}."


def _until_there(url: str, process: subprocess.Popen[bytes]) -> None:
    """Returns when the service has a worker."""
    end = time.monotonic() + _START_S
    while True:
        try:
            answer = httpx.get(f"{url}/v1/status", headers={"Authorization": f"Apikey {KEY}"}, timeout=5)
            if answer.status_code == 200 and answer.json()["queue"]["workers"]:
                return
        except httpx.TransportError:
            pass
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError("the service does not come up")
        time.sleep(0.2)
