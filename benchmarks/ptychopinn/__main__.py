"""PtychoPINN beside PtychoNN: tables 2 and 3 and figure 6 of Hoidn et al. (2023) at a small budget, and what it buys.

OMP_NUM_THREADS=1 python -m benchmarks.ptychopinn --models build/ptychopinn/models      # six minutes of one core

The model repository holds ptychopinn-lines, ptychonn-lines, ptychopinn-grf and ptychonn-grf, trained by
training/configs/{ptychopinn,ptychonn}-small.yaml, for grf with `--set raster.texture=random_field --set
raster.phase=true`; ptychopinn-lines-flat and ptychonn-lines-flat, which went on from the weights of the first two with
`--set raster.probe=flat`; and -large, with `--set raster.texture=large_features --set raster.phase=true`. Those that
are missing are left out. That of the ablation holds the cases of benchmarks.ptychopinn.ablation under any names.
Interrupted, it goes on: what was measured of a network is kept in build/ptychopinn as JSON.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from PIL import Image

from benchmarks import ROOT
from benchmarks.paper_scores import amplitude_scores, phase_scores
from benchmarks.ptychopinn.ablation import ablation
from benchmarks.ptychopinn.learning import curves
from benchmarks.ptychopinn.networks import (
    BATCH,
    NETWORKS,
    TEST_SEED,
    TEXTURES,
    TILE,
    Stitched,
    Trained,
    corner,
    in_turns,
    kept,
    test_raster,
    tiled,
    trained,
)
from inphase import ptycho
from inphase.models.families import scan as family
from inphase.ptycho.groups import neighbours
from training.evaluate.machine import header
from training.evaluate.tables import table
from training.simulate.raster import scan, squares

_RESULTS = ROOT / "benchmarks/results"


def budgets(networks: dict[tuple[str, str], Trained]) -> list[str]:
    """What was trained, and for how long."""
    rows = []
    for network in networks.values():
        held_out = network.version.content["metrics"]["simulated"]
        groups = sum(run.groups for run in network.runs)
        per_epoch = network.raster.objects * len(squares(network.raster, network.settings.frame[0])[1])
        rows.append([
            network.title, TEXTURES[network.texture], str(network.settings.network["width"]),
            " + ".join(f"{run.groups:,} {run.probe}" for run in network.runs),
            f"{groups * network.raster.neighbours:,}", f"{groups / per_epoch:.1f}", f"{network.minutes:.0f}",
            f"{held_out['R']:.3f}" if "R" in held_out else "-", f"{held_out['amplitude']:.4f}",
        ])  # fmt: skip
    head = ["network", "object", "width", "groups", "patterns", "epochs", "min", "R held out", "amplitude held out"]
    return [
        "## What was trained\n",
        "Minutes are those of one thread: CPU seconds of a step of training, measured with this page, times steps.\n",
        *table(head, rows),
    ]


def table_2(networks: dict[tuple[str, str], Trained]) -> list[str]:
    """The test object of each texture by the networks that were trained on it."""
    rows = [kept(f"table-2-{network.key}", partial(_known_kind, network)) for network in networks.values()]
    paper, honest = zip(*rows, strict=True)
    return [
        "## Table 2\n",
        "One held-out object of 392 x 392 pixels of each kind. By the paper's definitions, tiles of 10 x 10 pixels. "
        "The paper's own PSNR of amplitudes is 72.6 dB for PtychoPINN and 59.6 for PtychoNN on Lines, 91.9 and 82.4 on "
        "GRF:\n",
        *table(["object", "network", "MAE A", "PSNR A", "FRC50 A", "MAE phi", "PSNR phi", "FRC50 phi"], paper),
        "A corner of it, 1,024 patterns, stitched as `ptycho.predict` does it, global phase, plane, shift and scale "
        "removed, PSNR at the range of the truth, FRC as a share of Nyquist, R of these patterns:\n",
        *table(_HONEST, honest),
    ]


def _known_kind(network: Trained) -> tuple[list[str], list[str]]:
    """Figures of a held-out object of the kind that a network was trained on: the paper's, and honest ones."""
    name = [TEXTURES[network.texture], network.title]
    image, truth = tiled(network, test_raster(network, network, TILE))
    phase = phase_scores(image, truth).texts if network.raster.phase else ["-"] * 3
    honest = Stitched.of(network, test_raster(network, network, network.raster.step)).texts
    return [*name, *amplitude_scores(image, truth).texts, *phase], [*name, *honest]


_HONEST = [
    "object", "network", "correlation", "MAE A", "PSNR A / dB", "MAE phi / rad", "PSNR phi / dB", "FRC", "R",
]  # fmt: skip


def table_3(networks: dict[tuple[str, str], Trained]) -> list[str]:
    """The object that a network was trained on, and one of the other kind."""
    rows = []
    for network in networks.values():
        rows.append(kept(f"table-3-{network.key}-seen", partial(_drawn, network, None)))
        rows += [
            kept(f"table-3-{network.key}-{other.texture}", partial(_drawn, network, other))
            for other in networks.values()
            if other.title == network.title
            and other.raster.texture != network.raster.texture
            and other.raster.probe == network.raster.probe
        ]
    return [
        "## Table 3 and figure 6\n",
        "The paper's photograph has no clear licence. In its place a network of one kind of object draws the other "
        "kind, as in figure 6. By the paper's definitions:\n",
        *table(["network", "trained on", "drawn", "MAE A", "PSNR A", "FRC50 A"], rows),
    ]


def _drawn(network: Trained, other: Trained | None) -> list[str]:
    """A network's amplitude of an object of another one's kind, or of the first one that it learned from."""
    if other is None:
        own = network.raster_of(network, TILE)
        of = scan(own, network.card.grid[0], network.settings.seed, network.card.scale)
        what = f"seen in training: {TEXTURES[network.texture]}"
    else:
        of, what = test_raster(network, other, TILE), f"other kind: {TEXTURES[other.texture]}"
    image, truth = tiled(network, of)
    return [network.title, TEXTURES[network.texture], what, *amplitude_scores(image, truth).texts]


def starts(networks: dict[tuple[str, str], Trained]) -> list[str]:
    """The engine from nothing and from the networks' images: what is left after so many iterations."""
    rows = []
    for texture in TEXTURES:
        here = [one for one in networks.values() if one.texture == texture]
        for step in _STEPS if here else ():
            ways = [None, *(one for one in here if step == one.raster.step or one.raster.neighbours == 1)]
            rows += [
                kept(
                    f"starts-{texture}-{step}-{'nothing' if way is None else way.key}",
                    partial(_begun, here[0], step, way),
                )
                for way in ways
            ]
    return [
        "## As a start\n",
        "A corner of the test objects, the probe known and kept: R of all frames, and in brackets the correlation with "
        "the truth, after so many iterations of ePIE. A network of groups knows the step that it was trained for, one "
        "of single patterns takes any.\n",
        *table(["object", "step", "patterns", "begun from", *map(str, _COUNTS)], rows),
    ]


def _begun(kind: Trained, step: int, way: Trained | None) -> list[str]:
    """R and correlation after each of the numbers of iterations, of an object of a kind, from nothing or a network."""
    raster = replace(kind.raster, objects=1, step=step, stride=step, neighbours=1)
    of = scan(raster, kind.card.grid[0], TEST_SEED, kind.card.scale)
    measured, start = corner(of, step), None if way is None else way.session
    cells = [TEXTURES[kind.texture], str(step), str(len(measured)), "nothing" if way is None else way.title]
    for count in _COUNTS:
        result = ptycho.reconstruct(measured, _options(count), start=start)
        rows, columns = result.object.shape
        score = ptycho.compared(result.object, of.objects[0, :rows, :columns], result.coverage > 0.2)
        cells.append(f"{result.report.r_factor:.4f} ({score.correlation:.4f})")
    return cells


def _options(iterations: int) -> ptycho.Options:
    """ePIE with the probe and the positions as they are."""
    return ptycho.Options(f"{iterations}*EPIE", turn=False, probe_start=1000, hold_out=0.0)


_COUNTS = (1, 5, 20)
_STEPS = (4, 12)
DOSES = (1e9, 1e8, 1e7, 1e6, 1e5, 1e4)  # photons of a pattern


def doses(networks: dict[tuple[str, str], Trained]) -> list[str]:
    """Held-out Lines at fewer and fewer photons, by the networks that were trained on 1e9 and by the engine."""
    lines = [network for network in networks.values() if network.texture == "lines"]
    rows = [
        kept(f"dose-{photons:.0e}-{'engine' if way is None else way.key}", partial(_at_dose, lines[0], way, photons))
        for photons in DOSES
        for way in (None, *lines)
    ]  # fmt: skip
    return [
        "## Dose\n",
        "A corner of the held-out Lines, 1,024 patterns, at so many photons each. The networks were trained on 1e9 "
        "alone and are given counts times 1e9 over these. The engine makes 20 iterations of ePIE, the probe known and "
        "kept. R counts the noise of the photons too:\n",
        *table(["photons", "by", "correlation", "MAE A", "PSNR A / dB", "FRC", "R"], rows),
    ]


def _at_dose(kind: Trained, way: Trained | None, photons: float) -> list[str]:
    """Figures of one dose, of a network's image or of the engine's."""
    network = way or kind
    raster = network.raster_of(network, network.raster.step)
    more = photons / raster.photons
    of = scan(raster, network.card.grid[0], TEST_SEED, network.card.scale * more**0.5)
    if way is not None:
        correlation, mae, psnr, _, _, frc, r = Stitched.of(way, replace(of, counts=of.counts / more)).texts
        return [f"{photons:.0e}", way.title, correlation, mae, psnr, frc, r]
    measured = corner(of, raster.step)
    result = ptycho.reconstruct(measured, _options(20))
    rows, columns = result.object.shape
    inner = np.zeros(result.object.shape, bool)
    inner[24:-24, 24:-24] = True  # as of the networks
    score = ptycho.compared(result.object, of.objects[0, :rows, :columns], inner)
    figures = [f"{score.correlation:.4f}", f"{score.amplitude_mae:.4f}", f"{score.amplitude_psnr:.1f}"]
    return [f"{photons:.0e}", "ePIE", *figures, f"{score.frc_half:.2f}", f"{result.report.r_factor:.3f}"]


def speed(networks: dict[tuple[str, str], Trained]) -> list[str]:
    """1,024 patterns of 64 x 64: seconds of one thread, three times in turns."""
    rows: list[list[str]] = []
    for network in networks.values():
        if network.texture == "lines":
            rows += kept(f"speed-{network.key}", partial(_times, network))
    return [
        "## Speed\n",
        "1,024 patterns of 64 x 64 on a raster of 4 pixels, CPU seconds of one thread, three runs in turns. The first "
        "row is what publications quote. The paper has 0.3 s for 1,024 patterns on a GPU, and 165 s for ePIE on a "
        "processor. Programs that run beside lengthen them.\n",
        *table(["network", "what", "CPU s", "patterns/s"], rows),
    ]


def _times(network: Trained) -> list[list[str]]:
    """Of the network alone, of all that `ptycho.predict` does, and of the engine."""
    measured = corner(test_raster(network, network, network.raster.step), network.raster.step)
    groups = neighbours(measured.positions_px, np.asarray(network.card.offsets_px))
    counts = measured.patterns[groups]
    shown = family.features(network.card, counts, np.ones(counts.shape, bool))["patterns"]

    def alone() -> None:
        for block in np.array_split(shown, -(-len(shown) // BATCH)):
            network.session.infer({"patterns": block})

    def whole() -> None:
        ptycho.predict(measured, network.session)

    def iterations() -> None:
        ptycho.reconstruct(measured, _options(10))

    ways = {"network alone": alone, "with grouping and stitching": whole, "10 iterations of ePIE": iterations}
    return [
        [network.title, way, " ".join(f"{one:.2f}" for one in seconds), f"{len(measured) / min(seconds):,.0f}"]
        for way, seconds in in_turns(ways, 3).items()
    ]


def picture(networks: dict[tuple[str, str], Trained], path: Path) -> bool:
    """Amplitudes side by side: the truth, PtychoPINN, PtychoNN; a row for each kind of object."""
    lines = []
    for texture in TEXTURES:
        found = [networks[name, texture] for name in NETWORKS if (name, texture) in networks]
        if len(found) < len(NETWORKS):
            continue
        images = [tiled(one, test_raster(one, one, TILE)) for one in found]
        planes = [np.abs(images[0][1]), *(np.abs(image) for image, _ in images)]
        low, high = np.percentile(planes[0], (1, 99))
        side = min(min(plane.shape) for plane in planes)
        scaled = [plane[:side, :side] * planes[0].mean() / plane.mean() for plane in planes]
        lines.append(np.hstack([np.clip((plane - low) / (high - low), 0, 1) for plane in scaled]))
    if lines:
        Image.fromarray((np.vstack(lines) * 255).astype(np.uint8)).save(path, optimize=True)
    return bool(lines)


def main(
    models: Annotated[Path, typer.Option(exists=True, file_okay=False, help="The networks are in this repository.")],
    ablated: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="Those of the ablation are in this one, seeds as versions."),
    ] = None,
    runs: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="This folder has the folders of trainings, for their curves."),
    ] = None,
    out: Annotated[Path, typer.Option(help="The tables go to this Markdown file.")] = _RESULTS / "ptychopinn.md",
) -> None:
    """Measure the networks of a repository and write the page.

    Example: python -m benchmarks.ptychopinn --models runs/models --out /tmp/ptychopinn.md
    """
    torch.set_num_threads(1)
    networks = trained(models)
    lines = ["# PtychoPINN and PtychoNN\n", f"{header()}\n", *preface(networks)]
    of_lines = (doses, speed) if any(network.texture == "lines" for network in networks.values()) else ()
    for section in (budgets, table_2, table_3, starts, *of_lines):
        lines += section(networks)
        typer.echo(f"{section.__name__} done")
        if section is table_2:
            lines += ablation(ablated) if ablated else []
            lines += curves(runs) if runs else []
    if picture(networks, out.with_suffix(".png")):
        lines += ["## Images\n", "Amplitudes: the truth, PtychoPINN, PtychoNN.\n", f"![Amplitudes]({out.stem}.png)\n"]
    out.write_text("\n".join(lines).rstrip() + "\n")
    typer.echo(f"wrote {out}")


def preface(networks: dict[tuple[str, str], Trained]) -> list[str]:
    """What the networks are, what was not made, and how to make both."""
    textures = {network.texture for network in networks.values()}
    flat = [_FLAT] if any(network.raster.probe == "flat" for network in networks.values()) else []
    missing = [_BUDGET, *([] if "large" in textures else ["No network has learned the large features."])]
    return [_CUT, *flat, " ".join(missing) + "\n", *_COMMANDS]


_CUT = (
    "Networks of Hoidn et al., Sci. Rep. 13:22789 (2023), and of Cherukara et al. (2020), trained by "
    "`training/configs/ptychopinn-small.yaml` and `ptychonn-small.yaml`: **cut** to a quarter and to half of the "
    "papers' width, and to some minutes of one thread, about the same for both networks of a pair. Amplitudes are at "
    "most 1 here; the paper does not state how it normalises them, so that its MAE and PSNR are on another scale, and "
    "only differences can be compared.\n"
)
_FLAT = (
    "**Behind the flat probe** of the paper an object without a phase and its mirror image have the same pattern, "
    "and so has the mean of both. Single patterns do not tell them apart, whatever a network has learned: PtychoNN "
    "learns next to nothing after its first 16,000 patterns there. Four that overlap do. Both networks of that pair "
    "began with the weights of the pair behind the curved probe, where no mirror image has the same pattern, and "
    "went on behind the flat one, in two trainings in which the rate of learning fell along half a cosine. That was "
    "caution: of two networks begun behind the flat probe with one seed, one stood at an error of 0.08 from 8,000 to "
    "24,000 groups, but the other, whose rate fell sooner, came off it and is in the ablation, ahead of the one that "
    "began elsewhere. The rate of the pairs behind the curved probe did not fall: their time was cut.\n"
)
_BUDGET = (
    "**Not made**: the paper's own budget and width, `training/configs/ptychopinn.yaml`. Behind the flat probe the "
    "error of the amplitude fell by about 1.3 dB with each doubling of the groups while the rate was high; the paper's "
    "50 epochs of the same two objects are 1.7 doublings more, and its network is four times as wide. Several seeds "
    "are only where the ablation says so."
)
_COMMANDS = [
    "One command makes this page of folders with the exported networks: `python -m benchmarks.ptychopinn --models "
    "FOLDER --ablated FOLDER --runs FOLDER`. These train PtychoPINN for Lines behind the flat probe; without "
    "`--crystals` the last one sees ten epochs, and with 672,400 the paper's fifty:\n",
    "    inphase-train fit --config training/configs/ptychopinn-small.yaml --run runs/curved",
    "    inphase-train fit --config training/configs/ptychopinn-small.yaml --run runs/flat --set raster.probe=flat "
    "--begin runs/curved/last.ckpt --crystals 672400\n",
]


if __name__ == "__main__":
    typer.run(main)
