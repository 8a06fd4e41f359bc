"""A service whose networks answer what they have heard."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from service.settings import Settings
from tests.service.conftest import AppContext
from tests.toy import crystal, write_model, write_scan_model


@pytest.fixture(scope="session")
def echoing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with the default model, `echo` in two versions, and `moduli`, which takes no counts,
    and `scans`, a network of ptychographic scans.
    """
    root = tmp_path_factory.mktemp("echoing")
    write_model(root, crystal())
    write_model(root, np.ones_like(crystal()), name="echo", version=1, echo=0.5)
    write_model(root, np.ones_like(crystal()), name="echo", version=3, echo=1.0)
    write_model(root, np.ones_like(crystal()[32]), name="moduli", domain=["modulus"])
    write_scan_model(root)
    return root


@pytest.fixture
async def client(serving: AppContext, settings: Settings, echoing: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client of such a service without a queue."""
    async with serving(settings.model_copy(update={"models_dir": echoing})) as client:
        yield client
