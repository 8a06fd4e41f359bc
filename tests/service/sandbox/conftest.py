"""A sandbox that reads below one folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.sandbox.sandbox import Sandbox


@pytest.fixture(autouse=True)
def readers_when_needed() -> None:
    """Here the process that reads is started as it always is."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that may be read."""
    return tmp_path_factory.mktemp("data").resolve()


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where bodies lie."""
    return tmp_path_factory.mktemp("scratch").resolve()


@pytest.fixture(scope="module")
def sandbox(root: Path, scratch: Path) -> Iterator[Sandbox]:
    """Started; readings may take five seconds."""
    with Sandbox(5.0, (root,), scratch) as started:
        yield started
