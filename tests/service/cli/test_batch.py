"""Many scans at the terminal."""

import io
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
from service.cli.terminal import Stage, progress, stages


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


def console(terminal: bool) -> tuple[Console, io.StringIO]:
    """A console and what was printed to it."""
    written = io.StringIO()
    return Console(file=written, force_terminal=terminal, width=200, soft_wrap=True), written


def test_without_a_terminal_stages_are_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """One for each stage, and one every ten seconds of what goes on in it: a log shows that the command lives."""
    now = 100.0
    monkeypatch.setattr("service.cli.terminal.time.monotonic", lambda: now)
    shown, written = console(False)
    with progress(shown) as bars, stages(bars, "scan.npy") as stage:
        stage("reading")
        advance = stage("refining")
        for iteration in range(1, 31):
            now += 1.0
            advance(iteration, 30)
    assert written.getvalue().splitlines() == [
        "scan.npy: reading", "scan.npy: refining", "scan.npy: refining, 10 of 30", "scan.npy: refining, 20 of 30",
        "scan.npy: refining, 30 of 30",
    ]  # fmt: skip


def test_at_a_terminal_stages_are_a_bar() -> None:
    """Nothing is left of it."""
    shown, written = console(True)
    with progress(shown) as bars, stages(bars) as stage:
        stage("refining")(1, 2)
        bars.refresh()
    assert "refining" in written.getvalue()
    assert "refining, 1 of 2" not in written.getvalue()
