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
