"""Weights that a training begins with: those of a checkpoint, or of a version of the model repository."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
import yaml
from google.protobuf.message import DecodeError
from onnx import numpy_helper
from torch import Tensor

from training.module import PhaseRetrieval

SAME = 1e-2  # of the mean output: so much rounding alone never makes
COUNTER = "num_batches_tracked"  # of a normalisation whose momentum is fixed: nothing follows from it


def weights_of(path: Path) -> PhaseRetrieval:
    """The module on the CPU whose average has the weights of `path`, a checkpoint or the `model.onnx` of a version.

    ValueError where the graph has no card, where its exporter has merged weights, so that they cannot be read back, and
    where the network of today draws something else with them.
    """
    if path.suffix == ".onnx":
        return of_version(path)
    return PhaseRetrieval.load_from_checkpoint(path, map_location="cpu", weights_only=True)


def of_version(path: Path) -> PhaseRetrieval:
    """The module that a version was exported from: its averaged weights, rounded as the version holds them, and what
    its card tells of the runs that they have been through. The state of the optimiser is not in it. Raises as
    `weights_of`.
    """
    try:
        model = onnx.load(path)
    except DecodeError as error:
        raise ValueError(f"{path} is no ONNX graph: {error}") from error
    card = yaml.safe_load(next((entry.value for entry in model.metadata_props if entry.key == "card"), "")) or {}
    training: dict[str, Any] = card.get("training") or {}
    if not {"settings", "crystals_seen", "wall_time_s"} <= training.keys():
        raise ValueError(f"{path} does not tell how it was trained: give a version that inphase-train has exported")
    crystals, seconds = (told or math.inf for told in (training["settings"].get("budget"), training.get("budget_s")))
    module = PhaseRetrieval(training["settings"], crystals, seconds, training.get("earlier", ()))
    module.seen, module.elapsed = training["crystals_seen"], training["wall_time_s"]
    held = {tensor.name.removesuffix(".half"): tensor for tensor in model.graph.initializer}
    expected = module.network.state_dict()
    if lost := [name for name in expected if name not in held and not name.endswith(COUNTER)]:
        raise ValueError(
            f"{path} does not hold {len(lost)} of its weights under their own names, such as {lost[0]}, as its "
            "exporter merged them with what surrounds them: begin with a checkpoint of that training"
        )
    state = {name: _tensor(held[name]) if name in held else value for name, value in expected.items()}
    module.network.load_state_dict(state)
    module.average.load_state_dict(state)
    _compare(path, module)
    return module


def _compare(path: Path, module: PhaseRetrieval) -> None:
    """Raises ValueError where the graph makes something else of noise than the network with its weights: the network
    has been changed since, and a run would begin from a blur.
    """
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    noise = torch.Generator().manual_seed(0)
    given = {
        held.name: torch.rand([side if isinstance(side, int) else 1 for side in held.shape], generator=noise)
        for held in session.get_inputs()
    }
    outputs = session.run(None, {name: values.numpy() for name, values in given.items()})
    with torch.no_grad():
        drawn = module.average.eval()(**given)
    module.average.train()
    for told, found, wanted in zip(session.get_outputs(), drawn, outputs, strict=True):
        away = float(np.abs(found.numpy() - wanted).mean())
        if not away <= SAME * float(np.abs(wanted).mean()):
            raise ValueError(
                f"{path}: with its weights the network {module.settings.architecture} of this version of inphase draws "
                f"another {told.name} (by {away:.2g} on average), as it has been changed since: train from nothing, or "
                "begin with a version that was exported since then"
            )


def _tensor(held: onnx.TensorProto) -> Tensor:
    return torch.from_numpy(numpy_helper.to_array(held).astype(np.float32))
