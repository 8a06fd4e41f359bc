"""The toy networks, and a short conventional recipe."""

from pathlib import Path

import pytest

from inphase.imaging.options import CONVENTIONAL
from inphase.models.repository import Repository
from inphase.models.session import Sessions
from inphase.retrieval import recipe as recipes

SHORT = "60*HIO+20*ER | SW(every=10,threshold=0.1,sigma=2..1)"  # enough from a random start at 3e6 photons


@pytest.fixture(scope="session")
def sessions(models_dir: Path) -> Sessions:
    """The toy repository."""
    return Sessions(Repository(models_dir, "inphase-bcdi"), threads=1)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A short conventional recipe: 600 iterations take a test too long."""
    monkeypatch.setitem(recipes.PRESETS, CONVENTIONAL, SHORT)
