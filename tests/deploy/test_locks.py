"""What the images install is pinned, and the pins are what the project asks for."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.deploy.known import DEPLOY, ROOT
from tests.deploy.pins import LINUX, pins

LOCKS = {"api": "cpu", "api-gpu": "gpu", "worker": "worker", "worker-gpu": "worker"}


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_is_what_the_project_asks_for(name: str) -> None:
    """Every dependency is pinned to a version that pyproject.toml allows; where not: `make locks`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    asked = [Requirement(r) for r in project["dependencies"] + extras[LOCKS[name]] + extras["tracing"]]
    locked = pins(name)
    wrong = [
        str(r)
        for r in asked
        if (r.marker is None or r.marker.evaluate(LINUX))
        and not (canonicalize_name(r.name) in locked and locked[canonicalize_name(r.name)] in r.specifier)
    ]
    assert not wrong, "renew the locks: make locks"


def test_each_image_has_what_it_needs_and_no_more() -> None:
    """No torch where the web service runs, no onnxruntime where the refinement does, CUDA only for GPUs."""
    cuda = {name: any(re.match("nvidia-|cuda-", package) for package in pins(name)) for name in LOCKS}
    assert cuda == {"api": False, "api-gpu": True, "worker": False, "worker-gpu": True}
    for name in ("api", "api-gpu"):
        assert "torch" not in pins(name)
    for name in ("worker", "worker-gpu"):
        assert not [package for package in pins(name) if package.startswith("onnxruntime")]
        assert str(pins(name)["torch"]) == "2.13.0"


@pytest.mark.parametrize("path", sorted((DEPLOY / "locks").iterdir()), ids=lambda path: path.name)
def test_a_lock_names_packages_not_places(path: Path) -> None:
    """Pins hold behind any mirror: no line names an index."""
    assert not re.search(r"://|^-", path.read_text(), re.MULTILINE)
