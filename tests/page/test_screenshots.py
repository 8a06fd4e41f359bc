"""The pictures of the documentation."""

import os
import tempfile
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.page.screenshots import NAMES, shoot

pytestmark = pytest.mark.system


@pytest.mark.skipif("INPHASE_SCREENSHOTS" not in os.environ, reason="`make screenshots` takes them")
@pytest.mark.timeout(580)
def test_screenshots_are_made(chromium: Browser) -> None:
    """Those of the documentation: a simulated rocking curve and the shipped network, in the folder of the variable."""
    with tempfile.TemporaryDirectory(prefix="inphase-") as room:
        made = shoot(chromium, Path(room), Path(os.environ["INPHASE_SCREENSHOTS"]))
    assert {path.name for path in made} == NAMES
    assert all(5_000 < path.stat().st_size < 400_000 for path in made)
