"""What every test may use."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.toy import counts, crystal, write_model

ROOT = Path(__file__).resolve().parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests come first: one that came last would run while the other processes have nothing left to do."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of third-party measurements (INPHASE_REAL_DATA, default ../shared/data); skips where it is absent."""
    folder = Path(os.environ.get("INPHASE_REAL_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "aps34idc_scan54").is_dir():
        pytest.skip(f"no real data at {folder}: set INPHASE_REAL_DATA to run this test")
    return folder


@pytest.fixture
def interruptible() -> Iterator[None]:
    """A shell's background jobs ignore SIGINT, and so would the tests in one."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with the default model, which knows the crystal, and `blind`, which predicts a full box."""
    root = tmp_path_factory.mktemp("models")
    write_model(root, crystal())
    write_model(root, np.ones_like(crystal()), name="blind")
    return root


@pytest.fixture(scope="session")
def pattern() -> NDArray[np.uint32]:
    """The crystal's counts."""
    return counts()
