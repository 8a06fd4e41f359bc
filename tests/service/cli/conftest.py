"""The command in this process, and what it reads."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray


@pytest.fixture
def scan(tmp_path: Path, pattern: NDArray[np.uint32]) -> Path:
    """The crystal's counts in a file."""
    path = tmp_path / "scan.npy"
    np.save(path, pattern)
    return path


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """`inphase serve` leaves the log of the tests alone."""
    monkeypatch.setattr("service.logs.configure_logging", lambda _: None)
