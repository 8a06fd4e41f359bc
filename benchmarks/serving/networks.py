"""The networks that are asked: a real one, and one that does next to nothing, so that what is left is the door."""

import hashlib
import shutil
from pathlib import Path
from typing import Final

import onnx
import yaml
from onnx import TensorProto, helper

from inphase.models.repository import ModelVersion, Repository

IDLE: Final = "idle"


def repository(root: Path, real: ModelVersion) -> Repository:
    """A repository with the real network and the idle one, which takes and answers the same tensors."""
    folder = root / real.card.name / str(real.card.version)
    shutil.copytree(real.path.parent, folder)
    idle = root / IDLE / "1"
    idle.mkdir(parents=True)
    onnx.save(_halving(), idle / "model.onnx")
    content = yaml.safe_load((folder / "card.yaml").read_text()) | {
        "name": IDLE,
        "version": 1,
        "sha256": hashlib.sha256((idle / "model.onnx").read_bytes()).hexdigest(),
    }
    (idle / "card.yaml").write_text(yaml.safe_dump(content))
    return Repository(root, real.card.name)


def _halving() -> onnx.ModelProto:
    """Every second voxel of each axis, as amplitude and as phase."""
    steps = [helper.make_tensor(name, TensorProto.INT64, [3], [value] * 3) for name, value in
             (("starts", 0), ("ends", 64), ("steps", 2))]  # fmt: skip
    axes = helper.make_tensor("axes", TensorProto.INT64, [3], [1, 2, 3])
    nodes = [
        helper.make_node("Slice", ["modulus", "starts", "ends", "axes", "steps"], [name])
        for name in ("amplitude", "phase")
    ]
    graph = helper.make_graph(
        nodes,
        IDLE,
        [helper.make_tensor_value_info("modulus", TensorProto.FLOAT, ["b", 64, 64, 64])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["b", 32, 32, 32]) for name in ("amplitude", "phase")],
        [*steps, axes],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
