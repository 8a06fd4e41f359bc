"""On what a table was measured."""

import datetime
import os
import platform

import numpy as np
import pytest

from training.evaluate.machine import busyness, header, processor, versions


def test_the_header_says_when_and_on_what() -> None:
    """Today, the processor, the cores that this process may use, and the versions that decide the speed."""
    text = header()
    assert f"Measured {datetime.datetime.now(datetime.UTC).date().isoformat()} on {processor()}, " in text
    cores = len(os.sched_getaffinity(0))
    assert f"{cores} core{'s' * (cores > 1)}, Python {platform.python_version()}, " in text
    assert f"numpy {np.__version__}" in versions()
    assert versions() in text


def test_what_is_not_installed_is_left_out(monkeypatch) -> None:
    """Of the runtimes only one is there."""
    monkeypatch.setattr("training.evaluate.machine.PACKAGES", ("numpy", "no-such-package"))
    assert versions() == f"numpy {np.__version__}"


def test_busyness_is_the_load_of_the_last_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the three that the system tells, the first."""
    monkeypatch.setattr(os, "getloadavg", lambda: (2.44, 7.0, 9.0))
    assert "was 2.4 over the minute" in busyness()
