"""A result as a figure. Only a call that wants one loads matplotlib."""

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure as Figure
from numpy.typing import NDArray

if TYPE_CHECKING:
    from inphase.client.result import Result

_AXES: Final = ("rocking", "row", "column")


class _Panel(NamedTuple):
    title: str
    array: NDArray[Any]
    colours: str
    low: float
    high: float


def planes(result: "Result") -> Figure:
    """A row for each plane through the middle, a column for each quantity; the object with a little room around it, in
    its proportions where the size of a voxel is known.
    """
    rank, box, panels = result.object.ndim, _box(result.support), _panels(result)
    sizes = result.arrays.get("voxel_size_m", np.ones(rank))
    normals: list[int | None] = [0, 1, 2] if rank == 3 else [None]
    figure = Figure(figsize=(3.2 * len(panels), 2.8 * len(normals) + 0.5), layout="constrained")
    axes = figure.subplots(len(normals), len(panels), squeeze=False)
    for column, panel in enumerate(panels):
        colours = mpl.colormaps[panel.colours].with_extremes(bad="#00000000")
        for row, normal in enumerate(normals):
            axis = axes[row, column]
            plane = panel.array if normal is None else panel.array.take(panel.array.shape[normal] // 2, axis=normal)
            shown = tuple(part for at, part in enumerate(box) if at != normal)
            drawn = axis.imshow(plane[shown], colours, vmin=panel.low, vmax=panel.high, interpolation="nearest")
            down, right = (float(size) for at, size in enumerate(sizes) if at != normal)
            axis.set_aspect(down / right if np.isfinite(down / right) else 1.0)
            names = [name for at, name in enumerate(_AXES[3 - rank :]) if at != normal]
            axis.set(ylabel=names[0], xlabel=names[1], xticks=[], yticks=[])
        axes[0, column].set_title(panel.title)
        figure.colorbar(drawn, ax=axes[:, column], shrink=0.7, location="bottom")
    return figure


def _box(support: NDArray[np.bool_]) -> tuple[slice, ...]:
    """The object and a quarter of its extent around it."""
    places = np.argwhere(support)
    low, high = places.min(axis=0), places.max(axis=0) + 1
    room = np.maximum((high - low) // 4, 2)
    return tuple(map(slice, np.maximum(low - room, 0), high + room))


def _panels(result: "Result") -> list[_Panel]:
    inside = result.support & (result.amplitude > 0)
    phase = np.where(inside, result.arrays["phase_flat"], np.nan)
    span = _span(phase, 0.1)
    panels = [
        _Panel("amplitude", result.amplitude, "viridis", 0.0, float(result.amplitude.max())),
        _Panel("phase (rad)", phase, "twilight_shifted", -span, span),
    ]
    strain = result.arrays.get("strain")
    if strain is not None and np.isfinite(strain).any():
        span = _span(1e4 * strain, 1e-2)
        panels.append(_Panel("strain (1e-4)", 1e4 * strain, "RdBu_r", -span, span))
    return panels


def _span(values: NDArray[Any], at_least: float) -> float:
    """About zero, over nearly all values."""
    known = np.abs(values[np.isfinite(values)])
    return max(at_least, float(np.percentile(known, 99)) if known.size else at_least)
