"""PtychoPINN on the measured Siemens star of Velociprobe: learned from half of its frames, judged by the others.

OMP_NUM_THREADS=1 python -m benchmarks.siemens_star --models build/star/models --run runs/star   # minutes of a core

The model repository holds ptychopinn-star, exported from the run: training/configs/ptychopinn-measured.yaml with the
scan as `measured.scan` and, as `measured.reconstruction`, the fitted.npz of `inphase ptycho SCAN -o fitted.npz --refine
'30*EPIE' --hold-out 0.5 --no-turn`. Interrupted, it goes on: sections are kept in build/ptychopinn as JSON.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from benchmarks import ROOT
from benchmarks.ptycho import r_factor
from benchmarks.ptychopinn.networks import BATCH, Exported, in_turns, kept
from inphase import ptycho
from inphase.models.families import scan as family
from inphase.models.repository import Repository
from inphase.pattern import MaskState
from inphase.ptycho.prediction import joined
from training.evaluate.machine import header
from training.evaluate.tables import table
from training.measured import MeasuredScan, measured_scan
from training.settings import FitSettings, from_dict

_RESULTS = ROOT / "benchmarks/results"
NAME = "ptychopinn-star"
LIT = 0.1  # of the strongest light on the object: where images are compared
BLUR = 1.0  # standard deviation, pixels
COUNTS = (1, 2, 5, 10, 20)  # iterations
KEPT = 1_000_000  # iterations after which the probe is refined: never

Frames = NDArray[np.intp]
Object = NDArray[np.complex64]


@dataclass(frozen=True)
class Star(Exported):
    """The network, and the scan that it was trained on a part of."""

    @property
    def key(self) -> str:
        """Of what is measured of it."""
        return f"{self.version.label}-{self.card.sha256[:8]}"

    @property
    def settings(self) -> FitSettings:
        return from_dict(self.version.content["training"]["settings"])

    @property
    def scan(self) -> MeasuredScan:
        assert self.settings.measured is not None
        return measured_scan(self.settings.measured, self.card.grid[0])

    @property
    def measured(self) -> ptycho.Measurement:
        return self.scan.measured

    @cached_property
    def parameters(self) -> int:
        """Numbers that were learned."""
        import onnx

        model = onnx.load(self.version.path)
        return sum(math.prod(tensor.dims) for tensor in model.graph.initializer)

    @cached_property
    def corners(self) -> NDArray[np.float64]:
        """Of the windows on the object."""
        corners: NDArray[np.float64] = self.measured.positions_px - self.measured.positions_px.min(axis=0)
        return corners

    def parts(self, frames: Frames) -> Object:
        """What the network draws of these frames, (n, m, m)."""
        measured = self.measured
        known = measured.mask == MaskState.VALID
        blocks = np.array_split(frames, -(-len(frames) // BATCH))
        drawn = [
            family.decode(
                self.card,
                self.session.infer(family.features(self.card, measured.patterns[some][:, None], known[some][:, None])),
            )
            for some in blocks
        ]
        return np.concatenate(drawn)[:, 0]

    def image(self, frames: Frames) -> Object:
        """The object of these frames by the network, stitched on the field of the whole scan."""
        return joined(self.measured, self.parts(frames), frames).object

    def r(self, obj: Object, frames: Frames) -> float:
        """R of these frames behind an object."""
        assert self.measured.probe is not None
        return r_factor(self.measured.only(frames), obj, self.measured.probe, self.corners[frames])

    def r_alone(self, frames: Frames) -> float:
        """R of these frames, each behind the part that was drawn of itself."""
        assert self.measured.probe is not None
        waves = torch.from_numpy(self.parts(frames) * self.measured.probe[0])
        made = torch.fft.fftshift(torch.fft.fft2(waves, norm="ortho"), dim=(1, 2)).abs().numpy()
        measured = np.sqrt(self.measured.patterns[frames].astype(np.float64))
        known = self.measured.mask[frames] == MaskState.VALID
        made = made * np.sqrt(np.square(measured * known).sum() / np.square(made * known).sum())
        return float((np.abs(made - measured) * known).sum() / (measured * known).sum())

    def engine(self, recipe: str, start: Object | None = None) -> ptycho.Reconstruction:
        """The object of the frames that are learned from by the engine, the probe known and kept."""
        hidden = len(self.scan.held_out) / len(self.measured)
        assert self.settings.measured is not None
        seed = self.settings.measured.seed
        options = ptycho.Options(recipe, batch=8, turn=False, hold_out=hidden, probe_start=KEPT, seed=seed)
        return ptycho.reconstruct(self.measured, options, start=start)

    @cached_property
    def from_all(self) -> ptycho.Reconstruction:
        """The engine's object of all frames."""
        options = ptycho.Options("30*EPIE", batch=8, turn=False, hold_out=0.0, probe_start=KEPT)
        return ptycho.reconstruct(self.measured, options)

    @cached_property
    def compared_where(self) -> NDArray[np.bool_]:
        """Pixels of the whole field where images are compared."""
        return self.from_all.coverage > LIT


def trained(star: Star, run: Path) -> list[str]:
    """What was learned from for how long, and how the held-out frames fared meanwhile."""
    told, s = star.version.content["training"], star.settings
    assert s.measured is not None
    groups = told["crystals_seen"]
    rows = [line.split("\t") for line in (run / "learning_curve.tsv").read_text().splitlines()]
    at = [rows[0].index(name) for name in ("crystals", "seconds", "val_R", "val_chi2")]
    until = [row for row in rows[1:] if int(row[at[0]]) <= groups]  # a run that went on knows of more
    shown = until[:: -(-len(until) // 12)]
    curve = [[row[at[0]], str(round(float(row[at[1]]))), *(f"{float(row[k]):.4f}" for k in at[2:])] for row in shown]
    return [
        "## What was trained\n",
        f"{len(star.scan.fitted)} of {len(star.measured)} frames, {star.parameters:,} parameters (width "
        f"{s.network['width']}), {groups:,} groups of {s.measured.neighbours}, "
        f"{groups / len(star.scan.fitted):.0f} times each frame as the first of one, in "
        f"{told['wall_time_s'] / 60:.0f} minutes of a thread that had what other programs left of two cores. "
        "R of groups of held-out frames, each frame behind the object of its group:\n",
        *table(["groups", "seconds", "R", "chi2"], curve),
    ]


def figures(star: Star) -> list[str]:
    """R of both halves and likeness to the engine's image of all frames."""
    fitted, held_out = star.scan.fitted, star.scan.held_out
    empty = np.ones(star.from_all.object.shape, np.complex64)
    engine = star.engine("30*EPIE")
    images = {
        "nothing, an object of 1": empty,
        "`30*EPIE` of the frames learned from": engine.object,
        f"the same, blurred by {BLUR:g} pixel": _blurred(engine.object),
        "the network, of the frames learned from": star.image(fitted),
        "the network, of the held-out frames": star.image(held_out),
        "the network of the first, then `5*EPIE`": star.engine("5*EPIE", star.image(fitted)).object,
        "`5*EPIE` of the frames learned from": star.engine("5*EPIE").object,
    }
    rows = []
    for name, obj in images.items():
        likeness = ["-", "-"] if obj is empty else _likeness(star, obj, star.from_all.object)
        rows.append([name, f"{star.r(obj, fitted):.3f}", f"{star.r(obj, held_out):.3f}", *likeness])
    alone = [f"{star.r_alone(frames):.3f}" for frames in (fitted, held_out)]
    rows.insert(5, ["the network, each frame by the part drawn of itself", *alone, "-", "-"])
    return [
        "## Held-out frames\n",
        "R is sum |sqrt(I) - m| / sum m, the scale of the probe fitted. The probe is the same for all, that of "
        "`30*EPIE` of the frames learned from, and is kept. Correlation and FRC (where it falls below 1/2, as a share "
        "of Nyquist) are with ePIE's image of all frames. It is no truth: images of ePIE are more like it for being "
        "made in the same way, partly of the same frames. What ePIE draws has the noise of the frames in it, which "
        f"others do not have: blurred by a Gaussian of {BLUR:g} pixel, the best of 0.5 to 2 on the held-out frames, it "
        "is the measure of what a network has to be better than.\n",
        *table(["image", "R learned from", "R held out", "correlation", "FRC"], rows),
    ]


def _blurred(obj: Object) -> Object:
    """Real and imaginary part, by a Gaussian of `BLUR` pixels."""
    return (gaussian_filter(obj.real, BLUR) + 1j * gaussian_filter(obj.imag, BLUR)).astype(np.complex64)


def _likeness(star: Star, obj: Object, reference: Object) -> list[str]:
    score = ptycho.compared(obj, reference, star.compared_where)
    return [f"{score.correlation:.4f}", f"{score.frc_half:.2f}"]


def halves(star: Star) -> list[str]:
    """FRC of two images that share no frame."""
    measured, scan = star.measured, star.scan
    options = ptycho.Options("30*EPIE", batch=8, turn=False, hold_out=0.0, probe_start=KEPT)
    begin = measured.positions_px.min(axis=0)
    engine = []
    for frames in (scan.fitted, scan.held_out):
        result = ptycho.reconstruct(measured.only(frames), options)
        whole = np.ones(star.compared_where.shape, np.complex64)
        row, column = np.round(result.origin_px - begin).astype(int)
        rows, columns = (min(n, m) for n, m in zip(result.object.shape, whole[row:, column:].shape, strict=True))
        whole[row : row + rows, column : column + columns] = result.object[:rows, :columns]
        engine.append(whole)
    network = [star.image(frames) for frames in (scan.fitted, scan.held_out)]
    return [
        "## Two halves\n",
        "The image of the frames learned from beside that of the held-out ones. That two images of one network are "
        "alike does not say that they are right: what it draws whatever it is shown is in both.\n",
        *table(
            ["images", "correlation", "FRC"],
            [["`30*EPIE`", *_likeness(star, *engine)], ["the network", *_likeness(star, *network)]],
        ),
    ]


def starts(star: Star) -> list[str]:
    """The engine from nothing and from the network's image, by iterations and by time."""
    fitted, held_out = star.scan.fitted, star.scan.held_out
    begin = time.process_time()
    drawn = star.image(fitted)
    spent = time.process_time() - begin
    rows = []
    for name, start, before in (("nothing", None, 0.0), ("the network's image", drawn, spent)):
        cells = [name]
        for count in COUNTS:
            begin = time.process_time()
            result = star.engine(f"{count}*EPIE", start)
            seconds = before + time.process_time() - begin
            cells.append(f"{star.r(result.object, held_out):.3f} ({seconds:.1f} s)")
        rows.append(cells)
    return [
        "## As a start\n",
        "R of the held-out frames after so many iterations of ePIE of the frames learned from, the probe known and "
        "kept, and the CPU seconds of it all, those of the network's image included:\n",
        *table(["begun from", *map(str, COUNTS)], rows),
    ]


def speed(star: Star) -> list[str]:
    """Seconds of one thread for all frames, in turns."""
    measured = star.measured
    every = np.arange(len(measured))
    ways: dict[str, Callable[[], None]] = {
        "network alone": lambda: void(star.parts(every)),
        "with stitching, `ptycho.predict`": lambda: void(ptycho.predict(measured, star.session)),
        "10 iterations of ePIE": lambda: void(
            ptycho.reconstruct(measured, ptycho.Options("10*EPIE", batch=8, turn=False, hold_out=0.0, probe_start=KEPT))
        ),
    }
    rows = [
        [way, " ".join(f"{one:.2f}" for one in seconds), f"{len(measured) / min(seconds):,.0f}"]
        for way, seconds in in_turns(ways, 2).items()
    ]
    return [
        "## Speed\n",
        f"{len(measured)} patterns of {measured.shape[0]} x {measured.shape[1]}, CPU seconds of one thread, two runs "
        "in turns; other programs ran beside.\n",
        *table(["what", "CPU s", "patterns/s"], rows),
    ]


def void(_: object) -> None:
    """Forgets what a way gave."""


def picture(star: Star, path: Path) -> None:
    """Amplitude above phase: ePIE of the frames learned from, the network of these, the network of the others."""
    scan, lit = star.scan, star.compared_where
    reference = star.engine("30*EPIE").object
    objects = [reference, *(_alike(star.image(frames), reference, lit) for frames in (scan.fitted, scan.held_out))]
    box = tuple(slice(int(found.min()), int(found.max()) + 1) for found in np.nonzero(lit))
    lines = []
    for plane_of in (np.abs, np.angle):
        planes = [plane_of(obj) for obj in objects]
        low, high = np.percentile(planes[0][lit], (1, 99))
        lines.append(np.hstack([(np.clip((plane - low) / (high - low), 0, 1) * lit)[box] for plane in planes]))
    Image.fromarray((np.vstack(lines) * 255).astype(np.uint8)).save(path, optimize=True)


def _alike(obj: Object, reference: Object, lit: NDArray[np.bool_]) -> Object:
    """The object times the number that brings it nearest to the reference."""
    factor = np.vdot(obj[lit], reference[lit]) / np.vdot(obj[lit], obj[lit]).real
    return (factor * obj).astype(np.complex64)


def main(
    models: Annotated[Path, typer.Option(exists=True, file_okay=False, help="The network is in this repository.")],
    run: Annotated[Path, typer.Option(exists=True, file_okay=False, help="The network was trained in this folder.")],
    out: Annotated[Path, typer.Option(help="The tables go to this Markdown file.")] = _RESULTS / "siemens_star.md",
) -> None:
    """Measure the network of a repository on its scan and write the page."""
    torch.set_num_threads(1)
    star = Star(Repository(models, NAME).resolve(NAME))
    lines = ["# PtychoPINN on a measured scan\n", f"{header()}\n", *_PREFACE]
    lines += trained(star, run)
    for section in (figures, halves, starts, speed):
        lines += kept(f"{star.key}-{section.__name__}", partial(section, star))
        typer.echo(f"{section.__name__} done")
    picture(star, out.with_suffix(".png"))
    lines += [
        "## Images\n",
        "Amplitude above, phase below: `30*EPIE` of the frames learned from, the network of these, the network of the "
        "held-out ones.\n",
        f"![Amplitudes and phases]({out.stem}.png)\n",
    ]
    out.write_text("\n".join(lines).rstrip() + "\n")
    typer.echo(f"wrote {out}")


_PREFACE = [
    "The Siemens star of Velociprobe (APS; tike, BSD-3), 516 patterns of 128 x 128. `inphase-train fit` with "
    "`training/configs/ptychopinn-measured.yaml` learned from half of its frames, drawn at random, without any image: "
    "only the patterns of four neighbours, which must follow from one object in the beam that ePIE found of these "
    "frames. Different from Hoidn et al. (2023): the network is a quarter as wide; it is shown each pattern alone, as "
    "the positions lie on no raster; it draws the whole window, as the beam has 16 % of its light outside half of it; "
    "and neighbours are averaged by the light that they were in.\n",
    "One command makes this page of the exported network and the folder of its training: `python -m "
    "benchmarks.siemens_star --models FOLDER --run FOLDER`.\n",
]


if __name__ == "__main__":
    typer.run(main)
