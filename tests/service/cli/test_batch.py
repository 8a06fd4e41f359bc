"""Many scans at the terminal."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from inphase.errors import CancelledError
from service.cli import batch
from service.cli.terminal import Stage


@pytest.mark.usefixtures("interruptible")
def test_interrupted_batches_end_soon(scan: Path, tmp_path: Path) -> None:
    """Ctrl-C: what runs is told, what waits is not begun, and the summary knows."""
    stopped: list[int] = []

    def work(number: int, scan: batch.Scan, stage: Stage, cancelled: Callable[[], bool]) -> dict[str, Any]:
        if number == 1:
            time.sleep(0.3)  # as a person would: when all that can run runs
            os.kill(os.getpid(), signal.SIGINT)
        while not cancelled():
            time.sleep(0.01)
        stopped.append(number)
        raise CancelledError("told")

    scans = [batch.Scan(scan, str(tmp_path / f"{number}.npz")) for number in range(5)]
    ended = batch.run(scans, work, 2, Console(stderr=True))
    assert [scan.state for scan in ended] == ["cancelled"] * 5
    assert sorted(stopped) == [0, 1]
