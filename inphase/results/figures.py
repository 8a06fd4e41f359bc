"""Figures of results: slices, surfaces, curves, comparisons. matplotlib draws them (the extra `figures`)."""

from collections.abc import Sequence
from typing import Any, Final, cast

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure, SubFigure
from mpl_toolkits.mplot3d import Axes3D
from mpl_toolkits.mplot3d.art3d import Poly3DCollection
from numpy.typing import NDArray

from inphase.formats.result import Result
from inphase.metrics import far_field_modulus
from inphase.pattern import MaskState
from inphase.results.comparison import Comparison
from inphase.surface import Surface, isosurface, value_of_faces

AXES: Final = ("rocking", "row", "column")
MARGIN: Final = 3  # voxels shown around the support
OUTSIDE: Final = "#eef1f4"  # where there is no object
INK: Final = "#1b2733"
VISIBLE: Final = 0.25  # of the amplitude's scale: below it, at the rim of the support, a phase means nothing
SURFACE: Final = 0.3  # of the amplitude's scale
MOST_CELLS: Final = 60  # along a side of the volume whose surface is drawn; a finer one is thinned out
STYLE: Final[dict[Any, Any]] = {"font.size": 9, "text.color": INK, "axes.labelcolor": INK, "axes.titlesize": 10}
_VIEWS: Final = ((25, -60), (25, 120))  # elevation and azimuth in degrees: from both sides
_LIGHT: Final = np.array([0.3, -0.5, 0.8])

Panel = tuple[str, NDArray[Any], Colormap, float, float, str]  # title, volume, colours, lowest, highest, label
Figures = Figure | SubFigure


def slices(figure: Figures, result: Result) -> None:
    """Three orthogonal slices through the middle of the object: amplitude, phase without its ramp, and strain."""
    scale = float(np.percentile(result.amplitude[result.support], 99.9))
    visible = result.support & (result.amplitude > VISIBLE * scale)
    phase = np.where(visible, result.phase_flat, np.nan)
    span = _span(phase, at_least=0.3, at_most=np.pi)
    panels: list[Panel] = [
        ("amplitude", result.amplitude / scale, _colours("viridis"), 0.0, 1.1, "99.9th percentile = 1"),
        ("phase", phase, _colours("twilight_shifted"), -span, span, "without its ramp (rad)"),
    ]
    if "strain" in result.derived and np.isfinite(result.derived["strain"]).any():
        strain = np.where(visible, result.derived["strain"], np.nan) * 1e4
        span = _span(strain, at_least=1e-2)
        panels.append(("strain along Q", strain, _colours("RdBu_r"), -span, span, r"$10^{-4}$"))
    _grid(figure, panels, result.support, _lengths(result))


def surfaces(figure: Figures, result: Result) -> None:
    """The surface of the amplitude from two sides, coloured by the phase, and by the strain where it is known."""
    if result.object.ndim != 3:
        return
    scale = float(np.percentile(result.amplitude[result.support], 99.9))
    coloured: list[Panel] = []
    phase = np.where(result.support & (result.amplitude > VISIBLE * scale), result.phase_flat, np.nan)
    span = _span(phase, at_least=0.3, at_most=np.pi)
    coloured.append(("phase", phase, _colours("twilight_shifted"), -span, span, "phase (rad)"))
    if "strain" in result.derived and np.isfinite(result.derived["strain"]).any():
        strain = result.derived["strain"] * 1e4
        span = _span(strain, at_least=1e-2)
        coloured.append(("strain", strain, _colours("RdBu_r"), -span, span, r"strain along Q ($10^{-4}$)"))
    amplitude = np.where(result.support, result.amplitude, 0)
    basis = None if result.voxel_basis_m is None else 1e9 * result.voxel_basis_m
    mesh = isosurface(amplitude, SURFACE * scale / float(amplitude.max()), basis, finest=MOST_CELLS)
    for row, panel in enumerate(coloured):
        _, volume, colours, low, high, label = panel
        norm = Normalize(low, high)
        axes = [
            cast(Axes3D, figure.add_subplot(len(coloured), len(_VIEWS), row * len(_VIEWS) + k + 1, projection="3d"))
            for k in range(len(_VIEWS))
        ]
        for view, axis in zip(_VIEWS, axes, strict=True):
            _surface(axis, mesh, volume, colours, norm, view, _unit(result))
        figure.colorbar(mpl.cm.ScalarMappable(norm, colours), ax=axes, shrink=0.7, pad=0.08, label=label)


def curves(figure: Figures, result: Result, history: Sequence[tuple[int, float]], fsc: NDArray[Any] | None) -> None:
    """The rocking curve measured and calculated, the error over the iterations, and what the starts agree on."""
    wanted = [result.measured and result.object.ndim == 3, len(history) > 1, fsc is not None]
    if not any(wanted):
        figure.text(0.5, 0.5, "the file holds neither a pattern nor an error curve", ha="center")
        return
    axes: list[Axes] = list(np.atleast_1d(figure.subplots(1, sum(wanted))))
    if wanted[0]:
        _rocking(axes.pop(0), result)
    if wanted[1]:
        axis = axes.pop(0)
        iterations, chi2 = zip(*history, strict=True)
        axis.semilogy(iterations, chi2, color="#2868a8", marker=".", ms=4)
        axis.set(xlabel="iteration", ylabel=r"$\chi^2$", title="error")
    if wanted[2]:
        assert fsc is not None
        axis = axes.pop(0)
        metric = fsc[-1, 0] > 1e3  # 1/m, and not shares of Nyquist
        axis.plot(fsc[:, 0] * (1e-9 if metric else 1), fsc[:, 1], color="#2868a8")
        axis.set(
            xlabel="q (1/nm)" if metric else "q / Nyquist",
            title="Fourier shell correlation of the starts",
            ylim=(0, 1.05),
        )


def comparison(found: Comparison) -> Figure:
    """Slices through both objects and their differences."""
    with mpl.rc_context(STYLE):
        arrays = found.arrays()
        phases = [
            np.where(arrays[f"amplitude_{side}"] > VISIBLE, arrays[f"phase_{side}"], np.nan) for side in ("a", "b")
        ]
        turn = arrays["phase_difference"]
        span = max(_span(phase, at_least=0.3, at_most=np.pi) for phase in phases)
        grey, cyclic, signed = _colours("viridis"), _colours("twilight_shifted"), _colours("RdBu_r")
        apart = _span(turn, at_least=0.05, at_most=np.pi)
        panels: list[Panel] = [
            ("amplitude A", arrays["amplitude_a"], grey, 0, 1.1, "A = 1"),
            ("amplitude B", arrays["amplitude_b"], grey, 0, 1.1, "A = 1"),
            ("phase A", phases[0], cyclic, -span, span, "rad"),
            ("phase B", phases[1], cyclic, -span, span, "rad"),
            ("phase B - A", turn, signed, -apart, apart, "rad"),
        ]
        if "strain_a" in arrays:
            strain, difference = arrays["strain_a"] * 1e4, arrays["strain_difference"] * 1e4
            apart = max(_span(strain, at_least=1e-2), _span(difference, at_least=1e-2))
            panels += [
                ("strain A", strain, signed, -apart, apart, r"$10^{-4}$"),
                ("strain B - A", difference, signed, -apart, apart, r"$10^{-4}$"),
            ]
        rows = 3 if found.a.ndim == 3 else 1
        figure = Figure(figsize=(2.3 * len(panels), 2.1 * rows + 1.3), dpi=110, layout="constrained")
        resolution = found.resolution
        period = f"{1e9 * resolution.metres:.3g} nm" if resolution.metres else f"{resolution.voxels or 0:.3g} voxels"
        figure.suptitle(
            f"A: {found.source_a}    B: {found.source_b}\ncorrelation {found.correlation:.4f}"
            f"{' (B is the twin)' if found.alignment.twin else ''}, SSIM {found.ssim:.3f}"
            f", phase {found.phase.rms:.3g} rad rms"
            + ("" if found.strain is None else f", strain {found.strain.rms:.2g} rms")
            + f", half a bit {'at' if resolution.crossed else 'beyond'} {period}",
            fontsize=9,
        )
        lengths, unit = np.ones(found.a.ndim), "voxels"
        if found.geometry is not None:
            lengths, unit = 1e9 * np.array(found.geometry.voxel_size_m(found.a.shape)), "nm"
        _grid(figure, panels, found.inside_a | found.inside_b, (lengths, unit))
        return figure


def overview(result: Result, title: str, history: Sequence[tuple[int, float]], fsc: NDArray[Any] | None) -> Figure:
    """Slices, surfaces and curves on one sheet."""
    with mpl.rc_context(STYLE):
        strained = "strain" in result.derived
        volume = result.object.ndim == 3
        figure = Figure(
            figsize=(17 if volume else 9, 9.5 if volume else 6), dpi=100, facecolor="white", layout="constrained"
        )
        figure.suptitle(title, fontsize=11, x=0.01, ha="left")
        if not volume:
            slices(figure, result)
            return figure
        top, bottom = cast(Any, figure.subfigures(2, 1, height_ratios=(7, 2.5)))
        left, right = cast(Any, top.subfigures(1, 2, width_ratios=(8.4 if strained else 6, 8)))
        slices(left, result)
        surfaces(right, result)
        curves(bottom, result, history, fsc)
        return figure


def single(kind: str, result: Result, history: Sequence[tuple[int, float]], fsc: NDArray[Any] | None) -> Figure:
    """One of the parts of `overview` as a figure of its own: slices, surfaces or curves."""
    with mpl.rc_context(STYLE):
        sizes = {"slices": (9.5, 8.5), "surfaces": (10, 8.5), "curves": (13, 3)}
        figure = Figure(figsize=sizes[kind], dpi=95, facecolor="white", layout="constrained")
        if kind == "slices":
            slices(figure, result)
        elif kind == "surfaces":
            surfaces(figure, result)
        else:
            curves(figure, result, history, fsc)
        return figure


def _grid(
    figure: Figures, panels: Sequence[Panel], inside: NDArray[np.bool_], size: tuple[NDArray[np.float64], str]
) -> None:
    """A row for each plane through the middle, a column for each panel, its colour bar below."""
    lengths, unit = size
    box = _box(inside)
    rank = inside.ndim
    planes: list[int | None] = [0, 1, 2] if rank == 3 else [None]
    names = AXES[3 - rank :]
    axes = figure.subplots(len(planes), len(panels), squeeze=False)
    for column, (title, volume, colours, low, high, label) in enumerate(panels):
        for row, normal in enumerate(planes):
            vertical, horizontal = (axis for axis in range(rank) if axis != normal)
            middle = 0 if normal is None else (box[normal].start + box[normal].stop) // 2
            index = tuple(middle if axis == normal else box[axis] for axis in range(rank))
            edges = [
                [(edge - inside.shape[axis] // 2 - 0.5) * lengths[axis] for edge in (box[axis].start, box[axis].stop)]
                for axis in (horizontal, vertical)
            ]
            extent = (edges[0][0], edges[0][1], edges[1][1], edges[1][0])
            panel: Axes = axes[row, column]
            image = panel.imshow(
                volume[index], cmap=colours, vmin=low, vmax=high, extent=extent, interpolation="nearest"
            )
            panel.locator_params(nbins=4)
            panel.set_xlabel(f"{names[horizontal]} ({unit})")
            panel.set_ylabel(f"{names[vertical]} ({unit})" if column == 0 else "")
            if row == 0:
                panel.set_title(title)
        figure.colorbar(image, ax=list(axes[:, column]), location="bottom", shrink=0.85, pad=0.02, label=label)


def _surface(
    axis: Axes3D,
    mesh: Surface,
    volume: NDArray[np.floating],
    colours: Colormap,
    norm: Normalize,
    view: tuple[int, int],
    unit: str,
) -> None:
    """Triangles in the colour of the nearest voxel that has one, shaded by how they face the light."""
    drawn = mesh.vertices[:, [0, 2, 1]]  # the beam, z of the laboratory, runs into the picture; y is up
    corners = drawn[mesh.faces]
    colour = colours(norm(value_of_faces(volume, mesh)))
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    shade = 0.65 + 0.35 * np.abs(normal @ (_LIGHT / np.linalg.norm(_LIGHT)))
    colour[:, :3] *= shade[:, None]
    axis.add_collection3d(Poly3DCollection(corners, facecolors=colour, edgecolors=colour, linewidths=0.2))
    low, high = drawn.min(axis=0), drawn.max(axis=0)
    middle, half = (low + high) / 2, max(float((high - low).max()) / 2, 1e-9)
    axis.set(xlim=(middle[0] - half, middle[0] + half), ylim=(middle[1] - half, middle[1] + half))
    axis.set_zlim(middle[2] - half, middle[2] + half)
    axis.set_box_aspect((1, 1, 1))
    axis.view_init(*view)
    axis.set(xlabel=f"x ({unit})", ylabel=f"z, beam ({unit})", zlabel=f"y ({unit})")
    axis.locator_params(nbins=4)
    axis.tick_params(labelsize=7)


def _rocking(axis: Axes, result: Result) -> None:
    valid = result.mask == MaskState.VALID
    calculated = far_field_modulus(result.object, result.coherence_kernel)
    f, m = calculated[valid], result.modulus[valid].astype(np.float64)
    scale = float(f @ m) / float(f @ f)
    frames = np.arange(len(valid)) - len(valid) // 2
    for volume, label, style in (
        (result.modulus.astype(np.float64) ** 2, "measured", {"color": INK, "marker": ".", "ms": 4, "lw": 0.8}),
        ((scale * calculated) ** 2, "calculated", {"color": "#d1495b", "lw": 1.2}),
    ):
        counts = np.where(valid, volume, 0).sum(axis=(1, 2))
        axis.semilogy(frames, np.where(counts > 0, counts, np.nan), label=label, **style)
    axis.set(xlabel="frame of the grid, from the peak", ylabel="counts", title="rocking curve")
    axis.legend(frameon=False)


def _lengths(result: Result) -> tuple[NDArray[np.float64], str]:
    if result.voxel_size_m is None:
        return np.ones(result.object.ndim), "voxels"
    return 1e9 * np.array(result.voxel_size_m), "nm"


def _unit(result: Result) -> str:
    return "voxels" if result.voxel_basis_m is None else "nm"


def _span(values: NDArray[np.floating], *, at_least: float, at_most: float = np.inf) -> float:
    """What the colours reach to on either side of zero."""
    known = np.abs(values[np.isfinite(values)])
    return float(min(at_most, max(at_least, 1.05 * np.percentile(known, 99.5) if known.size else 0.0)))


def _box(support: NDArray[np.bool_]) -> tuple[slice, ...]:
    box = []
    for axis, n in enumerate(support.shape):
        found = np.flatnonzero(support.any(axis=tuple(a for a in range(support.ndim) if a != axis)))
        box.append(slice(max(0, int(found[0]) - MARGIN), min(n, int(found[-1]) + 1 + MARGIN)))
    return tuple(box)


def _colours(name: str) -> Colormap:
    return mpl.colormaps[name].with_extremes(bad=OUTSIDE)
