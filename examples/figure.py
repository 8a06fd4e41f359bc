"""The figure of a reconstruction: measured and calculated pattern, and slices of the object before and after
refinement.
"""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from comparison import View
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LogNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from inphase import metrics
from inphase.formats.result import Result
from inphase.pattern import MaskState

AXES = ("rocking", "row", "column")
MARGIN = 3  # voxels shown around the support
INK = "#1b2733"
UNKNOWN = "#b9c4cf"  # masked voxels
OUTSIDE = "#eef1f4"  # where there is no object
VISIBLE = 0.25  # of the amplitude's scale: below it, at the rim of the support, a phase means nothing
STYLE = {"font.size": 9, "text.color": INK, "axes.labelcolor": INK, "axes.titlecolor": INK, "axes.titlesize": 10}


def draw(views: Sequence[View], result: Result, path: Path, title: str) -> None:
    """Writes the figure as PNG. `result` gives the measured pattern, the voxel size and the phase ramp to leave out."""
    with mpl.rc_context(STYLE):
        columns = 2 * len(views)
        width = max(15.5, 3.1 * columns)
        heights = (4.0, 3 * (0.95 * width / columns + 0.35) + 0.8)
        figure = Figure(figsize=(width, sum(heights)), dpi=100, facecolor="white", layout="constrained")
        figure.suptitle(title, fontsize=13, fontweight="bold", x=0.01, ha="left")
        top, bottom = figure.subfigures(2, 1, height_ratios=heights, hspace=0.03)
        _patterns(top, [view for view in views if view.chi2 is not None], result)
        _objects(bottom, views, result)
        figure.savefig(path)


def _patterns(figure: Figure, views: Sequence[View], result: Result) -> None:
    """The detector slice through the peak: measured, calculated, and what the last one leaves."""
    valid = result.mask == MaskState.VALID
    measured = np.where(valid, result.modulus**2, np.nan)
    calculated = [_intensity(view, result.modulus, valid) for view in views]
    middle = measured.shape[0] // 2
    brightest = float(np.nanmax(measured))
    norm = LogNorm(max(0.5, brightest * 1e-6), brightest)
    panels = figure.subplots(1, len(views) + 2)
    names = ["measured pattern", *(f"calculated, {view.name}: $\\chi^2$ = {view.chi2:.4f}" for view in views)]
    for axes, name, volume in zip(panels, names, (measured, *calculated), strict=False):
        shown = np.where(np.isnan(volume), np.nan, np.maximum(volume, norm.vmin))[middle]
        image = axes.imshow(shown, norm=norm, cmap=_colours("magma", UNKNOWN), interpolation="nearest")
        axes.set_title(name)
    figure.colorbar(image, ax=list(panels[:-1]), aspect=25, pad=0.01, label="photons per voxel")
    residual = np.where(valid, np.sqrt(calculated[-1]) - result.modulus, np.nan)[middle]
    image = panels[-1].imshow(residual, cmap=_colours("RdBu_r", UNKNOWN), vmin=-2, vmax=2, interpolation="nearest")
    panels[-1].set_title(f"{views[-1].name} minus measured modulus")
    figure.colorbar(
        image, ax=panels[-1], aspect=25, pad=0.02, label=r"$\sqrt{\mathrm{photons}}$ (noise: 0.5 rms)", extend="both"
    )
    for axes in panels:
        axes.set_xlabel("detector column (voxels)")
        axes.set_xticks([0, residual.shape[1] // 2, residual.shape[1] - 1])
        axes.set_yticks([0, residual.shape[0] // 2, residual.shape[0] - 1])
    panels[0].set_ylabel("detector row (voxels)")


def _objects(figure: Figure, views: Sequence[View], result: Result) -> None:
    """Three orthogonal slices through the middle: amplitudes on the left, phases on the right."""
    support = np.any([view.support for view in views], axis=0)
    box = _box(support)
    ramp = result.document["canonical"]["ramp"]
    phases = [_phase(view, ramp, views[-1]) for view in views]
    span = min(np.pi, max(0.5, 1.05 * max(float(np.nanpercentile(np.abs(phase), 99.5)) for phase in phases)))
    panels = figure.subplots(3, 2 * len(views))
    for axis in range(3):
        vertical, horizontal = (other for other in range(3) if other != axis)
        extent, unit = _extent(result, box, vertical, horizontal)
        middle = (box[axis].start + box[axis].stop) // 2
        index = tuple(middle if a == axis else box[a] for a in range(3))
        for column, (view, phase) in enumerate(zip(views, phases, strict=True)):
            left: Axes = panels[axis, column]
            right: Axes = panels[axis, column + len(views)]
            amplitude = left.imshow(
                np.abs(view.object)[index], cmap="viridis", vmin=0, vmax=1.1, extent=extent, interpolation="nearest"
            )
            turn = right.imshow(
                phase[index],
                cmap=_colours("twilight_shifted", OUTSIDE),
                vmin=-span,
                vmax=span,
                extent=extent,
                interpolation="nearest",
            )
            if axis == 0:
                left.set_title(f"amplitude, {view.name}")
                right.set_title(f"phase, {view.name}")
            for axes in (left, right):
                axes.set_xlabel(f"{AXES[horizontal]} ({unit})")
                axes.locator_params(nbins=5)
            left.set_ylabel(f"{AXES[vertical]} ({unit})" if column == 0 else "")
    count = len(views)
    figure.colorbar(
        amplitude,
        ax=panels[:, :count],
        location="bottom",
        aspect=50,
        shrink=0.6,
        pad=0.02,
        label="amplitude (99.9th percentile = 1)",
    )
    figure.colorbar(
        turn,
        ax=panels[:, count:],
        location="bottom",
        aspect=50,
        shrink=0.6,
        pad=0.02,
        label=f"phase without its ramp, where the amplitude exceeds {VISIBLE} (rad)",
    )


def _phase(view: View, ramp: Sequence[float], reference: View) -> NDArray[np.floating]:
    """Phase without the common ramp, zero on average over the reference's support; NaN outside the object."""
    flat = view.object.astype(np.complex128)
    for axis, (n, slope) in enumerate(zip(flat.shape, ramp, strict=True)):
        wave = np.exp(-1j * slope * (np.arange(n) - n // 2))
        flat = flat * wave.reshape([-1 if a == axis else 1 for a in range(3)])
    common = flat[reference.support & view.support].sum()
    shown = view.support & (np.abs(flat) > VISIBLE)
    return np.where(shown, np.angle(flat * np.exp(-1j * np.angle(common))), np.nan)


def _intensity(view: View, modulus: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.floating]:
    """Calculated photons: |F|^2, blurred where the light is not coherent,
    on the least-squares scale of the measured modulus.
    """
    calculated = metrics.far_field_modulus(view.object, view.kernel)
    scale = float((calculated[valid] * modulus[valid]).sum() / (calculated[valid] ** 2).sum())
    return np.asarray((scale * calculated) ** 2)


def _extent(result: Result, box: Sequence[slice], vertical: int, horizontal: int) -> tuple[tuple[float, ...], str]:
    """Edges of a slice (left, right, bottom, top) about the centre voxel: nanometres where the voxel size is known."""
    known = result.voxel_size_m is not None
    steps = [1e9 * s for s in result.voxel_size_m] if known else [1.0, 1.0, 1.0]
    (top, bottom), (left, right) = (
        [(edge - result.object.shape[a] // 2 - 0.5) * steps[a] for edge in (box[a].start, box[a].stop)]
        for a in (vertical, horizontal)
    )
    return (left, right, bottom, top), "nm" if known else "voxels"


def _box(support: NDArray[np.bool_]) -> tuple[slice, ...]:
    box = []
    for axis, n in enumerate(support.shape):
        found = np.flatnonzero(support.any(axis=tuple(a for a in range(3) if a != axis)))
        box.append(slice(max(0, int(found[0]) - MARGIN), min(n, int(found[-1]) + 1 + MARGIN)))
    return tuple(box)


def _colours(name: str, bad: str) -> Colormap:
    return mpl.colormaps[name].with_extremes(bad=bad)
