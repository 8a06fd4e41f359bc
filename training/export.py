"""A checkpoint becomes a version of the model repository: ONNX graph and card, checked against torch."""

import hashlib
import importlib.metadata
import logging
import math
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
import yaml
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from inphase.errors import DataError
from inphase.features import KNOWN_MASKED, KNOWN_PADDING, KNOWN_VALID
from inphase.models.installation import placing, vacant
from inphase.models.repository import CARD, GRAPH
from inphase.ptycho.prediction import digest
from training.data import HELD_OUT_SEED, batch_of, sample
from training.groups import scans
from training.losses import modulus_errors
from training.measured import MeasuredScan, measured_scan
from training.module import PhaseRetrieval
from training.networks import predict
from training.networks.coherence import Coherence
from training.networks.far_field import FarField
from training.networks.network import Network, in_format
from training.objectives.truth import nearest, subvoxel_aligned
from training.settings import FitSettings
from training.simulate.raster import Raster
from training.transform import spatial

OUTPUTS = ("amplitude", "phase")
SMALL = 256  # elements; smaller weights stay in single precision, their size does not matter
SUPPORT_THRESHOLD = 0.1  # of the largest amplitude (AutoPhaseNN 2022, Methods)


@dataclass(frozen=True)
class Agreement:
    """Difference between the exported graph and torch:
    rms within the predicted support, the median of simulated patterns.

    Patterns for which nothing is predicted do not count; nan where that is all of them.
    Twin, shift and phase offset aside: where a network iterates (training.networks.search), the last digits of single
    precision decide on these, of a few patterns also between two solutions.
    """

    amplitude: float
    phase_rad: float


def load(checkpoint: Path) -> PhaseRetrieval:
    """The module of a checkpoint on the CPU, in evaluation mode."""
    module = PhaseRetrieval.load_from_checkpoint(checkpoint, map_location="cpu", weights_only=True)
    return module.eval()


def graph(network: Network, arguments: Mapping[str, Tensor]) -> onnx.ModelProto:
    """The network as ONNX with a dynamic batch axis; only the network: features and FFTs stay outside.

    arguments: its inputs, of any two patterns.
    """
    batch = torch.export.Dim("batch", min=1, max=1024)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    program = torch.onnx.export(
        in_format(network, torch.contiguous_format), kwargs=dict(arguments), dynamo=True, verbose=False,
        opset_version=18, input_names=tuple(arguments), output_names=OUTPUTS,
        dynamic_shapes={name: {0: batch} for name in arguments},
    )  # fmt: skip
    assert program is not None  # only None when the exporter writes the file itself
    return program.model_proto


def exact(network: nn.Module) -> set[str]:
    """Names of the matrices of its Fourier transforms and convolutions:
    rounded, the bright would spill over the weak.
    """
    exacting = [(name, module) for name, module in network.named_modules() if isinstance(module, FarField | Coherence)]
    return {f"{name}.{buffer}" for name, module in exacting for buffer, _ in module.named_buffers()}


def rounded(network: Network) -> Network:
    """The network with the weights that its version will hold: what is said of the version is said of these."""
    kept = exact(network)
    with torch.no_grad():
        for name, weights in (*network.named_parameters(), *network.named_buffers()):
            if weights.numel() >= SMALL and name not in kept:
                weights.copy_(weights.half())
    return network


def halve(model: onnx.ModelProto, kept: Collection[str]) -> onnx.ModelProto:
    """Store the large weights in half precision behind a Cast; the arithmetic stays in single precision.

    kept: names of what stays in single precision whatever its size.
    """
    nodes = []
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or math.prod(tensor.dims) < SMALL or tensor.name in kept:
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), f"{name}.half"))
        nodes.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT, name=f"{name}.single"))
    kept = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(nodes + kept)
    strip(model.graph)
    del model.graph.value_info[:]  # shapes of inner values: not needed, and half of them would now be stale
    onnx.checker.check_model(model)
    return model


def strip(graph: onnx.GraphProto) -> None:
    """Remove what the exporter notes on each node, of its loops as well: where in the code it comes from."""
    for node in graph.node:
        del node.metadata_props[:]
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                strip(attribute.g)


def agreement(path: Path, network: Network, settings: FitSettings, crystals: int = 8) -> Agreement:
    """Compare the ONNX file with torch on held-out simulated patterns."""
    features = batch_of(settings, HELD_OUT_SEED + 1, 0, crystals, torch.device("cpu")).features(network.inputs)
    with torch.no_grad():
        expected = torch.polar(*predict(network, features))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found = torch.polar(
        *map(torch.from_numpy, session.run(OUTPUTS, {name: value.numpy() for name, value in features.items()}))
    )
    # of a group of patterns there is an object for each
    expected, found = (objects.reshape(-1, *settings.box) for objects in (expected, found))
    expected = subvoxel_aligned(nearest(expected, found), found)
    over = spatial(expected)
    inside = expected.abs() > SUPPORT_THRESHOLD * expected.abs().amax(over, keepdim=True)
    offset = (found * expected.conj()).sum(over, keepdim=True)
    turn = (found * expected.conj() * offset.conj()).angle()

    def typical(difference: Tensor) -> float:
        return float(((difference.square() * inside).sum(over) / inside.sum(over)).sqrt().nanmedian())

    return Agreement(typical(found.abs() - expected.abs()), typical(turn))


def card(module: PhaseRetrieval, name: str, version: int, found: Agreement, metrics: dict[str, Any]) -> dict[str, Any]:
    """What the service needs to know of the model, and what its users should (docs/reference/models.md)."""
    s = module.settings
    return {
        "name": name,
        "version": version,
        "architecture": s.architecture,
        "family": s.family,
        **(of_scans(s) if s.family == "scan" else of_patterns(s)),
        "dc": "N//2",
        "grid": list(s.frame),
        "box": list(s.box),
        "batch": "dynamic",
        "inputs": list(module.network.inputs),
        "outputs": {"amplitude": [0.0, 1.0], "phase": [-math.pi, math.pi]},
        "weights": "float16",
        "training": {
            "data": f"{learned_from(s)}, objective {s.objective} (training.objectives)",
            **module.record,
            "earlier": module.earlier,  # the runs that its weights have been through before
            "code_version": importlib.metadata.version("inphase"),
            "torch": str(torch.__version__),
        },
        "agreement_with_torch": asdict(found),
        "metrics": metrics,
        "licence": "BSD-3-Clause",
    }


def learned_from(settings: FitSettings) -> str:
    """What the patterns of the training were, for people."""
    if settings.measured:
        of = measured_scan(settings.measured, settings.frame[0])
        return f"{len(of.fitted)} of {len(of.measured)} frames of the measured scan {Path(settings.measured.scan).name}"
    kinds = {
        "volume": "fast simulator",
        "image": "crystals of domains" if settings.domains else "particles",
        "scan": "scans of simulated objects",
    }
    return f"training.simulate ({kinds[settings.family]})"


def of_patterns(settings: FitSettings) -> dict[str, Any]:
    """What is told of networks for single patterns alone."""
    volume = settings.family == "volume"
    return {
        "domain": ["counts", "modulus"],
        "features": "inphase.features.volume_features",
        "normalisation": {
            "modulus": "sqrt(I) / max over the known voxels",
            "autocorrelation": "inverse transform of the known intensity over its central value",
            "valid": {"valid": KNOWN_VALID, "padding": KNOWN_PADDING, "masked": KNOWN_MASKED},
        },
        "oversampling": list(settings.crystals.oversampling if volume else oversampled(settings)),
        "support_threshold": SUPPORT_THRESHOLD,
    }


def of_scans(settings: FitSettings) -> dict[str, Any]:
    """What is told of networks for scans alone: what a measurement must be like for them to be asked."""
    of: MeasuredScan | Raster
    if settings.measured:
        of = measured_scan(settings.measured, settings.frame[0])
        assert of.measured.probe is not None
        beam, offsets, pixel = of.measured.probe, [[0.0, 0.0]], of.measured.pixel_m
    else:
        assert settings.raster is not None
        of = scans(settings.raster, settings.frame[0], settings.seed)
        beam, offsets, pixel = of.probe[None], of.offsets.tolist(), None
    # the disc whose power is the probe's
    diameter = 2 * math.sqrt(float(np.square(np.abs(of.probe)).sum()) / math.pi)
    return {
        "domain": ["counts"],
        "oversampling": [round(settings.frame[0] / diameter, 2)] * 2,
        "shown": "modulus",
        "offset": 0.0,
        "scale": of.scale,
        "photons": of.photons,
        "offsets_px": offsets,
        "probe_sha256": digest(beam),
        "pixel_m": pixel,
    }


def oversampled(settings: FitSettings) -> tuple[float, float]:
    """The oversampling of a frame along the longer axis of its particle or crystal: lowest and highest."""
    short, long = (settings.domains or settings.particles).half_length
    return round(min(settings.frame) / (2 * long), 2), round(min(settings.frame) / (2 * short), 2)


def plain(value: Any) -> Any:
    """Tuples as lists, for YAML."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    return [plain(v) for v in value] if isinstance(value, (list, tuple)) else value


def held_out_figures(module: PhaseRetrieval) -> dict[str, Any]:
    """What training saw last on its validation crystals: chi2 of the network alone, median and 95th percentile; of a
    network of scans the means of all figures.
    """
    if module.settings.family == "scan":
        return held_out_means(module)
    size, count = module.settings.batch, module.settings.validation_crystals
    found = []
    with torch.no_grad():
        for number in range(count // size):
            batch = sample(module.settings, HELD_OUT_SEED, number, size, torch.device("cpu"))
            amplitude, phase = predict(module.average, batch.features(module.network.inputs))
            found.append(modulus_errors(torch.polar(amplitude, phase), batch.measurement)[1])
    chi2 = torch.cat(found).numpy()
    return {
        "crystals": len(chi2),
        "chi2_median": round(float(np.median(chi2)), 5),
        "chi2_95th_percentile": round(float(np.percentile(chi2, 95)), 5),
    }


def held_out_means(module: PhaseRetrieval) -> dict[str, Any]:
    """Means over the groups that training is validated on, of an object or of frames that it has not seen."""
    size, count = module.settings.batch, module.settings.validation_crystals
    with torch.no_grad():
        figures = [
            module.pursue(module.average, batch_of(module.settings, HELD_OUT_SEED, number, size, torch.device("cpu")))[
                1
            ]
            for number in range(count // size)
        ]
    means = {name: float(torch.stack([one[name] for one in figures]).mean()) for name in figures[0]}
    return {"groups": count // size * size, **{name: round(mean, 5) for name, mean in means.items()}}


def export(
    checkpoint: Path, models: Path, name: str | None, version: int, metrics: dict[str, Any] | None = None
) -> Path:
    """Write models/<name>/<version>/{model.onnx, card.yaml} and return the folder; a version is never overwritten.

    name: None for that of the architecture. metrics: reference figures on real measurements, added to those on held-out
    simulated crystals. Raises DataError for a network that predicts nothing, ModelError where the version exists.
    """
    module = load(checkpoint)
    name = name or module.settings.architecture
    vacant(models, name, version)
    network = in_format(rounded(module.average), torch.contiguous_format)
    seen = "measured" if module.settings.measured else "simulated"
    figures = {seen: held_out_figures(module), "real": metrics or {}}
    arguments = batch_of(module.settings, HELD_OUT_SEED, 0, 2, torch.device("cpu")).features(network.inputs)
    model = halve(graph(network, arguments), exact(network))
    with tempfile.TemporaryDirectory() as scratch:
        draft = Path(scratch) / "model.onnx"
        onnx.save(model, draft)
        found = agreement(draft, network, module.settings)
        if math.isnan(found.amplitude):
            raise DataError(
                f"{checkpoint} predicts nothing, an amplitude of 0 everywhere, for every pattern it was tried on: not "
                "exported; train again from another seed or at a lower learning rate"
            )
    return published(model, card(module, name, version, found, figures), models)


def published(model: onnx.ModelProto, content: dict[str, Any], models: Path) -> Path:
    """Write a graph and its card, but for the checksum, as the version that the card says it is; the folder."""
    content = {name: plain(value) for name, value in content.items()}
    target = vacant(models, content["name"], content["version"])
    helper.set_model_props(model, {"card": yaml.safe_dump(content, sort_keys=False)})
    with placing(target) as folder:
        draft = folder / GRAPH
        onnx.save(model, draft)
        # the checksum is of the file with the card inside, so that only the file beside it can carry it
        content["sha256"] = hashlib.sha256(draft.read_bytes()).hexdigest()
        (folder / CARD).write_text(yaml.safe_dump(content, sort_keys=False))
    return target
