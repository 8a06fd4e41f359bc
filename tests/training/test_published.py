"""training.published: the weights of others draw what they drew."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.transform import resize

from inphase.errors import DataError
from inphase.models.card import ScanCard
from inphase.models.families import scan
from inphase.models.repository import Repository
from inphase.models.session import Session
from tests.training.small import FILTERS
from training.evaluate.measurements import REAL_DATA
from training.networks.ptychonn import PhasePtychoNN
from training.published import Origin, adopt

pytestmark = FILTERS
FOLDER = REAL_DATA / "ptychonn_235"
ORIGIN = Origin("BSD-3-Clause", "a test")


def test_the_golden_prediction_is_reproduced(tmp_path: Path) -> None:
    """Of 20 measured frames, by their authors' weights in our graph, beside what their own program answered.

    Single precision on both sides, through twenty layers, whose sums have up to 1152 terms of 6e-8 relative: 2e-5 rad,
    of phases that span more than one.
    """
    if not FOLDER.exists():
        pytest.skip("needs the folder ptychonn_235 of the real data (INPHASE_REAL_DATA)")
    with np.load(FOLDER / "test235_truncated.npz") as held:
        raw = held["reciprocal"].astype(np.float64)
    # their preparation: an eighth of the frame off each side, the rest resized, and what is below 3 set to 0
    frames = np.stack([resize(frame[64:-64, 64:-64], (128, 128), preserve_range=True) for frame in raw])
    frames[frames < 3] = 0
    weights = FOLDER / "model_ptychonn_bn_meanSubStdData.pth"
    folder = adopt(weights, frames, Origin("BSD-3-Clause", "LICENSE beside it"), tmp_path, "published", 1)
    assert os.path.getsize(folder / "model.onnx") < 4e6
    version = Repository(tmp_path).resolve("published")
    assert isinstance(version.card, ScanCard)
    tensors = scan.features(version.card, frames[:, None], np.ones(frames[:, None].shape, bool))
    found = np.angle(scan.decode(version.card, Session(version, threads=1).infer(tensors)))[:, 0]
    with Image.open(FOLDER / "golden_pred_phase.tiff") as image:
        for number, phase in enumerate(found):
            image.seek(number)
            golden = np.asarray(image)
            assert np.ptp(golden) > 1
            np.testing.assert_allclose(phase, golden, atol=2e-5)


def weights(path: Path) -> Path:
    """Of a fresh network, under the names of the published ones."""
    torch.manual_seed(0)
    state = PhasePtychoNN(torch.zeros(16, 16)).state_dict()
    torch.save({k.replace("phase.", "decoder2."): v for k, v in state.items() if k != "mean"}, path)
    return path


def test_adopted_weights_see_frames_as_their_authors_showed_them(tmp_path: Path) -> None:
    """Less the mean pattern, over the standard deviation of the rest; and the version says where it comes from."""
    frames = np.random.default_rng(0).poisson(30, (5, 16, 16))
    adopt(weights(tmp_path / "w.pth"), frames, ORIGIN, tmp_path / "models", "published", 3)
    version = Repository(tmp_path / "models").resolve("published@3")
    assert isinstance(version.card, ScanCard)
    assert version.content["training"]["source"] == "a test"
    left = frames - frames.mean(axis=0)
    network = PhasePtychoNN(torch.zeros(16, 16))
    given = torch.load(tmp_path / "w.pth", weights_only=True)
    network.load_state_dict(
        {k.replace("decoder2.", "phase."): v for k, v in given.items()} | {"mean": torch.zeros(16, 16)}
    )
    with torch.no_grad():
        _, expected = network.eval()(torch.from_numpy((left / left.std()).astype(np.float32))[:, None])
    tensors = scan.features(version.card, frames[:, None], np.ones((5, 1, 16, 16), bool))
    found = Session(version, threads=1).infer(tensors)
    np.testing.assert_allclose(found["phase"], expected.numpy(), atol=1e-5)
    np.testing.assert_array_equal(found["amplitude"], 1)


def test_other_weights_are_refused(tmp_path: Path) -> None:
    """With the first name that does not fit; nothing is written."""
    torch.save({"encoder.0.weight": torch.zeros(16, 1, 3, 3)}, tmp_path / "w.pth")
    with pytest.raises(DataError, match=r"no weights of PtychoNN.*encoder\.0\.bias"):
        adopt(tmp_path / "w.pth", np.eye(16)[None] * [[[1]], [[2]]], ORIGIN, tmp_path / "models", "published", 1)
    with pytest.raises(DataError, match="all alike"):
        adopt(tmp_path / "w.pth", np.ones((2, 16, 16)), ORIGIN, tmp_path / "models", "published", 1)
    assert not (tmp_path / "models").exists()
