"""Weights that others have published become versions of the model repository."""

import importlib.metadata
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray

from inphase.errors import DataError
from inphase.models.installation import vacant
from training.export import graph, published, strip
from training.networks.ptychonn import PhasePtychoNN


@dataclass(frozen=True)
class Origin:
    """Where weights come from, for the card. licence: of the weights; source: who published them, and where."""

    licence: str
    source: str


def adopt(weights: Path, frames: NDArray[Any], origin: Origin, models: Path, name: str, version: int) -> Path:
    """Write PtychoNN's published weights for phases (`PhasePtychoNN`) as models/<name>/<version>; the folder.

    weights: a state dictionary of torch, of which nothing but tensors is loaded. frames: (n, N, N) counts as the
    network is shown them. Its authors take the mean of a scan's patterns off and divide by the standard deviation of
    what is left. Neither is known at the first frame of a scan: they are those of these frames, once and for all.
    Raises DataError for other weights and for frames that are all alike, ModelError for a version that is there.
    """
    vacant(models, name, version)
    counts = np.asarray(frames, np.float64)
    mean = counts.mean(axis=0)
    scale = float((counts - mean).std())
    if not scale > 0:
        raise DataError(f"{len(counts)} frames that are all alike have no standard deviation: give those of a scan")
    network = PhasePtychoNN(torch.from_numpy((mean / scale).astype(np.float32)))
    known = network.state_dict()
    given = {
        key.replace("decoder2.", "phase."): value
        for key, value in torch.load(weights, map_location="cpu", weights_only=True).items()
    }
    if wrong := sorted((known.keys() - {"mean"}) ^ given.keys()):
        raise DataError(f"{weights} holds no weights of PtychoNN for phases: {wrong[0]} is missing or not known")
    network.load_state_dict(given | {"mean": known["mean"]})
    network.eval()
    shown = torch.from_numpy((counts[:2, None] / scale).astype(np.float32))
    model = graph(network, {"patterns": shown})
    strip(model.graph)
    side = counts.shape[-1]
    content = {
        "name": name, "version": version, "architecture": "ptychonn", "family": "scan", "domain": ["counts"],
        "shown": "counts", "offset": 0.0, "scale": scale, "photons": float(counts.sum() / len(counts)),
        "offsets_px": [[0.0, 0.0]], "probe_sha256": None, "pixel_m": None, "oversampling": [1.0, 1.0],
        "dc": "N//2", "grid": [side, side], "box": [side, side], "batch": "dynamic", "inputs": ["patterns"],
        "outputs": {"amplitude": [1.0, 1.0], "phase": [-math.pi, math.pi]}, "weights": "float32",
        "training": {
            "data": "published weights", "source": origin.source,
            "statistics": f"mean and standard deviation of {len(counts)} frames",
            "code_version": importlib.metadata.version("inphase"),
        },
        "agreement_with_torch": {"phase_rad": agreement(model, network, shown)}, "metrics": {},
        "licence": origin.licence,
    }  # fmt: skip
    return published(model, content, models)


def agreement(model: onnx.ModelProto, network: PhasePtychoNN, shown: torch.Tensor) -> float:
    """Largest difference of the phases of the graph and of torch, in rad."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(model, path)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        (found,) = session.run(["phase"], {"patterns": shown.numpy()})
    with torch.no_grad():
        _, expected = network(shown)
    return float(np.abs(found - expected.numpy()).max())
