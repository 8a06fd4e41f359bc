"""examples/figure.py: what the demo shows."""

from pathlib import Path

import comparison
import figure
import pytest
from PIL import Image

from tests.examples.ellipsoid import crystal, result


@pytest.mark.parametrize("known", [True, False])
def test_figure(tmp_path: Path, known: bool) -> None:
    """A picture is drawn with and without a truth; no panel stays empty."""
    truth = crystal()
    results = {"network": result(truth, [0, 0, 0], [1, 1, 1]), "refined": result(truth, [0, 0, 0], [1, 1, 1])}
    views, _ = comparison.compare(results, truth if known else None)
    figure.draw(views, results["refined"], tmp_path / "figure.png", "test")
    with Image.open(tmp_path / "figure.png") as picture:
        assert picture.width > 1000
        assert len(set(picture.convert("RGB").resize((64, 64)).get_flattened_data())) > 500
