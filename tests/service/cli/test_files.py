"""The command line reads in a process apart where it can, and in its own elsewhere."""

import platform
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import psutil
import pytest

from service.cli.files import reader
from service.sandbox.order import FileOrder


@pytest.mark.parametrize(("system", "processes"), [("Linux", 1), ("Darwin", 0)])
def test_both_read_the_same(system: str, processes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One template process lives beside the command on Linux, none elsewhere; the counts are those of the file."""
    counts = np.arange(8 * 8 * 8, dtype=np.uint16).reshape(8, 8, 8)
    np.save(tmp_path / "scan.npy", counts)
    monkeypatch.setattr(platform, "system", lambda: system)
    before = len(psutil.Process().children())
    with ExitStack() as held:
        read = reader(held)
        assert np.array_equal(read(FileOrder(tmp_path / "scan.npy")).array, counts)
        assert len(psutil.Process().children()) - before == processes
