"""A toy model that knows one crystal, and that crystal's pattern."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import yaml
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from inphase import fourier

GRID = (64, 64, 64)
BOX = (32, 32, 32)


def crystal(shape: tuple[int, ...] = GRID) -> NDArray[np.complex64]:
    """A faceted crystal without a centre of symmetry, 22 voxels across in 64, with a smooth phase.

    shape: of the grid; more voxels are smaller ones.
    """
    z, y, x = np.mgrid[tuple(slice(-(n // 2), n // 2) for n in shape)].astype(np.float32) * (
        np.array(GRID, np.float32) / np.array(shape, np.float32)
    ).reshape(3, 1, 1, 1)
    inside = (abs(z) < 11) & (abs(y) < 10) & (abs(x) < 11) & (z + y + x < 16) & (x - y < 15)
    obj: NDArray[np.complex64] = np.where(inside, np.exp(0.5j * np.sin((z + 0.5 * x) / 8)), 0).astype(np.complex64)
    return obj


def counts(photons: float = 3e6, seed: int = 1, shape: tuple[int, ...] = GRID) -> NDArray[np.uint32]:
    """The crystal's rocking curve: Poisson counts, peak at N // 2. shape: a larger one reaches further out."""
    intensity = np.abs(fourier.forward(crystal(shape))).astype(np.float64) ** 2
    found: NDArray[np.uint32] = (
        np.random.default_rng(seed).poisson(intensity * (photons / intensity.sum())).astype(np.uint32)
    )
    return found


def write_model(
    root: Path,
    obj: NDArray[np.complex64],
    name: str = "inphase-bcdi",
    version: int = 1,
    *,
    echo: float = 0.0,
    **card: Any,
) -> Path:
    """A model that predicts `obj`, a volume or an image, whatever it sees, with a valid card;
    `card` changes keys of it. echo: times the sum of the largest values of its inputs, which is added to its outputs.
    """
    folder = root / name / str(version)
    folder.mkdir(parents=True)
    grid, half = obj.shape, BOX[: obj.ndim]
    box = tuple(slice(n // 2 - b // 2, n // 2 + b // 2) for n, b in zip(grid, half, strict=True))
    known = {"amplitude": np.abs(obj[box])[None], "phase": np.angle(obj[box])[None]}
    inputs = {"modulus": ["b", *grid], "valid": ["b", *grid], "autocorrelation": ["b", 2, *grid]}
    # every input is used, so that no runtime drops it; the sum of maxima times the echo has the batch axis
    nodes = [helper.make_node("ReduceMax", [i, f"axes_{i}"], [f"max_{i}"], keepdims=1) for i in ("modulus", "valid")]
    nodes += [
        helper.make_node("ReduceMax", ["autocorrelation", "axes_autocorrelation"], ["max_4"], keepdims=0),
        helper.make_node("Reshape", ["max_4", "column"], ["max_autocorrelation"]),
        helper.make_node("Sum", [f"max_{i}" for i in inputs], ["all"]),
        helper.make_node("Mul", ["all", "echo"], ["heard"]),
    ]
    nodes += [helper.make_node("Add", [f"known_{o}", "heard"], [o]) for o in known]
    constants = {f"known_{o}": a.astype(np.float32) for o, a in known.items()}
    constants |= {f"axes_{i}": np.arange(1, len(shape), dtype=np.int64) for i, shape in inputs.items()}
    constants |= {"echo": np.array(echo, np.float32), "column": np.array([-1] + [1] * obj.ndim, np.int64)}
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info(i, TensorProto.FLOAT, shape) for i, shape in inputs.items()],
        [helper.make_tensor_value_info(o, TensorProto.FLOAT, ["b", *half]) for o in known],
        [numpy_helper.from_array(array, key) for key, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    onnx.save(model, folder / "model.onnx")
    content = {
        "name": name,
        "version": version,
        "family": "volume" if obj.ndim == 3 else "image",
        "domain": ["counts", "modulus"],
        "features": "inphase.features.volume_features",
        "dc": "N//2",
        "grid": list(grid),
        "box": list(half),
        "oversampling": [2.3, 5.0],
        "inputs": list(inputs),
        "outputs": {"amplitude": [0.0, 1.0], "phase": [-3.1416, 3.1416]},
        "support_threshold": 0.1,
        "sha256": hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest(),
        "licence": "BSD-3-Clause",
        "training": {},
        "metrics": {},
    }
    (folder / "card.yaml").write_text(yaml.safe_dump(content | card))
    return folder


def write_scan_model(root: Path, name: str = "scans", **card: Any) -> Path:
    """A model of the family `scan` that draws parts of 16^2 of amplitude 0.5 and phase 0.2 for single patterns of 32^2,
    whatever it sees; `card` changes keys of it.
    """
    folder = root / name / "1"
    folder.mkdir(parents=True)
    constants = {
        "axes": np.array([2, 3], np.int64), "nothing": np.zeros((1, 1, 16, 16), np.float32),
        "half": np.array(0.5, np.float32), "turn": np.array(0.2, np.float32),
    }  # fmt: skip
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMax", ["patterns", "axes"], ["largest"], keepdims=1),
            helper.make_node("Mul", ["largest", "nothing"], ["empty"]),
            helper.make_node("Add", ["empty", "half"], ["amplitude"]),
            helper.make_node("Add", ["empty", "turn"], ["phase"]),
        ],
        "toy",
        [helper.make_tensor_value_info("patterns", TensorProto.FLOAT, ["b", 1, 32, 32])],
        [helper.make_tensor_value_info(o, TensorProto.FLOAT, ["b", 1, 16, 16]) for o in ("amplitude", "phase")],
        [numpy_helper.from_array(array, key) for key, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    onnx.save(model, folder / "model.onnx")
    content = {
        "name": name, "version": 1, "family": "scan", "domain": ["counts"], "dc": "N//2", "grid": [32, 32],
        "box": [16, 16], "oversampling": [2.0, 3.0], "inputs": ["patterns"],
        "outputs": {"amplitude": [0.0, 1.0], "phase": [-3.1416, 3.1416]}, "shown": "modulus", "offset": 0.0,
        "scale": 100.0, "photons": 1e7, "offsets_px": [[0.0, 0.0]], "probe_sha256": None, "pixel_m": None,
        "sha256": hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest(), "licence": "BSD-3-Clause",
        "training": {}, "metrics": {},
    }  # fmt: skip
    (folder / "card.yaml").write_text(yaml.safe_dump(content | card))
    return folder
