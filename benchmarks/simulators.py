"""The fast simulator against crystals made of atoms, in distribution: shapes, far fields, phases.

    python -m benchmarks.simulators

Writes benchmarks/results/simulators.{md,png}: a minute, no LAMMPS. A difference is stated as the two-sample
Kolmogorov-Smirnov distance: the largest difference between the two cumulative distributions.
"""

from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion
from scipy.stats import ks_2samp

from training.data import HELD_OUT_SEED
from training.evaluate.machine import header
from training.evaluate.tables import table
from training.simulate.atomistic import shards
from training.simulate.atomistic.voxels import far_field
from training.simulate.crystals import CrystalSettings, crystals

HELD_OUT = Path(__file__).parent.parent / "training" / "data" / "atomistic-held-out.h5"
RESULTS = Path(__file__).parent / "results"
FRAME = (64, 64, 64)
BOX = (32, 32, 32)
SHELLS = np.geomspace(0.5, 14.0, 25)  # |q| in units of 1 / (cube root of the volume)
RADIUS = np.linalg.norm(np.indices(FRAME).reshape(3, -1) - 32, axis=0) / 64  # cycles per voxel

# What the fast simulator has to be set to for crystals like the atomistic ones.
ALIKE = CrystalSettings(
    oversampling=(2.4, 4.4),
    strain_free=0.0,
    phase_rms=(0.15, 0.45),
    amplitude_variation=0.0,
    peak_offset=0.5,
)

Objects = NDArray[np.complex64]
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Figures:
    """Of one crystal.

    extent: voxels, geometric mean of the three edges of the bounding box at half density. stretch: longest edge over
    shortest.
    fill: volume over that of the bounding box. shape: radius of gyration (geometric mean of the three axes of the
    ellipsoid) over the cube root of the volume, which no turn and no stretch changes: sphere 0.277, cube 0.289,
    tetrahedron 0.323.
    unevenness: rms of the density a voxel or more inside, relative. offset: of the peak from the DC voxel, voxels of
    64^3.
    phase: rad rms about the mean ramp. gradient: rad per voxel, rms over neighbours inside, about the mean ramp.
    """

    extent: float
    stretch: float
    fill: float
    shape: float
    unevenness: float
    offset: float
    phase: float
    gradient: float


NAMES: Mapping[str, str] = {
    "extent": "extent (voxels)",
    "stretch": "longest edge / shortest",
    "fill": "fill factor of the bounding box",
    "shape": "radius of gyration / cube root of volume",
    "unevenness": "rms density variation inside",
    "offset": "peak offset (voxels of 64³)",
    "phase": "phase about its ramp (rad rms)",
    "gradient": "phase gradient about the ramp (rad per voxel, rms)",
}


def figures(obj: Objects) -> Figures:
    """Measure a centred object (32, 32, 32)."""
    density = np.abs(obj)
    inside = density > 0.5
    edges = np.array(
        [np.ptp(np.flatnonzero(inside.any(tuple(a for a in range(3) if a != axis)))) + 1 for axis in range(3)]
    )
    deep = density[binary_erosion(inside, np.ones((3, 3, 3), np.bool_), iterations=2)]
    steps = [_steps(obj, inside, axis) for axis in range(3)]
    mean = np.array([np.angle(s.sum()) for s in steps])  # of neighbours, weighted by density: the ramp
    points = np.indices(obj.shape).reshape(3, -1).T - np.array(obj.shape) // 2
    flat = obj.ravel() * np.exp(-1j * points @ mean)
    about = np.angle(flat * np.exp(-1j * np.angle(flat.sum())))[inside.ravel()]
    bends = np.concatenate([np.angle(s * np.exp(-1j * m)) for s, m in zip(steps, mean, strict=True)])
    return Figures(
        extent=float(edges.prod() ** (1 / 3)),
        stretch=float(edges.max() / edges.min()),
        fill=float(density.sum() / edges.prod()),
        shape=float(np.linalg.det(np.cov(points.T, aweights=density.ravel())) ** (1 / 6) / np.cbrt(density.sum())),
        unevenness=float(deep.std() / deep.mean()) if deep.size else 0.0,
        offset=float(np.linalg.norm(mean) * FRAME[0] / (2 * np.pi)),
        phase=float(np.sqrt((about**2).mean())),
        gradient=float(np.sqrt((bends**2).mean())),
    )


def _steps(obj: Objects, inside: NDArray[np.bool_], axis: int) -> NDArray[np.complex128]:
    """Products of neighbours along an axis, both inside; their arguments are the phase steps."""
    there, here = [tuple(s if a == axis else slice(None) for a in range(3)) for s in (slice(1, None), slice(-1))]
    pair = inside[there] & inside[here]
    result: NDArray[np.complex128] = (obj[there] * obj[here].conj()).astype(np.complex128)[pair]
    return result


def profile(obj: Objects) -> Numbers:
    """Rms modulus relative to the largest in shells of SHELLS, |q| in units of 1 / (cube root of the volume);
    NaN where empty.
    """
    modulus = np.abs(far_field(obj))
    shell = np.digitize(RADIUS * np.cbrt(np.abs(obj).sum()), SHELLS)
    count = np.bincount(shell, minlength=len(SHELLS) + 1)[1:-1]
    power = np.bincount(shell, (modulus.ravel() / modulus.max()) ** 2, len(SHELLS) + 1)[1:-1]
    with np.errstate(invalid="ignore"):
        result: Numbers = np.sqrt(np.where(count > 0, power / count, np.nan))
    return result


@dataclass(frozen=True)
class Arm:
    """One simulator's crystals, measured."""

    name: str
    objects: Objects
    figures: Sequence[Figures]
    profiles: Numbers

    def column(self, name: str) -> Numbers:
        """One figure of all crystals."""
        return np.array([getattr(f, name) for f in self.figures])


def arm(name: str, objects: Objects) -> Arm:
    """Measure objects (n, 32, 32, 32)."""
    return Arm(name, objects, [figures(obj) for obj in objects], np.array([profile(obj) for obj in objects]))


def fast(name: str, settings: CrystalSettings, count: int) -> Arm:
    """Crystals of the fast simulator."""
    generator = torch.Generator().manual_seed(HELD_OUT_SEED)
    return arm(name, crystals(count, FRAME, BOX, settings, generator).numpy())


def rows(arms: Sequence[Arm]) -> list[list[str]]:
    """One row per figure: median [10 %, 90 %] of each arm, and the distance of the fast ones from the first."""
    result = []
    for field in fields(Figures):
        cells = [NAMES[field.name]]
        for each in arms:
            values = each.column(field.name)
            low, middle, high = np.quantile(values, (0.1, 0.5, 0.9))
            cell = f"{middle:.3g} [{low:.3g}, {high:.3g}]"
            if each is not arms[0]:
                cell += f", KS {ks_2samp(values, arms[0].column(field.name)).statistic:.2f}"
            cells.append(cell)
        result.append(cells)
    return result


def profile_rows(arms: Sequence[Arm]) -> list[list[str]]:
    """Median modulus of each arm in a few shells."""
    medians = [np.nanmedian(each.profiles, axis=0) for each in arms]
    return [
        [f"{SHELLS[i]:.2f} to {SHELLS[i + 1]:.2f}", *(f"{m[i]:.2e}" for m in medians)]
        for i in range(1, len(SHELLS) - 1, 4)
    ]


def figure(arms: Sequence[Arm], path: Path) -> None:
    """Profiles and distributions above, slices of crystals below."""
    import matplotlib.pyplot as plt

    canvas, axes = plt.subplots(2, 4, figsize=(16, 8), layout="constrained")
    colours = ("black", "tab:blue", "tab:orange")
    middle = np.sqrt(SHELLS[1:] * SHELLS[:-1])
    for each, colour in zip(arms, colours, strict=True):
        low, median, high = np.nanquantile(each.profiles, (0.1, 0.5, 0.9), axis=0)
        axes[0, 0].loglog(middle, median, color=colour, label=each.name)
        axes[0, 0].fill_between(middle, low, high, color=colour, alpha=0.15, linewidth=0)
        for axis, name in zip(axes[0, 1:], ("fill", "phase", "gradient"), strict=True):
            values = np.sort(each.column(name))
            axis.plot(values, (np.arange(len(values)) + 0.5) / len(values), color=colour)
            axis.set(xlabel=NAMES[name], ylabel="share of crystals below")
            if name != "fill":
                axis.set(xscale="log", xlim=(5e-3, 2))  # what is strain-free lies to the left
    axes[0, 0].set(xlabel="|q| · volume$^{1/3}$", ylabel="rms modulus / largest", title="median, 10 to 90 %")
    axes[0, 0].legend()
    for column, (each, title) in enumerate(((arms[0], "atomistic"), (arms[-1], "fast, alike"))):
        obj = each.objects[int(np.argsort([f.extent for f in each.figures])[-len(each.figures) // 4])]
        shown = obj[16]
        axes[1, 2 * column].imshow(np.abs(shown), vmin=0, vmax=1, cmap="gray")
        axes[1, 2 * column].set_title(f"{title}: density")
        phase = np.where(np.abs(shown) > 0.2, np.angle(shown * np.exp(-1j * np.angle(obj.sum()))), np.nan)
        image = axes[1, 2 * column + 1].imshow(phase, vmin=-0.8, vmax=0.8, cmap="twilight_shifted")
        axes[1, 2 * column + 1].set_title(f"{title}: phase (rad)")
        canvas.colorbar(image, ax=axes[1, 2 * column + 1], shrink=0.8)
    canvas.savefig(path, dpi=90)
    plt.close(canvas)


def report(arms: Sequence[Arm], settings: object) -> str:
    """The page."""
    return "\n".join(
        [
            "# The fast simulator against crystals made of atoms",
            "",
            f"{header()} One command makes this page: `python -m benchmarks.simulators`.",
            "",
            f"{len(arms[0].objects)} atomistic crystals of training/data/atomistic-held-out.h5, {len(arms[1].objects)} "
            "of the fast simulator with its defaults and as many as near to the atomistic ones as its settings bring "
            "it. Median [10 %, 90 %] over crystals; KS: distance of the distribution from the atomistic one, 0 to 1. "
            f"With {len(arms[0].objects)} crystals two draws of one distribution differ by up to"
            f" {1.36 * np.sqrt(1 / len(arms[0].objects) + 1 / len(arms[1].objects)):.2f} (95 %).",
            "",
            *table(("", *(each.name for each in arms)), rows(arms)),
            "Rms modulus relative to the largest, in shells of |q| times the cube root of the volume (median over "
            "crystals):",
            "",
            *table(("shell", *(each.name for each in arms)), profile_rows(arms)),
            "The settings of the last column where they are not the defaults:",
            "",
            *(
                f"    {f.name}: {list(v) if isinstance(v, tuple) else v}"
                for f in fields(CrystalSettings)
                if (v := getattr(ALIKE, f.name)) != getattr(CrystalSettings(), f.name)
            ),
            "",
            f"The atomistic crystals: {settings}.",
            "",
            "![distributions and slices](simulators.png)",
            "",
        ]
    )


def main() -> None:
    """Measure and write."""
    parser = ArgumentParser(
        description="Compare the fast simulator with crystals made of atoms.",
        epilog="Example: python -m benchmarks.simulators",
    )
    parser.add_argument(
        "--shard", type=Path, default=HELD_OUT, help="The comparison is with the atomistic crystals of this shard."
    )
    parser.add_argument(
        "--crystals", type=int, default=128, help="The fast simulator makes so many crystals for each arm."
    )
    parser.add_argument(
        "--out", type=Path, default=RESULTS, help="simulators.md and simulators.png are written to this folder."
    )
    options = parser.parse_args()
    arms = [
        arm("atomistic", shards.read(options.shard)),
        fast("fast, defaults", CrystalSettings(), options.crystals),
        fast("fast, alike", ALIKE, options.crystals),
    ]
    text = report(arms, shards.settings(options.shard))
    figure(arms, options.out / "simulators.png")
    (options.out / "simulators.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
