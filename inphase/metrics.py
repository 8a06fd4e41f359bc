"""How good a reconstruction is. Every sum runs over VALID voxels in float64;
n measured counts, m = sqrt(n), F the far field.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeVar

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.special import xlogy
from skimage.metrics import structural_similarity

from inphase import slabs
from inphase.errors import DataError
from inphase.fourier import WORKERS, embedded, forward
from inphase.pattern import Domain, MaskState

RATE_FLOOR = 1e-2  # counts: a calculated far field of exactly zero must not make one stray photon infinitely unlikely

SLAB = 2**21  # voxels looked at together: a grid of 64^3 or 128^3 is one slab

S = TypeVar("S")
_Chosen = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_] | None]


@dataclass(frozen=True)
class Metrics:
    """What `measure` found.

    chi2: sum (s |F| - m)^2 / sum m^2.
    r_factor: sum |s |F| - m| / sum m.
    support_voxels: volume of the support: chi2 falls when it swells, so the two belong together.
    llk: Poisson log-likelihood, mean over the voxels of lambda - n + n ln(n / lambda), lambda = s^2 |F|^2
        (Favre-Nicolin et al. 2020): 0 is a perfect fit, about 1/2 per voxel is left by noise alone where counts are
        high; lower is better. None for a modulus.
    free_llk: the same over the free voxels, with s from the others; None with `free_llk_reason` where it means nothing.
    scale: s = sum |F| m / sum |F|^2, least squares.
    amplitude_cv: coefficient of variation of |o| within the support (`amplitude_variation`).
    """

    chi2: float
    r_factor: float
    support_voxels: int
    llk: float | None
    free_llk: float | None
    free_llk_reason: str | None
    scale: float
    amplitude_cv: float


def measure(
    obj: NDArray[np.complexfloating],
    support: NDArray[np.bool_],
    modulus: NDArray[np.floating],
    mask: NDArray[np.uint8],
    *,
    free: NDArray[np.bool_] | None = None,
    domain: Domain = Domain.COUNTS,
    kernel: NDArray[np.floating] | None = None,
) -> Metrics:
    """Compare the far field of a centred object (N, ...), up to 3D and of any scale,
    with the measured modulus (same shape).

    kernel: of partial coherence, (k, ...) of sum 1, centred on k // 2: |F|^2 is convolved with it before (None:
    coherent). Free voxels are measured ones and count in chi2 and R. DataError if nothing is valid or the object is
    empty.
    """
    valid = mask == MaskState.VALID
    counts, hidden = domain is Domain.COUNTS, None if free is None else free & valid
    far_field = _FarField(far_field_modulus(obj, kernel), modulus, valid, hidden)
    found = far_field.sums()
    if not found.power > 0 or not found.measured > 0:
        raise DataError("metrics need an object and a pattern that are not zero on the valid voxels")
    scale = found.overlap / found.power
    rest = far_field.rest(scale, found.seen_overlap / found.seen_power if found.seen_power > 0 else scale, counts)
    llk, free_llk, reason = None, None, None
    if not counts:
        reason = "the input is a modulus, not counts"
    else:
        llk = rest.deviance / found.voxels
        if not found.hidden:
            reason = "no voxels were set free"
        else:
            free_llk = rest.free_deviance / found.hidden
    return Metrics(
        chi2=rest.squares / found.measured,
        r_factor=rest.distances / found.moduli,
        support_voxels=int(support.sum()),
        llk=llk,
        free_llk=free_llk,
        free_llk_reason=reason,
        scale=scale,
        amplitude_cv=amplitude_variation(obj, support),
    )


class _Sums(NamedTuple):
    """sum f^2, sum f m, sum m^2, sum m and the number of the valid voxels; the first two of those that are not hidden,
    and the number of the hidden ones.
    """

    power: float
    overlap: float
    measured: float
    moduli: float
    voxels: float
    seen_power: float
    seen_overlap: float
    hidden: float


class _Rest(NamedTuple):
    """sum (s f - m)^2 and sum |s f - m|, and the summed deviances of all valid voxels and of the hidden ones."""

    squares: float
    distances: float
    deviance: float
    free_deviance: float


@dataclass(frozen=True)
class _FarField:
    """Sums over a calculated and a measured modulus, in slabs: beside a large volume no other array has room.

    calculated: of any float, f. modulus: of any float, m. valid, hidden: bool.
    """

    calculated: NDArray[np.floating]
    modulus: NDArray[np.floating]
    valid: NDArray[np.bool_]
    hidden: NDArray[np.bool_] | None

    def sums(self) -> _Sums:
        """What the scales follow from."""

        def of(part: slice) -> _Sums:
            f, m, hidden = self._chosen(part)
            power, overlap, unseen = float(f @ f), float(f @ m), 0.0
            seen_power, seen_overlap = power, overlap
            if hidden is not None:
                g, n = f[hidden], m[hidden]
                unseen, seen_power, seen_overlap = len(g), power - float(g @ g), overlap - float(g @ n)
            return _Sums(power, overlap, float(m @ m), float(m.sum()), len(f), seen_power, seen_overlap, unseen)

        return _Sums(*np.sum(self._each(of), axis=0).tolist())

    def rest(self, scale: float, seen_scale: float, counts: bool) -> _Rest:
        """What is left; the deviances, of counts only, with the scale of all voxels and with that of the seen ones."""

        def of(part: slice) -> _Rest:
            f, m, hidden = self._chosen(part)
            rest = scale * f - m
            deviance = free_deviance = 0.0
            if counts:
                deviance = float(_deviance((scale * f) ** 2, m**2).sum())
                if hidden is not None:
                    free_deviance = float(_deviance((seen_scale * f[hidden]) ** 2, m[hidden] ** 2).sum())
            return _Rest(float(rest @ rest), float(np.abs(rest).sum()), deviance, free_deviance)

        return _Rest(*np.sum(self._each(of), axis=0).tolist())

    def _chosen(self, part: slice) -> _Chosen:
        """f and m of the valid voxels of a slab, and which of those are hidden."""
        return self._all if self.valid.size <= SLAB else self._taken(part)

    @cached_property
    def _all(self) -> _Chosen:
        """Those of a volume that is one slab: it is asked for twice."""
        return self._taken(slice(None))

    def _taken(self, part: slice) -> _Chosen:
        inside = self.valid[part]
        f, m = (array[part][inside].astype(np.float64) for array in (self.calculated, self.modulus))
        return f, m, None if self.hidden is None else self.hidden[part][inside]

    def _each(self, sums: Callable[[slice], S]) -> list[S]:
        """Of every slab, in their order; several are looked at side by side."""
        rows = max(1, SLAB * len(self.valid) // self.valid.size)
        parts = [slice(first, first + rows) for first in range(0, len(self.valid), rows)]
        return slabs.each(sums, parts)


def amplitude_variation(obj: NDArray[np.complexfloating], support: NDArray[np.bool_]) -> float:
    """Coefficient of variation of the amplitude: standard deviation over mean of |o| within the support, both (N, ...).

    A crystal of one composition has an even density: 0.1 to 0.3 within a tight support. A support that reaches beyond
    the smoothed edge adds to it: right results of our presets have 0.5 to 0.7. Speckles have 0.52 (Rayleigh), so that
    it compares solutions of one pattern and judges none alone. DataError if the object is zero there.
    """
    amplitude = np.abs(obj[support]).astype(np.float64)
    if not amplitude.any():
        raise DataError("the object is empty within its support: its amplitude has no variation")
    return float(amplitude.std() / amplitude.mean())


def far_field_modulus(
    obj: NDArray[np.complexfloating], kernel: NDArray[np.floating] | None = None
) -> NDArray[np.float64]:
    """|F| of an object of up to three dimensions. With a kernel: the root of |F|^2 convolved with it, periodic."""
    if obj.size > SLAB and kernel is None:
        return _of_the_box(obj).astype(np.float64)
    modulus: NDArray[np.float64] = np.abs(forward(obj)).astype(np.float64)
    if kernel is None:
        return modulus
    placed = embedded(kernel.astype(np.float64), obj.shape)
    axes = tuple(range(obj.ndim))
    response = scipy.fft.fftn(scipy.fft.ifftshift(placed, axes=axes))
    blurred = scipy.fft.ifftn(scipy.fft.fftn(modulus**2) * response).real
    blurred_modulus: NDArray[np.float64] = np.sqrt(np.maximum(blurred, 0))
    return blurred_modulus


def _of_the_box(obj: NDArray[np.complexfloating]) -> NDArray[np.floating]:
    """|F| of an object that is zero on most of its grid: lines that hold nothing are not transformed, and where the
    rest lies changes phases only.
    """
    axes = tuple(range(obj.ndim))
    inside = [np.flatnonzero(obj.any(axis=tuple(a for a in axes if a != axis))) for axis in axes]
    if not all(len(i) for i in inside):
        return np.zeros(obj.shape, obj.real.dtype)
    field = obj[tuple(slice(i[0], i[-1] + 1) for i in inside)]
    for axis, n in enumerate(obj.shape):
        field = scipy.fft.fft(field, n, axis=axis, norm="ortho", workers=WORKERS)
    modulus: NDArray[np.floating] = scipy.fft.fftshift(np.abs(field), axes=axes)
    return modulus


def fitted_modulus(
    obj: NDArray[np.complexfloating],
    modulus: NDArray[np.floating],
    mask: NDArray[np.uint8],
    kernel: NDArray[np.floating] | None = None,
) -> NDArray[np.float32]:
    """|F| of an object (N, ...), up to 3D, times the scale with which it fits the measured modulus best on its valid
    voxels; zero where the object is. kernel: as for `measure`.
    """
    calculated = far_field_modulus(obj, kernel)
    valid = mask == MaskState.VALID
    f, m = calculated[valid], modulus[valid].astype(np.float64)
    power = float(f @ f)
    fitted: NDArray[np.float32] = (calculated * (float(f @ m) / power if power > 0 else 0.0)).astype(np.float32)
    return fitted


def poisson_llk(rate: NDArray[np.float64], counts: NDArray[np.float64]) -> float:
    """Mean of lambda - n + n ln(n / lambda): half the Poisson deviance per voxel, >= 0."""
    return float(np.mean(_deviance(rate, counts)))


def _deviance(rate: NDArray[np.float64], counts: NDArray[np.float64]) -> NDArray[np.float64]:
    rate = np.maximum(rate, RATE_FLOOR)
    deviance: NDArray[np.float64] = rate - counts + xlogy(counts, counts / rate)
    return deviance


def noise_chi2(
    intensity: NDArray[np.floating], mask: NDArray[np.uint8], *, rate: NDArray[np.floating] | None = None
) -> float:
    """The chi2 that Poisson noise alone leaves: sum E[(sqrt n - sqrt lambda)^2] / sum n over the valid voxels.

    intensity: counts. rate: lambda where it is known (simulations); else each voxel's expectation is estimated from its
    own count (`_estimator`): averaging neighbours would smear the speckles into the dark and overestimate by a third.
    """
    valid = mask == MaskState.VALID
    total = intensity[valid].sum(dtype=np.float64)
    if not total > 0:
        raise DataError("no counts are valid: their noise has no chi2")
    if rate is not None:
        return float(sqrt_variance(rate[valid]).sum() / total)
    counts = np.clip(np.rint(intensity[valid]), 0, len(_ESTIMATOR) - 1).astype(np.intp)
    return float(_ESTIMATOR[counts].sum() / total)


def sqrt_variance(rate: NDArray[np.floating]) -> NDArray[np.float64]:
    """E[(sqrt n - sqrt lambda)^2] for Poisson n of mean lambda: 2 lambda for few counts, 1/4 for many; interpolated."""
    variance: NDArray[np.float64] = np.interp(np.sqrt(rate), _ROOTS, _VARIANCE)
    return variance


def poisson_probabilities(rate: NDArray[np.float64], n: NDArray[np.int64]) -> NDArray[np.float64]:
    """Probabilities (rates, counts) float64 of counts `n`, which go up from 0, at every rate."""
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(n[1:]))])
    probability: NDArray[np.float64] = np.exp(xlogy(n, rate[:, None]) - rate[:, None] - log_factorial)
    return probability


def _tabulate() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """sqrt(lambda) and E[(sqrt n - sqrt lambda)^2]; beyond the last lambda, 144, it is 1/4 within 0.3 %."""
    roots, n = np.linspace(0, 12, 1201), np.arange(400)
    return roots, (poisson_probabilities(roots**2, n) * (np.sqrt(n) - roots[:, None]) ** 2).sum(axis=1)


def _estimator() -> NDArray[np.float64]:
    """h(n) with E[h(n)] close to E[(sqrt n - sqrt lambda)^2] for every lambda: -20 % at 0.001, within 6 % above 0.2.

    Least squares on the relative error over lambda, held near 1/4 (what many counts leave) lest h oscillates without
    bound; h(0) = 0, h(n >= 40) = 1/4. No exact h exists, since the expectation is not analytic at lambda = 0.
    """
    n = np.arange(300)
    rate = np.linspace(0.03, 7, 400) ** 2
    probability = poisson_probabilities(rate, n)
    wanted = (probability * (np.sqrt(n) - np.sqrt(rate)[:, None]) ** 2).sum(axis=1)
    design = probability[:, 1:40] / wanted[:, None]
    target = 1 - 0.25 * (1 - probability[:, 0]) / wanted
    excess = np.linalg.solve(design.T @ design + 0.03 * np.eye(39), design.T @ target)
    return np.concatenate([[0.0], 0.25 + excess, [0.25]])


_ROOTS, _VARIANCE = _tabulate()
_ESTIMATOR = _estimator()


def ssim(
    a: NDArray[np.complexfloating],
    b: NDArray[np.complexfloating],
    support_a: NDArray[np.bool_],
    support_b: NDArray[np.bool_],
) -> float:
    """Structural similarity of the amplitudes of `a` and a reference `b`, aligned before (`ambiguity.align`);
    1 is equal.

    Within the box of both supports and 2 voxels around it, data range 1: `b` is scaled to a 99.9th percentile of 1 in
    its support, `a` to `b` by least squares. Uniform windows of 7 voxels a side as in scikit-image, smaller where the
    box is.
    """
    amplitude_a, amplitude_b = (
        np.where(s, np.abs(o), 0).astype(np.float64) for o, s in ((a, support_a), (b, support_b))
    )
    top = np.percentile(amplitude_b[support_b], 99.9)
    power = float((amplitude_a**2).sum())
    if not top > 0 or not power > 0:
        raise DataError("SSIM needs two objects that are not zero")
    box = _box(support_a | support_b, 2)
    amplitude_b = amplitude_b / top
    amplitude_a = amplitude_a * float((amplitude_a * amplitude_b).sum()) / power
    window = min(7, *((n - 1) // 2 * 2 + 1 for n in amplitude_a[box].shape))
    similarity = structural_similarity(amplitude_a[box], amplitude_b[box], data_range=1.0, win_size=window)  # type: ignore[no-untyped-call]
    return float(similarity)


def _box(support: NDArray[np.bool_], margin: int) -> tuple[slice, ...]:
    """Bounding box of a support, grown by `margin` voxels within the array."""
    extents = [
        np.flatnonzero(support.any(axis=tuple(i for i in range(support.ndim) if i != axis)))
        for axis in range(support.ndim)
    ]
    return tuple(slice(max(0, int(e[0]) - margin), int(e[-1]) + 1 + margin) for e in extents)


def phase_error(
    obj: NDArray[np.complexfloating], reference: NDArray[np.complexfloating], support: NDArray[np.bool_]
) -> float:
    """Root mean square of the wrapped phase difference in radians over `support` (the intersection of both supports).

    The global phase, arg sum obj conj(reference), is removed before; twin and shift must be (`ambiguity.align`).
    """
    if not support.any():
        raise DataError("the supports do not intersect: align the objects first")
    ratio = (obj[support] * np.conj(reference[support])).astype(np.complex128)
    difference = np.angle(ratio * np.exp(-1j * np.angle(ratio.sum())))
    return float(np.sqrt(np.mean(difference**2)))
