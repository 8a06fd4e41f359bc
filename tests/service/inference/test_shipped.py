"""The models that ship: each is accepted, runs on what its card names, and goes through the pipeline."""

from pathlib import Path

import numpy as np
import pytest

from inphase.formats import RawScan
from service.clock import Clock
from service.inference.repository import ModelVersion, Repository
from service.inference.runtime import Network
from service.options import Options
from service.pipeline import begin
from tests.service.conftest import GRID, counts

MODELS = Path(__file__).parents[3] / "models"
REPOSITORY = Repository(MODELS, "inphase-bcdi")
SHIPPED = [version for name in REPOSITORY.names() for version in REPOSITORY.versions(name)]


def test_all_are_accepted() -> None:
    """No folder of the repository is refused, and the default model is there."""
    assert REPOSITORY.refused == []
    assert "inphase-bcdi" in REPOSITORY.names()


@pytest.mark.parametrize("version", SHIPPED, ids=lambda v: v.label)
def test_a_shipped_model_serves_a_simulated_pattern(version: ModelVersion) -> None:
    """Prepared, predicted and scored by the pipeline: an object inside the box, within the card's ranges, below 14 MiB."""
    assert version.path.stat().st_size < 14 * 2**20
    network = Network(version, threads=1)
    raw = RawScan(counts(), None, "simulated", "simulated")
    draft, document = begin(raw, Options(refine="none", model=version.label), network, Clock())
    assert draft.prediction is not None
    assert draft.prediction.amplitude.shape == draft.prediction.phase.shape == GRID
    low, high = version.card.outputs["amplitude"]
    assert low <= draft.prediction.amplitude.min() < draft.prediction.amplitude.max() <= high
    assert np.abs(draft.prediction.phase).max() <= np.pi + 1e-6
    assert document.model is not None
    assert document.model.name == version.card.name
    assert document.metrics.network is not None
    assert document.metrics.network.chi2 < 1  # better than nothing at all
