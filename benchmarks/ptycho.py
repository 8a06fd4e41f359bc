"""Ptychography on real scans and on a known object: R factors, positions, resolution, CPU time.

OMP_NUM_THREADS=1 python -m benchmarks.ptycho            # some five minutes of one core
"""

import importlib.metadata
import importlib.util
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image

from benchmarks import ROOT
from inphase import ptycho
from inphase.ptycho.optics import NearField
from training.evaluate.machine import header
from training.evaluate.measurements import REAL_DATA
from training.evaluate.tables import table
from training.simulate.ptychography import Fault, misrecorded, scene

_RESULTS = ROOT / "benchmarks/results"
_STAR = "siemens_star/siemens_star_ptycho_v1.npz"
_NEAR = "p25_nearfield/PETRAIII_P25_Near_Field_Ptycho.cxi"
_POSITIONS = "cnm26id_positions/position_error_247.npz"


@dataclass(frozen=True)
class Run:
    """A reconstruction, and the seconds of one thread that it took."""

    result: ptycho.Reconstruction
    seconds: float

    @classmethod
    def of(cls, measured: ptycho.Measurement, options: ptycho.Options, **known: Any) -> "Run":
        """In this process, whatever else runs on the machine."""
        begin = time.process_time()
        result = ptycho.reconstruct(measured, options, **known)
        return cls(result, time.process_time() - begin)

    @property
    def row(self) -> list[str]:
        """Recipe, R, R of the held-out frames, seconds, patterns per second and iteration."""
        report = self.result.report
        rate = report.frames * len(report.history) / self.seconds
        hidden = "-" if report.r_held_out is None else f"{report.r_held_out:.3f}"
        return [f"`{report.recipe}`", f"{report.r_factor:.3f}", hidden, f"{self.seconds:.1f}", f"{rate:.0f}"]


_HEAD = ["recipe", "R", "R of held-out frames", "CPU s", "patterns/s and iteration"]


def star() -> list[str]:
    """The Siemens star of Velociprobe."""
    measured = ptycho.read(REAL_DATA / _STAR)
    recipes = ("16*EPIE", "16*RPIE", "10*RAAR+6*EPIE", "16*ADAM")
    runs = [Run.of(measured, ptycho.Options(recipe, batch=8, turn=False)) for recipe in recipes]
    _picture(runs[0].result, _RESULTS / "ptycho-star.png")
    return [
        "## Siemens star, Velociprobe, far field\n",
        "516 patterns of 128 x 128, sub-pixel positions, 5 % of the frames held out. A plain ePIE with whole pixels "
        "reaches R 0.200 in 16 iterations.\n",
        *table(_HEAD, [run.row for run in runs]),
        "![Amplitude and phase](ptycho-star.png)\n",
    ]


def rival() -> list[str]:
    """The same scan by pty-chi, where this environment has it."""
    title = "## Siemens star, beside pty-chi\n"
    if importlib.util.find_spec("ptychi") is None:
        return [title, "Not measured: pty-chi is not installed in this environment.\n"]
    epochs = 6
    measured = ptycho.read(REAL_DATA / _STAR)
    rows = []
    for turn in (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "rival.npz"
            command = [sys.executable, "-W", "ignore", "-m", "benchmarks.ptycho_rival"]
            subprocess.run([*command, str(REAL_DATA / _STAR), str(out), str(epochs)], check=True)
            with np.load(out) as held:
                found, seconds = r_factor(measured, held["object"], held["probe"], held["corners"]), held["seconds"]
        ours = Run.of(measured, ptycho.Options(f"{epochs}*EPIE", batch=8, turn=False, hold_out=0.0))
        name = f"pty-chi {importlib.metadata.version('ptychi')}, ePIE"
        for who, value, spent in (
            (name, found, seconds[1]),
            ("inphase, `EPIE`", ours.result.report.r_factor, ours.seconds),
        ):
            rate = len(measured) * epochs / spent
            rows.append([str(turn), who, f"{value:.3f}", f"{spent:.1f}", f"{rate:.0f}"])
    return [
        title,
        f"{epochs} iterations of ePIE in batches of 8, the probe refined, one thread each, in turns; all 516 frames, "
        "and the same guess of the probe, scaled to the patterns. R of both by the operator of inphase.\n",
        *table(["turn", "program", "R", "CPU s", "patterns/s and iteration"], rows),
    ]


def r_factor(
    measured: ptycho.Measurement,
    obj: NDArray[np.complex64],
    probe: NDArray[np.complex64],
    corners: NDArray[np.float64],
) -> float:
    """R of an object and a probe of another program, whose scale is fitted."""
    import torch

    from inphase.ptycho.scan import Scan, State
    from inphase.ptycho.verdict import fits

    scan = Scan.of(measured, np.arange(0), 16, torch.device("cpu"), lambda: False)
    state = State(torch.from_numpy(obj), torch.from_numpy(probe), torch.from_numpy(corners))
    made = sum(float(scan.forward(state, block).intensity.sum()) for block in scan.blocks(scan.fitted))
    state.probe = state.probe * (scan.photons * len(measured) / made) ** 0.5
    return fits(scan, state, scan.fitted).r_factor


def near_field() -> list[str]:
    """The cone beam of P25."""
    measured = ptycho.read(REAL_DATA / _NEAR, focus_m=3.65e-3)
    runs = [Run.of(measured, ptycho.Options(recipe, batch=8, turn=False)) for recipe in ("30*EPIE", "12*RAAR+8*EPIE")]
    _picture(runs[0].result, _RESULTS / "ptycho-near-field.png")
    assert isinstance(measured.optics, NearField)
    return [
        "## Near field, PETRA III P25\n",
        f"200 patterns of 100 x 100, 3.65 mm behind the focus: magnification {measured.optics.magnification:.0f}, "
        f"pixel {measured.optics.pixel_m(measured.shape)[0] * 1e9:.0f} nm. No guess of the probe.\n",
        *table(_HEAD, [run.row for run in runs]),
        "![Amplitude and phase](ptycho-near-field.png)\n",
    ]


def known_object() -> list[str]:
    """Simulated scans with their truth: what the solvers make of it at three doses."""
    rows = []
    for photons in (1e4, 1e6, 1e8):
        of = scene(side=64, frames=12, step=6.0, photons=photons)
        measured = ptycho.from_arrays(of.counts, of.positions, probe=of.probe)
        for recipe in ("40*EPIE", "40*RPIE", "40*RAAR", "40*LBFGS(loss=poisson)", "30*EPIE+10*LBFGS(loss=poisson)"):
            run = Run.of(measured, ptycho.Options(recipe, turn=False))
            result = run.result
            row, column = np.round(result.origin_px).astype(int)
            rows_, columns_ = result.object.shape
            truth = of.object[row : row + rows_, column : column + columns_]
            score = ptycho.compared(result.object, truth, result.coverage > 0.1)
            rows.append(
                [
                    f"{photons:.0e}",
                    f"`{recipe}`",
                    f"{result.report.r_factor:.4f}",
                    f"{score.correlation:.5f}",
                    f"{score.phase_mae:.4f}",
                    f"{score.phase_psnr:.1f}",
                    f"{score.frc_half:.2f}",
                    f"{run.seconds:.1f}",
                ]
            )
    head = ["photons a frame", "recipe", "R", "correlation", "phase error / rad", "phase PSNR / dB", "FRC", "CPU s"]
    return [
        "## Known object\n",
        "144 patterns of 64 x 64 at fractions of a pixel, from a curved probe that is known and refined. Global "
        "phase, plane and shift are removed; PSNR is at the range of the truth; FRC is where the ring correlation with "
        "the truth falls below 1/2, as a share of Nyquist (the object holds nothing beyond 0.8).\n",
        *table(head, rows),
    ]


def positions() -> list[str]:
    """The wrong positions of 26-ID."""
    measured = ptycho.read(REAL_DATA / _POSITIONS)
    with np.load(REAL_DATA / _POSITIONS) as held:
        corrected = held["scan_true"].astype(np.float64)
    options = ptycho.Options(modes=1, turn=False, batch=8)
    searched = Run.of(measured, replace(options, recipe="100*EPIE", positions_start=6, search_px=14.0))
    found = replace(measured, positions_px=searched.result.positions_px)
    runs = [
        ("kept as recorded", Run.of(measured, replace(options, recipe="8*EPIE"))),
        ("slopes alone", Run.of(measured, replace(options, recipe="14*EPIE", positions_start=6))),
        ("searched, grown anew, then slopes", searched),
        ("kept as found", Run.of(found, replace(options, recipe="8*EPIE"))),
        ("kept as corrected", Run.of(replace(measured, positions_px=corrected), replace(options, recipe="8*EPIE"))),
    ]
    rows = [[name, *_errors(run.result.positions_px, corrected), *run.row] for name, run in runs]
    return [
        "## Wrong positions, 26-ID\n",
        f"{header()}\n",
        "481 patterns of 128 x 128 of a zone plate. The recorded positions lie 6.9 pixels (root mean square per axis) "
        "from those that the authors corrected; a common affine map is taken off, as it only changes the object. The "
        "rows that keep positions are for comparison: 8 iterations from nothing, with each set of them.\n",
        *table(["positions", "rms / px", "median / px", "within 0.7 px", *_HEAD], rows),
    ]


def faults() -> list[str]:
    """Simulated scans with the faults of stages, by the recipe of the measured one."""
    per_line = 12
    of = scene(side=48, frames=per_line, step=4.0, photons=1e7)
    rows = []
    for fault in Fault:
        recorded = misrecorded(of.positions, fault, per_line, np.random.default_rng(5))
        measured = ptycho.from_arrays(of.counts, recorded, probe=of.probe)
        run = Run.of(measured, ptycho.Options(turn=False, batch=8, positions_start=6, search_px=12.0))
        before, after = (_errors(found, of.positions) for found in (recorded, run.result.positions_px))
        rows.append([fault.value, before[0], *after, f"{run.result.report.r_factor:.3f}", f"{run.seconds:.1f}"])
    return [
        "## Wrong positions, simulated\n",
        f"{header()}\n",
        "144 patterns of 48 x 48 from a known object with 1e7 photons each, in steps of 4 pixels. Every fault is "
        "searched with `search_px=12` and refined by the default recipe, `60*EPIE`. A common affine map "
        "is taken off. This scan was chosen after a harder one, 10 x 10 frames in steps of 5 pixels, had ended at 0.9 "
        "pixels with random errors and at 1.0 to 1.2 with a jump.\n",
        *table(["fault", "rms before / px", "rms / px", "median / px", "within 0.7 px", "R", "CPU s"], rows),
    ]


def _errors(found: NDArray[np.float64], truth: NDArray[np.float64]) -> list[str]:
    """Root mean square and median per axis, and the share of frames within 0.7 pixels on both axes."""
    plane = np.column_stack([truth, np.ones(len(truth))])
    off = found - truth
    near = np.ones(len(off), bool)
    for _ in range(5):  # without those that are far off, which would bend the map
        left = off - plane @ np.linalg.lstsq(plane[near], off[near], rcond=None)[0]
        near = np.abs(left).max(axis=1) < max(1.0, 3 * float(np.median(np.abs(left))))
    within = float((np.abs(left).max(axis=1) < 0.7).mean())
    return [f"{np.sqrt((left**2).mean()):.2f}", f"{np.median(np.abs(left)):.2f}", f"{100 * within:.0f} %"]


def _picture(result: ptycho.Reconstruction, path: Path) -> None:
    """Amplitude and phase side by side, where the object was lit, from the 1st to the 99th percentile."""
    lit = result.coverage > 0.05
    box = tuple(slice(int(found.min()), int(found.max()) + 1) for found in np.nonzero(lit))
    planes = []
    for plane in (np.abs(result.object), np.angle(result.object)):
        low, high = np.percentile(plane[lit], (1, 99))
        planes.append(np.clip((plane[box] - low) / (high - low), 0, 1) * lit[box])
    Image.fromarray((np.hstack(planes) * 255).astype(np.uint8)).save(path, optimize=True)


SECTIONS = {
    "star": star,
    "rival": rival,
    "near_field": near_field,
    "known_object": known_object,
    "positions": positions,
    "faults": faults,
}


def main(
    out: Annotated[Path, typer.Option(help="The tables are written to this Markdown file.")] = _RESULTS / "ptycho.md",
    section: Annotated[list[str] | None, typer.Option(help="Only these sections are measured, by name.")] = None,
) -> None:
    """Measure and write the page.

    Example: python -m benchmarks.ptycho --section star --out /tmp/ptycho.md
    """
    lines = [
        "# Ptychography\n",
        f"{header()}\n",
        "R is sum |sqrt(I) - m| / sum m. Times are CPU seconds of one thread (`OMP_NUM_THREADS=1`), which other "
        "programs on the machine change little; the refinement of the probe and sub-pixel positions are in them. One "
        "command makes this page: `python -m benchmarks.ptycho`.\n",
    ]
    for name in section or SECTIONS:
        lines += SECTIONS[name]()
        out.write_text("\n".join(lines).rstrip() + "\n")
        typer.echo(f"{name}: written to {out}")


if __name__ == "__main__":
    typer.run(main)
