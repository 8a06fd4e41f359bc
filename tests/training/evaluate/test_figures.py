"""training.evaluate.figures: they are drawn."""

import numpy as np
from PIL import Image as Picture

from tests.training.evaluate.conftest import MODEL
from training.evaluate import figures


def test_the_figures_are_drawn_and_small(evaluated, tmp_path):
    """PNGs of below 400 kB that are not blank."""
    figures.histograms(evaluated, tmp_path / "histograms.png")
    figures.convergence(evaluated, tmp_path / "convergence.png")
    figures.gallery(evaluated, MODEL, tmp_path / "gallery.png")
    for path in tmp_path.iterdir():
        assert path.stat().st_size < 400_000
        assert np.asarray(Picture.open(path).convert("L")).std() > 10
