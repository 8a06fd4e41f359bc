"""The figures of the report: histograms, convergence, galleries. PNG, each below 400 kB."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from inphase import ambiguity
from training.evaluate.outcomes import REAL, Case, Model
from training.evaluate.plan import ER
from training.evaluate.run import Evaluated
from training.evaluate.scores import Score
from training.evaluate.sets import SETS

DPI = 80
CROP = 40  # voxels of a slice that the gallery shows
VISIBLE = 0.2  # of the largest amplitude: the phase is shown where there is something
GALLERY = (
    ("fast", (0, 1, 2, 3)),
    ("strong strain", (1,)),
    ("low counts", (0,)),
    ("gaps", (1,)),
    ("atomistic", (1,)),
    (REAL, (0, 1)),
)
CONVENTIONAL_COLOUR = "0.35"
COLOURS = ("C0", "C1", "C2", "C3", "C4", "C5")

History = Sequence[tuple[int, float]]


def histograms(found: Evaluated, out: Path) -> None:
    """chi2 of the noise-free modulus and SSIM of the amplitude over the first set (figure 2 a,
    b of AutoPhaseNN 2022).
    """
    cases = found.of(SETS[0].name)
    figure = Figure((10, 2.6 * len(found.models)), layout="constrained")
    grid = figure.subplots(len(found.models), 2, squeeze=False)
    chi2_bins, ssim_bins = np.logspace(-5, 0, 41).tolist(), np.linspace(0, 1, 41).tolist()
    for (left, right), model in zip(grid, found.models, strict=True):
        ways = [(name, [way(case) for case in cases]) for name, way in list(found.ways(model).items())[:3]]
        for (name, scores), colour in zip(ways, COLOURS, strict=False):
            _histogram(left, right, scores, chi2_bins, ssim_bins, name, colour, filled=True)
        conventional = [found.conventional(case) for case in cases]
        name = found.conventional_name
        _histogram(left, right, conventional, chi2_bins, ssim_bins, name, CONVENTIONAL_COLOUR, filled=False)
        left.set(xscale="log", xlabel="chi2 on the noise-free modulus", ylabel="crystals", title=model.label)
        right.set(xlabel="SSIM of the amplitude", title=f"{len(cases)} held-out crystals, set `{SETS[0].name}`")
        right.legend(fontsize=7, loc="upper left")
    figure.savefig(out, dpi=DPI)


def _histogram(
    left: Axes,
    right: Axes,
    scores: Sequence[Score | None],
    chi2_bins: Sequence[float],
    ssim_bins: Sequence[float],
    name: str,
    colour: str,
    *,
    filled: bool,
) -> None:
    against = [s.against for s in scores if s is not None and s.against is not None]
    style: dict[str, Any] = {"histtype": "step", "linewidth": 1.5}
    if filled:
        style = {"histtype": "stepfilled", "alpha": 0.45}
    left.hist(np.clip([a.clean_chi2 for a in against], 1e-5, 1), chi2_bins, color=colour, label=name, **style)
    right.hist(np.clip([a.ssim for a in against], 0, 1), ssim_bins, color=colour, label=name, **style)


def convergence(found: Evaluated, out: Path) -> None:
    """chi2 against the iteration from the network's start and from random ones (figure 4 and supplement 5 of
    AutoPhaseNN 2022).
    """
    panels = [(case.short, [case]) for case in found.of(REAL) if case.curves]
    simulated = [case for case in found.of(SETS[0].name) if case.curves]
    if simulated:
        panels.append((f"median of {len(simulated)} held-out crystals", simulated))
    figure = Figure((4.5 * len(panels), 4.4), layout="constrained")
    for axes, (title, cases) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _convergence(axes, found, cases)
        axes.set(yscale="log", xlabel="iteration", ylabel="chi2", title=title)
    figure.legend(*axes.get_legend_handles_labels(), fontsize=8, loc="outside lower center", ncols=3)
    figure.savefig(out, dpi=DPI)


def _convergence(axes: Axes, found: Evaluated, cases: Sequence[Case]) -> None:
    references = [found.reference(case) for case in cases]
    grey = CONVENTIONAL_COLOUR
    _line(
        axes,
        [min(r.conventional, key=lambda s: s.chi2).history for r in references],
        grey,
        "--",
        f"{found.plan.conventional}, random start",
    )
    _line(axes, [r.er for r in references], grey, ":", f"{found.plan.alone}, random start")
    for model, colour in zip(found.models, COLOURS, strict=False):
        ways = [found.way(model, case) for case in cases]
        _line(axes, [w.er for w in ways if w.er], colour, "-", f"{found.plan.alone}, {model.label}")
        _line(axes, [w.schedule for w in ways if w.schedule], colour, "--", f"{found.plan.conventional}, {model.label}")
        refined = [w.refined.history for w in ways if w.refined is not None]
        _line(axes, refined, colour, "o-", f"{found.plan.refine}, {model.label}")
    noise = [r.noise_chi2 for r in references if r.noise_chi2 is not None]
    if noise:
        level = float(np.median(noise))
        axes.axhline(level, color="k", linewidth=0.7)
        axes.text(1, level, "Poisson noise", fontsize=7, ha="right", va="bottom", transform=axes.get_yaxis_transform())


def _line(axes: Axes, histories: Sequence[History], colour: str, style: str, label: str) -> None:
    """The median of histories that were sampled at the same iterations."""
    if not histories:
        return
    iterations = [i for i, _ in histories[0]]
    median = np.median([[chi2 for _, chi2 in h] for h in histories], 0)
    axes.plot(iterations, median, style, color=colour, label=label, markersize=3, linewidth=1.2)


def gallery(found: Evaluated, model: Model, out: Path) -> None:
    """Slices of the truth, of the conventional best and of the network's way: amplitude and phase side by side."""
    cases = [c for name, numbers in GALLERY for c in found.of(name) if c.number in numbers]
    columns = ("truth", "conventional", "network", f"network + {ER}", f"network + {found.plan.refine}")
    figure = Figure((1.15 * 2 * len(columns) + 1, 1.2 * len(cases) + 0.3), layout="constrained")
    grid = figure.subplots(len(cases), 2 * len(columns), squeeze=False)
    for row, case in zip(grid, cases, strict=True):
        slices = _slices(found, model, case)
        for (left, right), name in zip(row.reshape(-1, 2), columns, strict=True):
            _show(left, right, slices.get(name))
        row[0].set_ylabel(_label(case), fontsize=7)
    for axes, name in zip(grid[0, ::2], columns, strict=True):
        axes.set_title(name, fontsize=8, loc="left")
    figure.savefig(out, dpi=DPI)


def _label(case: Case) -> str:
    if case.set is None:
        return case.short.replace(" crystal", "")
    decade = case.set.decade(case.number)
    return f"{case.of}\n1e{decade} to 1e{decade + 1}"


def _slices(found: Evaluated, model: Model, case: Case) -> dict[str, NDArray[np.complex64]]:
    """By the column's name; whole objects, of measurements, are brought onto the conventional one first."""
    known = found.references[case][1] | found.paths[model.label, case][1]
    names = {
        "truth": "truth",
        "conventional": "conventional",
        "network": "network",
        "fifty": f"network + {ER}",
        "refined": f"network + {found.plan.refine}",
    }
    slices = {names[key]: array for key, array in known.items()}
    if case.set is None:
        shift = ambiguity.to_centre(np.abs(slices["conventional"]))
        anchor = np.roll(slices["conventional"], shift, axis=(0, 1, 2))
        aligned = {name: ambiguity.align(obj, anchor)[0] for name, obj in slices.items()}
        slices = {name: obj[obj.shape[0] // 2] for name, obj in aligned.items()}
    return slices


def _show(left: Axes, right: Axes, image: NDArray[np.complex64] | None) -> None:
    for axes in (left, right):
        axes.set(xticks=[], yticks=[])
    if image is None:
        left.text(0.5, 0.5, "-", ha="center", va="center", transform=left.transAxes)
        return
    n = len(image)
    cut = image[n // 2 - CROP // 2 : n // 2 + CROP // 2, n // 2 - CROP // 2 : n // 2 + CROP // 2]
    amplitude = np.abs(cut)
    left.imshow(amplitude, cmap="viridis", vmin=0, vmax=max(float(np.percentile(amplitude, 99.5)), 1e-12))
    flat = cut * np.exp(-1j * np.angle((np.abs(cut) * cut).sum()))
    phase = np.where(amplitude > VISIBLE * amplitude.max(), np.angle(flat), np.nan)
    right.imshow(phase, cmap="twilight", vmin=-np.pi, vmax=np.pi)
