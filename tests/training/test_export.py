"""training.export: what is exported is what the service serves."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from inphase.formats import RawScan
from service.clock import Clock
from service.inference.repository import Repository
from service.inference.runtime import Network
from service.options import Options
from service.pipeline import begin
from tests.training.test_fit import FILTERS
from training.data import HELD_OUT_SEED, sample
from training.export import export, load
from training.features import features_of
from training.fit import fit
from training.networks import predict
from training.settings import from_dict

pytestmark = [*FILTERS, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

NETWORKS: dict[str, dict[str, Any]] = {
    "autophasenn": {"width": 4},
    "cdinn": {"widths": [8, 16, 32]},
}


@pytest.mark.parametrize("name", NETWORKS)
def test_an_export_is_served(name: str, tmp_path: Path) -> None:
    """Fitted for a step, exported, accepted with its card, and through the pipeline the same image as torch's (half weights)."""
    settings = from_dict({
        "architecture": name, "network": NETWORKS[name], "objective": name, "batch": 2, "validation_crystals": 2,
        "average_decay": 0.0,
    })  # fmt: skip
    checkpoint = fit(settings, tmp_path / "run", crystals=2)
    export(checkpoint, tmp_path / "models", None, 1)  # named by its architecture
    repository = Repository(tmp_path / "models", name)
    assert repository.refused == []
    card = repository.resolve(name).card
    assert card.training["crystals_seen"] == 2
    network = Network(repository.resolve(name), threads=1)

    made = sample(settings, HELD_OUT_SEED + 5, 0, 1, torch.device("cpu")).measurement
    raw = RawScan(made.intensity[0].numpy(), None, "simulated", "simulated", mask=made.mask[0].numpy())
    draft, document = begin(raw, Options(refine="none", preprocess="none"), network, Clock())
    assert draft.prediction is not None
    assert document.model is not None
    assert document.model.name == name
    assert draft.problem.free is not None
    hidden = torch.from_numpy(draft.problem.free)[None]
    shown = type(made)(made.intensity, made.clean, made.mask, hidden)
    module = load(checkpoint)
    with torch.no_grad():
        amplitude, phase = predict(module.average, features_of(shown, module.network.inputs))
    box = slice(16, 48)
    found = draft.prediction
    np.testing.assert_allclose(found.amplitude[box, box, box], amplitude[0], atol=2e-3)
    np.testing.assert_allclose(found.phase[box, box, box], phase[0], atol=5e-3)
    assert not found.amplitude[:16].any()
