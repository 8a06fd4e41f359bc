"""The built page is what its sources give."""

import shutil
import subprocess
from pathlib import Path

import pytest

from service.page.serving import BUILT

SOURCES = Path(__file__).resolve().parents[2] / "page"
NODE = shutil.which("node")


@pytest.mark.skipif(
    NODE is None or not (SOURCES / "node_modules/esbuild").is_dir(),
    reason="the page's packages are not installed: `make page` does, where there are node and npm",
)
def test_the_bundle_is_what_the_sources_give(tmp_path: Path) -> None:
    """Byte by byte: who changes page/ runs `make page`."""
    assert NODE is not None
    subprocess.run([NODE, SOURCES / "build.mjs", tmp_path], check=True, timeout=60)
    built, made = ({path.name: path.read_bytes() for path in folder.iterdir()} for folder in (BUILT, tmp_path))
    assert built.keys() == made.keys()
    assert built == made
