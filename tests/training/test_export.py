"""training.export: what is exported is what the service serves."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import yaml

from inphase import ptycho
from inphase.errors import DataError
from inphase.formats import RawScan
from inphase.imaging.clock import Clock
from inphase.imaging.options import Options
from inphase.imaging.way import begin
from inphase.models.card import ScanCard
from inphase.models.repository import ModelError, Repository
from inphase.models.session import Session
from inphase.ptycho.measurement import from_arrays
from inphase.ptycho.prediction import digest, joined
from inphase.ptycho.prediction import predict as predict_scan
from tests.toy import crystal, write_model
from tests.training.measured_scans import saved
from tests.training.small import FILTERS
from training.data import HELD_OUT_SEED, sample
from training.export import agreement, exact, export, load, published, rounded
from training.features import features_of
from training.fit import fit
from training.groups import chosen, scans
from training.networks import predict
from training.networks.network import Network
from training.settings import FitSettings, from_dict

pytestmark = [
    *FILTERS,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:# The axis name"),  # a loop's states share the batch axis, as they should
]

NETWORKS: dict[str, dict[str, Any]] = {
    # the search amplifies rounding: what becomes of it in a graph is its own test's matter
    "inphase-bcdi": {
        "search": [[1, 0, 4]],
        "corrections": 1,
        "patch": 8,
        "widths": [8],
        "depths": [1],
        "correction_widths": [8],
        "correction_depths": [1],
    },
    "autophasenn": {"width": 4},
    "cdinn": {"widths": [8, 16, 32]},
    "wu2d": {"widths": [4, 8, 16]},
    "inphase-2d": {"widths": [8], "starts": 2, "iterations": 1, "kept": 1, "rounds": 1},
}
OBJECTIVES = {
    "inphase-bcdi": "correlation",
    "autophasenn": "autophasenn",
    "cdinn": "cdinn",
    "wu2d": "wu2d",
    "inphase-2d": "outline",
}
AXES = {"wu2d": 2, "inphase-2d": 2}


def settings_of(name: str) -> FitSettings:
    """A network of this architecture that fits within a second."""
    axes = AXES.get(name, 3)
    return from_dict({
        "frame": [64] * axes, "box": [32] * axes, "architecture": name,
        "network": NETWORKS[name], "objective": OBJECTIVES[name], "batch": 2,
        "validation_crystals": 2, "average_decay": 0.0,
    })  # fmt: skip


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The checkpoint of an architecture after one step, the same each time."""
    folder = tmp_path_factory.mktemp("fitted")
    return cache(lambda name: fit(settings_of(name), folder / name, crystals=2))


@pytest.mark.slow
@pytest.mark.timeout(900)  # a cascade's graph takes half a minute of a free core
@pytest.mark.parametrize("name", NETWORKS)
def test_an_export_is_served(
    name: str, fitted: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fitted for a step, exported, accepted with its card, and through the pipeline the same image as torch's.

    The weights are rounded on both sides, so that single precision is all that differs. The search keeps every voxel in
    its support: single precision would decide where the edge of an untrained network's start is. Its rounds have one
    iteration, since each is written out in the graph. Where an untrained network draws next to nothing the phase
    amplifies rounding, to 0.7 % of the image.
    """
    monkeypatch.setattr("training.networks.search.THRESHOLD", 0.0)
    monkeypatch.setattr("training.networks.search.EVERY", 1)
    monkeypatch.setattr("training.networks.search.LAST", 1)
    monkeypatch.setattr("training.networks.outline.ROUND", 1)
    settings, checkpoint = settings_of(name), fitted(name)
    export(checkpoint, tmp_path / "models", None, 1)  # named by its architecture
    repository = Repository(tmp_path / "models", name)
    assert repository.refused == []
    card = repository.resolve(name).card
    assert card.training["crystals_seen"] == 2
    assert card.training["earlier"] == []
    session = Session(repository.resolve(name), threads=1)

    made = sample(settings, HELD_OUT_SEED + 5, 0, 1, torch.device("cpu")).measurement
    raw = RawScan(made.intensity[0].numpy(), None, "simulated", "simulated", mask=made.mask[0].numpy())
    prepared, report = begin(raw, Options(refine="none", preprocess="none"), session, Clock())
    assert prepared.prediction is not None
    assert report.model is not None
    assert report.model.name == name
    assert prepared.problem.free is not None
    hidden = torch.from_numpy(prepared.problem.free)[None]
    shown = type(made)(made.intensity, made.clean, made.mask, hidden)
    module = load(checkpoint)
    stored = {weights.name: weights.data_type for weights in onnx.load(repository.resolve(name).path).graph.initializer}
    matrices = exact(module.average) & stored.keys()
    assert bool(matrices) == (name in ("inphase-bcdi", "inphase-2d"))
    assert {stored[matrix] for matrix in matrices} <= {onnx.TensorProto.FLOAT}
    assert onnx.TensorProto.FLOAT16 in stored.values()
    with torch.no_grad():
        amplitude, phase = predict(rounded(module.average), features_of(shown, module.network.inputs))
    box = slice(16, 48)
    found = prepared.prediction
    image = (found.amplitude * np.exp(1j * found.phase))[(box,) * found.amplitude.ndim]
    expected = torch.polar(amplitude, phase)[0].numpy()
    assert np.linalg.norm(image - expected) < 0.02 * np.linalg.norm(expected)
    assert not found.amplitude[:16].any()


class Moved(Network):
    """A network whose answer stands a voxel beside, with another phase offset."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network, self.inputs = network, network.inputs

    def forward(self, **features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        amplitude, phase = self.network(**features)
        return amplitude.roll(1, -1), phase.roll(1, -1) + 0.5


def test_agreement_leaves_shift_and_offset_aside(fitted: Callable[[str], Path], tmp_path: Path) -> None:
    """The same graph against the network and against the same answer moved: single precision either way."""
    settings, checkpoint = settings_of("autophasenn"), fitted("autophasenn")
    path = export(checkpoint, tmp_path / "models", None, 1) / "model.onnx"
    network = rounded(load(checkpoint).average)
    for other in (network, Moved(network)):
        found = agreement(path, other, settings, crystals=2)
        assert found.amplitude < 1e-5
        assert found.phase_rad < 1e-4


def test_a_network_that_predicts_nothing_is_refused(fitted: Callable[[str], Path], tmp_path: Path) -> None:
    """A sigmoid that has run off to 0 everywhere: an error that says what to do, and no version."""
    state = torch.load(fitted("cdinn"), weights_only=True)
    *_, last = (name for name in state["state_dict"] if name.startswith("average.amplitude.") and name.endswith("bias"))
    state["state_dict"][last].fill_(-1e4)
    checkpoint = tmp_path / "last.ckpt"
    torch.save(state, checkpoint)
    with pytest.raises(DataError, match=r"predicts nothing.*another seed"):
        export(checkpoint, tmp_path / "models", None, 1)
    assert not list(tmp_path.glob("models/cdinn/*"))


def test_an_export_comes_whole_into_a_repository_that_a_service_watches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it is written there is no version of its name yet, nor a folder that the service would refuse aloud."""
    toy, models = write_model(tmp_path / "toy", crystal(), name="phase"), tmp_path / "models"
    model, content = onnx.load(toy / "model.onnx"), yaml.safe_load((toy / "card.yaml").read_text())
    save, seen = onnx.save, []

    def watched(model: onnx.ModelProto, path: Path) -> None:
        save(model, path)
        repository = Repository(models)
        seen.append((repository.names(), repository.refused))

    monkeypatch.setattr("training.export.onnx.save", watched)
    folder = published(model, content, models)
    assert seen == [([], [])]
    assert Repository(models).resolve("phase@1").path.parent == folder
    with pytest.raises(ModelError, match=r"phase@1 is in .* already"):
        published(model, content, models)


def test_a_network_of_scans_draws_the_same_in_torch_and_in_a_repository(tmp_path: Path) -> None:
    """Exported, accepted with what its card pins, and stitched to the object of torch's own parts."""
    settings = from_dict({
        "frame": [32, 32], "box": [16, 16], "architecture": "ptychopinn", "network": {"width": 4}, "batch": 2,
        "objective": "ptychopinn", "validation_crystals": 2, "average_decay": 0.0,
        "raster": {"objects": 1, "side": 60, "stride": 4, "phase": True, "photons": 1e6},
    })  # fmt: skip
    checkpoint = fit(settings, tmp_path / "run", crystals=2)
    export(checkpoint, tmp_path / "models", "scans", 1)
    version = Repository(tmp_path / "models").resolve("scans")
    card = version.card
    assert isinstance(card, ScanCard)
    assert settings.raster is not None
    of = scans(settings.raster, 32, settings.seed)
    assert (card.scale, card.probe_sha256) == (of.scale, digest(of.probe[None]))
    assert card.photons == pytest.approx(1e6, rel=1e-2)
    assert set(card.metrics["simulated"]) == {"groups", "R", "chi2", "amplitude", "phase"}
    assert version.content["agreement_with_torch"]["amplitude"] < 1e-5

    measured = from_arrays(of.counts, of.windows[:, 1:], probe=of.probe)
    found = predict_scan(measured, Session(version, threads=1))
    groups = chosen(of, np.arange(len(of.groups)), torch.device("cpu"))
    network = rounded(load(checkpoint).average)
    with torch.no_grad():
        parts = torch.polar(*predict(network, groups.features(network.inputs))).numpy()
    expected = joined(measured, parts.reshape(-1, 16, 16), of.groups.reshape(-1))
    # amplitudes are of order 1/2, and single precision is all that differs
    np.testing.assert_allclose(found.object, expected.object, atol=1e-5)


def test_a_network_of_a_measured_scan_draws_that_scan(tmp_path: Path) -> None:
    """Its card pins the probe of the file; what is drawn is stitched of torch's own parts, frame by frame."""
    path = saved(tmp_path)
    settings = from_dict({
        "frame": [32, 32], "box": [32, 32], "architecture": "ptychopinn", "batch": 2, "validation_crystals": 2,
        "network": {"width": 4, "neighbours": 1, "whole": True}, "objective": "ptychopinn", "average_decay": 0.0,
        "objective_options": {"by_light": True}, "measured": {"scan": str(path), "neighbours": 3},
    })  # fmt: skip
    checkpoint = fit(settings, tmp_path / "run", crystals=2)
    export(checkpoint, tmp_path / "models", "scans", 1)
    version = Repository(tmp_path / "models").resolve("scans")
    card, measured = version.card, ptycho.read(path)
    assert isinstance(card, ScanCard)
    assert measured.probe is not None
    assert (card.offsets_px, card.probe_sha256) == ([(0.0, 0.0)], digest(measured.probe))
    assert "18 of 36 frames of the measured scan scan.npz" in card.training["data"]
    assert set(card.metrics["measured"]) == {"groups", "R", "chi2"}

    found = predict_scan(measured, Session(version, threads=1))
    shown = torch.from_numpy(np.sqrt(measured.patterns) / card.scale).float()[:, None]
    with torch.no_grad():
        parts = torch.polar(*predict(rounded(load(checkpoint).average), {"patterns": shown})).numpy()
    expected = joined(measured, parts[:, 0], np.arange(36))
    # amplitudes are of order 1/2, and single precision is all that differs
    np.testing.assert_allclose(found.object, expected.object, atol=1e-5)
