"""Ptychographic scans of whole pixels for networks that learn from them: groups of overlapping patterns.

As in Hoidn et al., Sci. Rep. 13:22789 (2023), Data generation and training: squares of 2 x 2 positions lie on a raster,
and photons are counted. `training.simulate.ptychography` has scans at fractions of a pixel.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from training.simulate.textures import TEXTURES, with_phase

CURVATURE = 2 * np.pi  # phase of the curved probe at the edge of its disc, rad
CHUNK = 512  # patterns that are computed together


@dataclass(frozen=True)
class RasterSettings:
    """What scans are drawn.

    texture: of the object's amplitude, a name of `textures`. phase: whether a phase follows the amplitude, or is zero.
    objects: how many are scanned, of `side` pixels. step: pixels between the neighbours of a group. stride: pixels
    between groups. neighbours: patterns of a group, 4 in a square or 1. probe: a disc with a flat phase, as in the
    paper, or a curved one. photons: mean counts of a pattern of the training objects.
    """

    texture: str = "lines"
    phase: bool = False
    objects: int = 9
    side: int = 392
    step: int = 4
    stride: int = 8
    neighbours: int = 4
    probe: Literal["flat", "curved"] = "flat"
    photons: float = 1e9

    def __post_init__(self) -> None:
        if self.texture not in TEXTURES:
            raise ValueError(f"unknown texture {self.texture!r}; known: {', '.join(TEXTURES)}")
        if self.probe not in ("flat", "curved"):
            raise ValueError(f"a probe is flat or curved, not {self.probe!r}")
        if self.neighbours not in (1, 4):
            raise ValueError(f"a group has 1 or 4 patterns, not {self.neighbours}")


@dataclass(frozen=True, eq=False)
class Raster:
    """Scans of several objects with one probe.

    objects: (n, Y, X) complex64, at most 1 in amplitude. probe: (N, N) complex64, 1 at most, 0 beyond N / 4 of its
    centre N // 2: the exit wave keeps within half of the window. scale: square root of photons of a unit amplitude.
    windows: (p, 3) int, the object, and row and column of the window's corner on it. groups: (g, C) int, windows.
    counts: (p, N, N) float32, the DC pixel at N // 2.
    """

    objects: NDArray[np.complex64]
    probe: NDArray[np.complex64]
    scale: float
    windows: NDArray[np.intp]
    groups: NDArray[np.intp]
    counts: NDArray[np.float32]

    @property
    def photons(self) -> float:
        """Mean counts of a pattern."""
        return float(self.counts.sum(dtype=np.float64)) / len(self.counts)

    @property
    def offsets(self) -> NDArray[np.float64]:
        """(C, 2): where the windows of a group lie from their centroid."""
        return offsets(self.windows[self.groups[0], 1:])

    def patches(self, windows: NDArray[np.intp]) -> NDArray[np.complex64]:
        """(n, N, N): what the objects are in these windows, by number."""
        side = len(self.probe)
        views = np.lib.stride_tricks.sliding_window_view(self.objects, (side, side), axis=(1, 2))
        patches: NDArray[np.complex64] = views[tuple(self.windows[windows].T)]
        return patches


def offsets(positions: NDArray[np.integer]) -> NDArray[np.float64]:
    """Positions (C, 2) less their mean."""
    return np.asarray(positions - positions.mean(axis=0), np.float64)


def probe(kind: str, side: int) -> NDArray[np.complex64]:
    """(side, side): the paper's disc, a thresholded and blurred Gaussian of a diameter of a third of the window.

    Flat, or curved as out of focus: its phase grows with the square of the radius.
    """
    line = np.arange(side) - side // 2
    radius = np.hypot(line[:, None], line)
    sigma = side / (0.7 * np.pi**2)
    edge = sigma * np.sqrt(2 * np.log(2))  # where the Gaussian is 1/2
    disc = gaussian_filter((radius < edge).astype(np.float64), 1.0)
    disc[radius >= side / 4] = 0
    phase = CURVATURE * (radius / edge) ** 2 if kind == "curved" else np.zeros_like(radius)
    beam: NDArray[np.complex64] = (disc / disc.max() * np.exp(1j * phase)).astype(np.complex64)
    return beam


def samples(settings: RasterSettings, count: int, seed: int) -> NDArray[np.complex64]:
    """Objects (count, side, side) of a seed."""
    drawn = (
        TEXTURES[settings.texture](settings.side, np.random.default_rng((seed, number))) for number in range(count)
    )
    return np.stack([with_phase(a) if settings.phase else a for a in drawn]).astype(np.complex64)


def squares(settings: RasterSettings, window: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Corners (p, 2) of all windows on one object, each once, and the groups (g, C) that they make."""
    corners = np.arange(0, settings.side - window - settings.step + 1, settings.stride)
    grid = np.stack(np.meshgrid(corners, corners, indexing="ij"), -1).reshape(-1, 1, 2)
    inner = settings.step * np.array([(0, 0), (0, 1), (1, 0), (1, 1)])
    positions, index = np.unique((grid + inner).reshape(-1, 2), axis=0, return_inverse=True)
    groups = index.reshape(-1, 4) if settings.neighbours == 4 else np.arange(len(positions))[:, None]
    return positions.astype(np.intp), groups.astype(np.intp)


def scan(
    settings: RasterSettings, window: int, seed: int, scale: float | None = None, count: int | None = None
) -> Raster:
    """The objects of a seed, scanned. scale: None for the one that gives the photons of the settings.

    count: of objects, None for that of the settings.
    """
    objects = samples(settings, settings.objects if count is None else count, seed)
    beam = probe(settings.probe, window)
    positions, groups = squares(settings, window)
    each = np.arange(len(objects))
    windows = np.column_stack([np.repeat(each, len(positions)), np.tile(positions, (len(objects), 1))])
    members = (each[:, None, None] * len(positions) + groups).reshape(-1, groups.shape[1])
    empty = Raster(objects, beam, 1.0, windows, members, np.empty((0, window, window), np.float32))
    if scale is None:
        power = [np.square(np.abs(beam * empty.patches(chunk))).sum(axis=(1, 2)) for chunk in _chunks(len(windows))]
        scale = float(np.sqrt(settings.photons / np.concatenate(power).mean()))
    generator = np.random.default_rng((seed, len(objects), settings.neighbours))
    counts = np.concatenate(
        [generator.poisson(scale**2 * far_field(beam * empty.patches(chunk))) for chunk in _chunks(len(windows))],
        dtype=np.float32,
        casting="same_kind",
    )
    return Raster(objects, beam, scale, windows, members, counts)


def far_field(waves: NDArray[np.complexfloating]) -> NDArray[np.float64]:
    """|F psi|^2 of exit waves (n, N, N), unitary, the DC pixel at N // 2."""
    field = np.fft.fftshift(np.fft.fft2(waves, norm="ortho"), axes=(1, 2))
    intensity: NDArray[np.float64] = np.square(np.abs(field))
    return intensity


def _chunks(count: int) -> list[NDArray[np.intp]]:
    return np.array_split(np.arange(count), -(-count // CHUNK))
