"""inphase.results.page: one file, with everything in it."""

import base64
import io
import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import inphase
from inphase.errors import DataError
from inphase.geometry import Geometry
from inphase.models.repository import Repository
from inphase.models.session import Sessions
from inphase.results import page
from inphase.results.page import draw_comparison
from inphase.results.source import result_of
from tests.inphase.imaging.whole_way import raw
from tests.inphase.results.conftest import Crystal


@pytest.fixture(scope="module")
def finished(models_dir: Path, pattern: NDArray[np.uint32]) -> inphase.Reconstruction:
    """A result of ours."""
    geometry = Geometry(np.diag([2e6, 5e6, 4e6]), np.array([0.0, 2.7e10, 0.0]))
    sessions = Sessions(Repository(models_dir, "inphase-bcdi"), threads=1)
    return inphase.reconstruct(raw(pattern, geometry), refine="10*ER", models=sessions)


def test_a_page_needs_nothing_else(finished: inphase.Reconstruction, tmp_path: Path) -> None:
    """Pictures inside, no address; trust, resolution along three axes and the steps are in words."""
    inphase.show(finished, tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text()
    assert "http" not in text.partition("<details>")[0]
    pictures = re.findall(r'src="data:image/png;base64,([^"]+)"', text)
    assert len(pictures) == 3
    assert all(Image.open(io.BytesIO(base64.b64decode(picture))).size[0] > 500 for picture in pictures)
    assert finished.report.trust is not None
    for words in (
        f"<b>{finished.report.trust.level}</b>",
        "resolution (half-photon FSC)",
        "resolution along axis 2",
        "mean d-spacing",
        "oversampling",
    ):
        assert words in text, words


def test_a_picture_of_any_result(finished: inphase.Reconstruction, crystal: Crystal, tmp_path: Path) -> None:
    """Ours from its file, and another program's, whose document says where it came from."""
    inphase.write(finished, tmp_path / "r.cxi")
    inphase.show(tmp_path / "r.cxi", tmp_path / "r.png")
    with Image.open(tmp_path / "r.png") as picture:
        assert picture.size == (1700, 950)
    theirs = crystal(source="<theirs>.cxi")
    text = page._page(theirs.source, f"{theirs.program}: {theirs.origin}", result_of(theirs), None, {"llk": 0.2}, [])
    assert "&lt;theirs&gt;.cxi" in text
    assert "<theirs>" not in text
    assert "PyNX: here" in text
    assert "0.2" in text


def test_what_cannot_be_shown(crystal: Crystal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another ending, an empty object, and a machine without matplotlib: each says what to do; nothing is left."""
    with pytest.raises(DataError, match=r"\.png or \.html"):
        inphase.show(crystal(), tmp_path / "r.pdf")
    with pytest.raises(DataError, match="empty"):
        inphase.show(crystal(np.zeros((8, 8, 8), np.complex64)), tmp_path / "r.png")
    dark = replace(crystal(np.zeros((8, 8, 8), np.complex64)), support=np.ones((8, 8, 8), bool))
    with pytest.raises(DataError, match="empty"):
        inphase.show(dark, tmp_path / "r.png")
    monkeypatch.delitem(sys.modules, "inphase.results.figures", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delattr("inphase.results.figures", raising=False)
    with pytest.raises(DataError, match=r"inphase\[figures\]"):
        inphase.show(crystal(), tmp_path / "r.png")
    assert not list(tmp_path.iterdir())


def test_figures_of_a_comparison_are_pictures(crystal: Crystal, tmp_path: Path) -> None:
    """As PNG, and as nothing else; the figures are JSON."""
    found = inphase.compare(crystal(), crystal())
    with pytest.raises(DataError, match=r"\.png"):
        draw_comparison(found, tmp_path / "c.svg")
    assert json.dumps(found.to_builtins())
