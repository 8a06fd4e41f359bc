"""What the minimisation of a free gold crystal leaves of the strain applied to it, step by step; and its surface.

    python -m benchmarks.relaxation

Needs the extra [atomistic]. Writes benchmarks/results/relaxation.{md,png}: two minutes of one core.
"""

from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from training.evaluate.machine import header
from training.evaluate.tables import table
from training.simulate.atomistic.crystal import block, cut, deform, draw_deformation, draw_planes
from training.simulate.atomistic.producer import HELD_OUT_SEED, crystal_seed
from training.simulate.atomistic.relaxation import affine_part, relax
from training.simulate.atomistic.settings import AtomisticSettings
from training.simulate.atomistic.voxels import lattice_phase

RESULTS = Path(__file__).parent / "results"
BLOCKS = (25, 50)  # unit cells: 10.2 and 20.4 nm
STEPS = (0, 5, 10, 20, 40, 60, 80, 160)
REFERENCE = 120

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Left:
    """After `steps`: shares of what was applied (energy, affine strain of all atoms and of the inner half,
    rotation), and the phase of the (111) peak in radians, rms over atoms: all of it, and what is left about the best
    affine map.
    """

    steps: int
    energy: float
    strain: float
    inner: float
    rotation: float
    phase: float
    bent: float


@dataclass(frozen=True)
class Case:
    """One crystal: its atoms, the curve, and the rows that tell of the surface of its unstrained reference."""

    cells: int
    atoms: int
    curve: Sequence[Left]
    surface: Sequence[tuple[str, int, float]]
    surface_phase: float


def parts(gradient: Floats) -> tuple[Floats, Floats]:
    """Strain and rotation."""
    return 0.5 * (gradient + gradient.T), 0.5 * (gradient - gradient.T)


def share(left: Floats, applied: Floats) -> float:
    """How much of `applied` is in `left`: 1 all, 0 nothing."""
    return float((left * applied).sum() / (applied**2).sum())


def bent(positions: Floats, phase: Floats) -> float:
    """Rms of a phase about the affine map nearest to it."""
    columns = np.column_stack([positions, np.ones(len(positions))])
    return float((phase - columns @ np.linalg.lstsq(columns, phase, rcond=None)[0]).std())


def surface(sites: Floats, displacement: Floats, settings: AtomisticSettings) -> list[tuple[str, int, float]]:
    """Mean movement towards the middle (angstrom) of atoms by their number of nearest neighbours:
    (name, atoms, movement).
    """
    pairs = cKDTree(sites).query_pairs(0.85 * settings.lattice_parameter, output_type="ndarray")
    neighbours = np.bincount(pairs.ravel(), minlength=len(sites))
    middle = sites - sites.mean(0)
    inward = -(displacement * middle).sum(1) / np.maximum(np.linalg.norm(middle, axis=1), 1e-9)
    classes = {
        "corners, edges, steps, {110} (7 or fewer)": neighbours <= 7,
        "{100} faces (8)": neighbours == 8,
        "{111} faces (9)": neighbours == 9,
        "below the surface (10, 11)": (neighbours == 10) | (neighbours == 11),
        "inside (12)": neighbours == 12,
    }
    return [(name, int(chosen.sum()), float(inward[chosen].mean())) for name, chosen in classes.items()]


def measure(cells: int) -> Case:
    """Follow one crystal."""
    settings = replace(AtomisticSettings(), block_cells=cells)
    random = np.random.default_rng(crystal_seed(HELD_OUT_SEED, 0))
    planes, deformation = draw_planes(settings, random), draw_deformation(settings, random)
    sites = cut(block(settings), planes)
    reference = relax(sites, settings.potential, REFERENCE)
    start = deform(reference.positions, deformation)
    strain, rotation = parts(deformation - np.eye(3))
    used = np.isfinite(planes.distances)
    depth = np.minimum(
        (planes.distances[used] - sites @ planes.normals[used].T).min(1),
        0.5 * cells * settings.lattice_parameter - np.abs(sites).max(1),
    )
    inner = depth > 0.5 * depth.max()
    curve = []
    for steps in STEPS:
        final = relax(start, settings.potential, steps)
        u = final.positions - reference.positions
        left, turn = parts(affine_part(reference.positions, u))
        phase = lattice_phase(u, settings)
        curve.append(
            Left(
                steps,
                (final.energy - reference.energy) / (final.energy_before - reference.energy),
                share(left, strain),
                share(parts(affine_part(reference.positions[inner], u[inner]))[0], strain),
                share(turn, rotation),
                float(phase.std()),
                bent(reference.positions, phase),
            )
        )
        print(f"{cells} cells, {len(sites):,} atoms: {curve[-1]}", flush=True)
    moved = reference.positions - sites
    return Case(cells, len(sites), curve, surface(sites, moved, settings), bent(sites, lattice_phase(moved, settings)))


def report(cases: Sequence[Case]) -> str:
    """The page."""
    lines = ["# What relaxation leaves of the strain in a free crystal of gold", "", header(), ""]
    lines += ["One command makes this page: `python -m benchmarks.relaxation`.", ""]
    for case in cases:
        lines += [
            f"## {case.cells * 0.408:.1f} nm block, {case.atoms:,} atoms",
            "",
            f"Up to 1 % of compression, tension and shear on a crystal that was relaxed in {REFERENCE} steps; shares "
            "are of what was applied.",
            "",
            *table(
                (
                    "minimiser steps", "strain energy", "mean strain", "strain of the inner half", "rotation",
                    "phase (rad rms)", "phase about its ramp (rad rms)",
                ),
                [
                    [str(left.steps), *(f"{getattr(left, f.name):.3f}" for f in fields(left)[1:])]
                    for left in case.curve
                ],
            ),
            "The surface of the unstrained crystal, relaxed: mean movement towards the middle.",
            "",
            *table(
                ("atoms (nearest neighbours)", "number", "angstrom"),
                [[n, f"{c:,}", f"{m:.3f}"] for n, c, m in case.surface],
            ),
            f"Counted from the ideal lattice, this relaxation alone is a phase of {case.surface_phase:.2f} rad rms "
            "about its ramp; displacements are counted from the relaxed crystal, as in the papers, and leave it out.",
            "",
        ]  # fmt: skip
    return "\n".join([*lines, "![strain left against steps](relaxation.png)", ""])


def figure(cases: Sequence[Case], path: Path) -> None:
    """Shares and phases against steps."""
    import matplotlib.pyplot as plt

    canvas, axes = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for case, style in zip(cases, ("--", "-"), strict=False):
        steps = [left.steps for left in case.curve]
        for name, label, colour in (
            ("energy", "strain energy", "tab:red"),
            ("strain", "mean strain", "tab:blue"),
            ("inner", "strain of the inner half", "tab:cyan"),
        ):
            axes[0].plot(
                steps,
                [getattr(left, name) for left in case.curve],
                style,
                color=colour,
                label=f"{label}, {case.atoms:,} atoms",
            )
        axes[1].plot(
            steps, [left.phase for left in case.curve], style, color="black", label=f"phase, {case.atoms:,} atoms"
        )
        axes[1].plot(
            steps[1:], [left.bent for left in case.curve[1:]], style, color="tab:orange", label="about its ramp"
        )
    axes[0].set(xlabel="minimiser steps", ylabel="share left", ylim=(-0.1, 1.05))
    axes[1].set(xlabel="minimiser steps", ylabel="phase of (111), rad rms", yscale="log", ylim=(0.01, 3))
    for axis in axes:
        axis.legend(fontsize=8)
    canvas.savefig(path, dpi=90)
    plt.close(canvas)


def main() -> None:
    """Measure and write."""
    parser = ArgumentParser(
        description="Measure what the minimisation of a gold crystal leaves of its strain.",
        epilog="Example: python -m benchmarks.relaxation",
    )
    parser.add_argument(
        "--cells", type=int, nargs="+", default=BLOCKS, help="The edges of the blocks have so many unit cells."
    )
    parser.add_argument(
        "--out", type=Path, default=RESULTS, help="relaxation.md and relaxation.png are written to this folder."
    )
    options = parser.parse_args()
    cases = [measure(cells) for cells in options.cells]
    text = report(cases)
    figure(cases, options.out / "relaxation.png")
    (options.out / "relaxation.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
