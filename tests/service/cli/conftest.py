"""The command in this process, and what it reads."""

import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from service import cli

Run = tuple[int, str, str]


@pytest.fixture
def scan(tmp_path: Path, pattern: NDArray[np.uint32]) -> Path:
    """The crystal's counts in a file."""
    path = tmp_path / "scan.npy"
    np.save(path, pattern)
    return path


@pytest.fixture
def inphase(models_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    """`inphase("models")` runs the command; exit code, standard output, standard error."""
    monkeypatch.setenv("INPHASE_MODELS_DIR", str(models_dir))
    monkeypatch.setenv("INPHASE_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("INPHASE_THREADS", "1")
    monkeypatch.delenv("INPHASE_URL", raising=False)

    def run(*arguments: str | Path) -> Run:
        monkeypatch.setattr(sys, "argv", ["inphase", *map(str, arguments)])
        code: str | int | None = 0
        try:
            cli.main()
        except SystemExit as ended:
            code = ended.code
        captured = capsys.readouterr()
        return (code if isinstance(code, int) else 0), captured.out, captured.err

    return run


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """`inphase serve` leaves the log of the tests alone."""
    monkeypatch.setattr("service.telemetry.configure_logging", lambda: None)
