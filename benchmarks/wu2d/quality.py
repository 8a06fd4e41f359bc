"""How good the predictions are: by the noise, by the span of the phase, by the run, and how long they take."""

import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.wu2d.network import CLEAN, FRAME, TEST_SEED, Network
from inphase.models.session import Session
from training.data import sample
from training.evaluate.images import ImageScores, scores
from training.export import load
from training.features import features_of
from training.networks import build, predict

SPANS = ((0.1, 0.3), (0.3, 0.5), (0.5, 0.7), (0.7, 0.9), (0.9, 1.0))  # turns


def summary(found: ImageScores) -> dict[str, float]:
    """Means, as the paper's fitted Gamma distributions have them, and medians."""
    means = {key: float(value.mean()) for key, value in vars(found).items()}
    return means | {f"{key}_median": float(value.median()) for key, value in vars(found).items()}


def quality(network: Network, count: int) -> dict[str, dict[str, float]]:
    """W1, W2: of clean patterns and of those with the noise and the hidden pixels of training."""
    found = {}
    for name, frames in (("clean", CLEAN), ("as trained", network.settings.frames)):
        batch = network.crystals(count, frames=frames)
        found[name] = summary(scores(network.predict(batch), batch.objects, FRAME))
    return found


def spans(network: Network, count: int) -> list[dict[str, float]]:
    """W8: the error of the same network by the span of the phase."""
    found = []
    for low, high in SPANS:
        particles = replace(network.settings.particles, span=(low, high))
        batch = network.crystals(count, particles=particles)
        found.append({"low": low, "high": high} | summary(scores(network.predict(batch), batch.objects, FRAME)))
    return found


def run_scores(run: Path, count: int) -> dict[str, Any]:
    """Of the averaged network of a run's last checkpoint, normalised anew, modulo twin."""
    module = load(run / "last.ckpt")
    module.settle()
    batch = sample(replace(module.settings, frames=CLEAN), TEST_SEED, 0, count, torch.device("cpu"))
    with torch.no_grad():
        images = torch.polar(*predict(module.average, features_of(batch.measurement, module.average.inputs)))
    found = summary(scores(images, batch.objects, FRAME))
    twin = module.settings.objective_options.get("twin", "broken")
    return {"twin": twin, "seed": module.settings.seed, "seen": module.seen} | found


def multiplications(network: Network) -> int:
    """That one prediction takes, each with its addition: those of the convolutions."""
    module = build(network.settings.architecture, **network.settings.network).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        predict(module, features_of(network.crystals(1).measurement, module.inputs))
    return int(counter.get_total_flops()) // 2


def prediction_times(network: Network) -> dict[str, float]:
    """W4: ms of processor time a pattern, alone and in batches of 64, on one thread and two; the network alone."""
    features = features_of(network.crystals(64).measurement, network.version.card.inputs)
    found = {"multiplications": float(multiplications(network))}
    for threads in (1, 2):
        session = Session(network.version, threads)
        for batch in (1, 64):
            part = {name: value[:batch].numpy() for name, value in features.items()}
            session.infer(part)
            best = math.inf
            for _ in range(20):
                started = time.process_time()
                session.infer(part)
                best = min(best, time.process_time() - started)
            found[f"{batch} on {threads}"] = 1e3 * best / batch
    return found
