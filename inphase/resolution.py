"""To which resolution a reconstruction is determined: phase retrieval transfer function and Fourier shell correlation.

Both are averages over shells in |q| around the DC voxel. Where the geometry is known |q| honours unequal and sheared
steps; elsewhere the object's voxels are taken for cubes and |q| is in units of the Nyquist frequency.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from inphase.errors import DataError
from inphase.fourier import forward
from inphase.geometry import Geometry
from inphase.pattern import MaskState

ONE_OVER_E = 1 / np.e
FIXED = 0.143  # Rosenthal & Henderson, J. Mol. Biol. 333, 721 (2003)
CONE = np.pi / 4  # half the opening of the cone about an axis: wide enough for many voxels in every shell
CORE = 3  # voxels on either side of DC whose mean is the transfer function's unit

Unit = Literal["1/m", "nyquist"]


@dataclass(frozen=True)
class Shells:
    """Shells of equal width in |q|.

    index: (N, ...) intp, the shell of each voxel, `count` beyond the last one.
    q: (count,) float64, the middle of each shell in `unit`: 1/m (2 pi / d), or the Nyquist frequency of the object's
    voxels.
    """

    index: NDArray[np.intp]
    q: NDArray[np.float64]
    unit: Unit

    @classmethod
    def of(cls, shape: tuple[int, ...], geometry: Geometry | None = None) -> "Shells":
        """Shells of a grid whose DC voxel is N // 2, up to the end of the longest axis.

        Each is as wide as the longest step in q, so that every one that lies within the grid has voxels in all
        directions; where the axes reach differently far, the outer ones hold the directions that were measured.
        geometry: of this grid, three-dimensional.
        """
        steps = _steps(shape, geometry)
        square = np.zeros(shape)
        for component in steps.T:
            square += _component(shape, component) ** 2
        lengths = np.linalg.norm(steps, axis=1)
        width = float(lengths.max())
        end = float((lengths * [n / 2 for n in shape]).max())
        count = max(1, math.ceil(end / width - 1e-6))
        index = np.minimum(np.rint(np.sqrt(square) / width), count).astype(np.intp)
        return cls(index, width * np.arange(count, dtype=np.float64), "nyquist" if geometry is None else "1/m")

    def along(self, axis: int, shape: tuple[int, ...], geometry: Geometry | None = None) -> "Shells":
        """The same shells within a double cone of 45 degrees about an axis of the pattern. Arguments as in `of`."""
        steps = _steps(shape, geometry)
        unit = steps[axis] / np.linalg.norm(steps[axis])
        components = [_component(shape, component) for component in steps.T]
        length = np.sqrt(sum(component**2 for component in components))
        forward_part = np.abs(sum(part * component for part, component in zip(unit, components, strict=True)))
        inside = forward_part >= np.cos(CONE) * length
        return Shells(np.where(inside, self.index, len(self.q)), self.q, self.unit)

    def sums(self, volume: NDArray[np.floating]) -> NDArray[np.float64]:
        """Sum of a volume over each shell, (count,) float64."""
        total = np.bincount(self.index.ravel(), volume.ravel(), len(self.q) + 1)[: len(self.q)]
        return np.asarray(total, np.float64)


def _steps(shape: tuple[int, ...], geometry: Geometry | None) -> NDArray[np.float64]:
    steps = geometry.q_steps if geometry is not None else np.diag([2 / n for n in shape])
    if len(steps) != len(shape):
        raise DataError(f"a geometry of {len(steps)} axes does not fit a grid of {shape}")
    return np.asarray(steps, np.float64)


def _component(shape: tuple[int, ...], component: NDArray[np.float64]) -> NDArray[np.float64]:
    """One component of q over the grid: a volume of vectors would be three times as large."""
    q = sum(
        step * (np.arange(n, dtype=np.float64) - n // 2).reshape([-1 if a == axis else 1 for a in range(len(shape))])
        for axis, (step, n) in enumerate(zip(component, shape, strict=True))
    )
    return np.asarray(np.broadcast_to(q, shape), np.float64)


@dataclass(frozen=True)
class Resolution:
    """Where a curve first falls below its threshold, linearly interpolated between shells.

    criterion: "1/e", "0.143" or "half-bit". q: |q| there; where `crossed` is false the last shell: the curve stays
    above.
    """

    criterion: str
    q: float
    unit: Unit
    crossed: bool

    @property
    def metres(self) -> float | None:
        """The full period 2 pi / q; None where the geometry is not known."""
        return 2 * np.pi / self.q if self.unit == "1/m" and self.q > 0 else None

    @property
    def voxels(self) -> float | None:
        """The full period in voxels of the object, 2 at Nyquist; None where the geometry is known."""
        return 2 / self.q if self.unit == "nyquist" and self.q > 0 else None


@dataclass(frozen=True)
class Curve:
    """A figure per shell: q and values (n,) float64, voxels (n,) that it was computed from.
    Shells without any are left out.
    """

    q: NDArray[np.float64]
    values: NDArray[np.float64]
    voxels: NDArray[np.intp]
    unit: Unit

    def resolution(self, criterion: str, threshold: float | NDArray[np.float64]) -> Resolution:
        """Where it first falls below `threshold`, one number or one per shell. A value of NaN is below any."""
        excess = self.values - threshold
        below = np.flatnonzero(~(excess >= 0))
        if below.size == 0:
            return Resolution(criterion, float(self.q[-1]), self.unit, crossed=False)
        k = int(below[0])
        if k == 0:
            return Resolution(criterion, float(self.q[0]), self.unit, crossed=True)
        # after a shell that decides nothing (`half_bit`), or in one without a value, there is nothing to interpolate
        part = excess[k - 1] / (excess[k - 1] - excess[k]) if np.isfinite(excess[k - 1 : k + 1]).all() else 1.0
        return Resolution(criterion, float(self.q[k - 1] + part * (self.q[k] - self.q[k - 1])), self.unit, crossed=True)


def prtf(
    average: NDArray[np.complexfloating], modulus: NDArray[np.floating], mask: NDArray[np.uint8], shells: Shells
) -> Curve:
    """Phase retrieval transfer function: |mean of F| / m, averaged over each shell.

    average: (N, ...) the mean of ALIGNED solutions of one scale (the FFT is linear: its far field is the mean of
    theirs). Where their phases agree |mean F| = |F|, where they are random it falls as 1 / sqrt(number of solutions).
    Masked voxels and measured zeros do not count; the unit is the mean over the 7^3 voxels around DC. Chapman et al.,
    J. Opt. Soc. Am. A 23, 1179 (2006). It says how reproducibly the pattern is phased: with one solution it is 1.
    """
    known = (mask == MaskState.VALID) & (modulus > 0)
    ratio = np.zeros(modulus.shape)
    np.divide(np.abs(forward(average)), modulus, out=ratio, where=known)
    centre = tuple(slice(max(0, n // 2 - CORE), n // 2 + CORE + 1) for n in modulus.shape)
    lit = known[centre]
    if not lit.any() or not ratio[centre][lit].any():
        raise DataError("the transfer function needs measured counts and an object around the centre of the pattern")
    return _curve(shells, shells.sums(ratio / ratio[centre][lit].mean()), shells.sums(known), known)


def fsc(
    a: NDArray[np.complexfloating],
    b: NDArray[np.complexfloating],
    shells: Shells,
    mask: NDArray[np.uint8] | None = None,
) -> Curve:
    """Fourier shell correlation of two ALIGNED objects (N, ...):
    Re sum F_a conj(F_b) / sqrt(sum |F_a|^2 sum |F_b|^2) per shell.

    Valid voxels only, where a mask is given. Harauz & van Heel, Optik 73, 146 (1986); of planes it is the ring
    correlation. Two solutions of one pattern share its noise: their correlation tells how reproducible the phases are,
    as the transfer function does; that of two measurements tells the resolution.
    """
    return fscs(a, b, (shells,), mask)[0]


def fscs(
    a: NDArray[np.complexfloating],
    b: NDArray[np.complexfloating],
    parts: Sequence[Shells],
    mask: NDArray[np.uint8] | None = None,
) -> list[Curve]:
    """`fsc` over several sets of shells of one grid, such as those along each axis."""
    known = np.ones(a.shape, bool) if mask is None else mask == MaskState.VALID
    f, g = (np.where(known, forward(o), 0) for o in (a, b))
    both, one, other = f.real * g.real + f.imag * g.imag, np.abs(f) ** 2, np.abs(g) ** 2
    curves = []
    for shells in parts:
        cross, power = shells.sums(both), np.sqrt(shells.sums(one) * shells.sums(other))
        counted = shells.sums(known)
        values = np.divide(cross * counted, power, out=np.zeros_like(cross), where=power > 0)
        curves.append(_curve(shells, values, counted, known))
    return curves


def half_bit(curve: Curve, independent: float) -> NDArray[np.float64]:
    """The correlation at which a voxel carries half a bit of information, per shell.

    (0.2071 + 1.9102 / sqrt n) / (1.2071 + 0.9102 / sqrt n), van Heel & Schatz, J. Struct. Biol. 151, 250 (2005).
    n: the shell's voxels times `independent`, the share of the grid that the object fills: oversampled voxels repeat
    what their neighbours say. Around the centre n is below 1: such a shell decides nothing, its threshold is -inf.
    """
    n = curve.voxels * independent
    root = np.sqrt(np.maximum(n, 1.0))
    threshold = (0.2071 + 1.9102 / root) / (1.2071 + 0.9102 / root)
    return np.where(n < 1, -np.inf, threshold)


def _curve(shells: Shells, sums: NDArray[np.float64], counted: NDArray[np.float64], known: NDArray[np.bool_]) -> Curve:
    """Means over the shells that have voxels."""
    if known.shape != shells.index.shape:
        raise DataError(f"shells of a grid of {shells.index.shape} do not fit volumes of {known.shape}")
    filled = counted > 0
    return Curve(shells.q[filled], sums[filled] / counted[filled], counted[filled].astype(np.intp), shells.unit)
