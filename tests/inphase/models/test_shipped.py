"""The models that ship: each is accepted, runs on what its card names, and goes through the pipeline."""

from pathlib import Path

import numpy as np
import pytest

from inphase.formats import RawScan
from inphase.imaging.clock import Clock
from inphase.imaging.options import Options
from inphase.imaging.way import begin
from inphase.models.card import ImageCard
from inphase.models.families import family
from inphase.models.repository import ModelVersion, Repository
from inphase.models.session import Session
from tests.toy import GRID, counts

MODELS = Path(__file__).parents[3] / "models"
REPOSITORY = Repository(MODELS, "inphase-bcdi")
SHIPPED = [version for name in REPOSITORY.names() for version in REPOSITORY.versions(name)]


def test_all_are_accepted() -> None:
    """No folder of the repository is refused, and the default model is there."""
    assert REPOSITORY.refused == []
    assert "inphase-bcdi" in REPOSITORY.names()


@pytest.mark.parametrize("version", SHIPPED, ids=lambda v: v.label)
def test_a_shipped_model_serves_a_simulated_pattern(version: ModelVersion) -> None:
    """Prepared, predicted and scored by the pipeline:
    an object inside the box, within the card's ranges, below 14 MiB.
    """
    assert version.path.stat().st_size < 14 * 2**20
    session = Session(version, threads=1)
    raw = RawScan(counts(), None, "simulated", "simulated")
    flat = isinstance(version.card, ImageCard)
    options = Options(refine="none", model=version.label, slice="center" if flat else "none")
    prepared, report = begin(raw, options, session, Clock())
    assert prepared.prediction is not None
    assert prepared.prediction.amplitude.shape == prepared.prediction.phase.shape == (GRID[:2] if flat else GRID)
    low, high = version.card.outputs["amplitude"]
    assert low <= prepared.prediction.amplitude.min() < prepared.prediction.amplitude.max() <= high
    assert np.abs(prepared.prediction.phase).max() <= np.pi + 1e-6
    graph = session._session
    for told, nodes in (
        (family(version.card).input_shapes(version.card), graph.get_inputs()),
        (family(version.card).output_shapes(version.card), graph.get_outputs()),
    ):
        assert {name: [*shape] for name, shape in told.items()} == {
            node.name: node.shape[1:] for node in nodes if node.name in told
        }
    assert report.model is not None
    assert report.model.name == version.card.name
    assert report.metrics.network is not None
    assert report.metrics.network.chi2 < 1  # better than nothing at all
