"""The figures of the page."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from benchmarks.wu2d.network import FRAME, Network
from benchmarks.wu2d.refinements import RECIPE
from training.evaluate.images import scores
from training.objectives.truth import nearest
from training.objectives.wu2d import targets
from training.transform import far_modulus


def figure(found: dict[str, Any], path: Path) -> None:
    """chi2 against iterations from the four initialisations (figure 5 f), the repeats as mean and deviation."""
    canvas = Figure((7, 4.2), layout="constrained")
    axis = canvas.subplots()
    for (name, way), colour in zip(found.items(), ("C0", "C2", "C1", "C3"), strict=True):
        mean, std = np.array(way["mean"]), np.array(way["std"])
        axis.plot(way["iterations"], mean, color=colour, label=f"{name} ({len(way['final'])})")
        axis.fill_between(way["iterations"], np.maximum(mean - std, mean / 3), mean + std, color=colour, alpha=0.2)
        axis.plot([600], [np.mean(way["final"])], "o", color=colour)
    axis.set(yscale="log", xlabel="iteration", ylabel="chi2 of the modulus", title=f"{RECIPE}, one held-out pattern")
    axis.legend(fontsize=8)
    canvas.savefig(path, dpi=80)


def gallery(network: Network, path: Path, columns: int = 6) -> None:
    """Patterns, true and predicted amplitudes and phases (figure 4)."""
    batch = network.crystals(64)
    found = network.predict(batch)
    worth = scores(found, batch.objects, FRAME)
    order = worth.modulus.argsort()[torch.linspace(3, 60, columns).long()]  # from the good to the bad
    truth = nearest(batch.objects, found)
    rows = (far_modulus(batch.objects, FRAME).sqrt(), *targets(truth), found.abs(), found.angle() / (2 * math.pi) + 0.5)
    canvas = Figure((1.4 * columns, 1.5 * len(rows)), layout="constrained")
    axes = canvas.subplots(len(rows), columns)
    names = ("pattern", "amplitude", "phase", "predicted amplitude", "predicted phase")
    for line, images, name in zip(axes, rows, names, strict=True):
        for axis, i in zip(line, order.tolist(), strict=True):
            inside = (truth if name in names[:3] else found)[i].abs() > 0.1
            image = images[i] if "phase" not in name else torch.where(inside, images[i], math.nan)
            axis.imshow(
                image.numpy(),
                cmap="hsv" if "phase" in name else "viridis",
                vmin=0,
                vmax=None if name == "pattern" else 1,
            )
            axis.set(xticks=[], yticks=[])
            if name == "pattern":
                axis.set_title(f"chi2 {float(worth.modulus[i]):.3f}", fontsize=8)
        line[0].set_ylabel(name, fontsize=8)
    canvas.savefig(path, dpi=80)
