"""Whether the numbers of a measurement are what they are said to be: counts, or a modulus.

Photons are whole and scatter: a second difference x[i-1] - 2 x[i] + x[i+1] of Poisson counts has the variance 6 lambda,
and the structure of the pattern only adds to it. So the scatter, its mean square over 6 times the mean, is 1 or more
wherever it is looked at. Counts that were flat-field-corrected, normalised to a monitor near 1 or had a background
subtracted are fractions and scatter alike; an amplitude, counts divided by a number, an average or a noise-free
simulation scatter less. Not told from counts with noise of readout: a modulus that was scaled up to thousands.
"""

from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from inphase import slabs
from inphase.errors import DataError
from inphase.pattern import Domain, MaskState, Pattern
from inphase.preprocess.core import around
from inphase.preprocess.report import Number, StepReport

REACH = 20  # voxels around the peak that are looked at
BRIGHTNESSES = 6  # parts of equal size by brightness: where the light is dim the structure adds least
LEAST_VOXELS = 500  # of such a part
LEAST_SCATTER = 0.5  # counts have 0.9 and more, their square roots 0.05 to 0.15 where they are bright
LEAST_PEAK = 10.0  # counts: with less in its brightest voxel a pattern has no fringes
LEAST_DISTINCT = 8  # different values that tell a step
MOST_DISTINCT = 64  # the lowest, whose step is well above the rounding of float32
STEP_ERROR = 0.01  # of a step
WHOLE_STEP = (0.7, 1.4)  # of counts normalised to a monitor
LEAST_CUT = 50.0  # counts: among fewer, voxels of one count are common
MOST_ALIKE = 8  # voxels with the largest value: in the tail of any distribution one has it, or two
MODULUS = "if they are a modulus (square roots of counts), say so: --domain modulus, or the field domain=modulus"


@dataclass(frozen=True)
class Values:
    """largest: value. alike: how many voxels have it.
    step: all values are multiples of it, 0 where there is none.
    root_step: the same of their squares.

    scatter: over that of photon counts, the least over axes and brightnesses; None where too few voxels tell.
    fractions: whether some value is no whole number.
    negative: voxels below zero. noise: their root mean square.
    """

    largest: float
    alike: int
    step: float
    root_step: float
    scatter: float | None
    negative: int
    noise: float
    fractions: bool

    @classmethod
    def of(cls, pattern: Pattern, peak: tuple[int, ...]) -> "Values":
        """Look at the values as they were measured, around the peak."""
        box = around(peak, (REACH,) * len(peak), pattern.shape)
        known = pattern.mask[box] == MaskState.VALID
        values = np.where(known, pattern.intensity[box], np.float32(0.0)).astype(np.float64)
        if pattern.domain is Domain.MODULUS:
            values = np.sqrt(values)
        frame = values if values.ndim == 2 else values[peak[0] - box[0].start]
        below = np.empty(0, np.float32)
        if pattern.signed:
            looks = slabs.over_planes(lambda slab: _below_zero(pattern.intensity[slab]), pattern.intensity)
            below = np.concatenate(looks)
        return cls(
            largest=float(values.max()),
            alike=int(np.count_nonzero(values == values.max())),
            step=step(frame),
            root_step=step(frame**2),
            scatter=scatter(values),
            negative=below.size,
            noise=float(np.sqrt(np.square(below, dtype=np.float64).mean())) if below.size else 0.0,
            fractions=bool((values != np.rint(values)).any()),
        )

    @property
    def whole(self) -> bool:
        """Whether all are whole numbers without a common factor."""
        return abs(self.step - 1) < STEP_ERROR


def examine(pattern: Pattern, peak: tuple[int, ...], saturation: float | None = None) -> StepReport:
    """What the values say of themselves. pattern: as it was read. peak: its Bragg peak's voxel. saturation: counts from
    which on voxels are masked.

    Raises DataError where they cannot be counts.
    """
    values = Values.of(pattern, peak)
    numbers: dict[str, Number] = {"largest": values.largest, "step": values.step}
    if values.scatter is not None:
        numbers["scatter"] = values.scatter
    if values.negative:
        numbers |= {"negative_voxels": values.negative, "noise": values.noise}
    cut = _cut(values, pattern.domain, saturation)
    if pattern.domain is Domain.MODULUS:
        return StepReport("values", numbers, faults=_modulus_faults(values), doubts=cut)
    found = _not_counts(values)
    if found and (values.largest < LEAST_PEAK or (values.root_step and not values.step)):
        raise DataError(f"{found}; {MODULUS}")
    doubts: tuple[str, ...] = ()
    if found:
        doubts = (f"{found}; {MODULUS}",)
    elif values.fractions and values.scatter is None:
        doubts = (
            f"the values are fractions (up to {values.largest:.4g}), and too few of them lie above zero to tell "
            f"whether they were counts; give the counts as they were measured; {MODULUS}",
        )
    elif values.largest < LEAST_PEAK:
        doubts = (
            f"the brightest voxel holds {values.largest:.3g} counts: too few for fringes; measure longer, or add scans "
            "up",
        )
    return StepReport("values", numbers, doubts=doubts + cut)


def step(frame: NDArray[np.float64]) -> float:
    """What all values of a frame are multiples of, 0.0 where there is no such thing or too few values tell.
    Negative ones are left out.
    """
    distinct = np.unique(frame[frame > 0].astype(np.float32)).astype(np.float64)[:MOST_DISTINCT]
    if distinct.size < LEAST_DISTINCT:
        return 0.0
    least = float(np.diff(distinct, prepend=0.0).min())
    multiples = distinct / least
    return least if np.abs(multiples - np.rint(multiples)).max() < STEP_ERROR else 0.0


def scatter(values: NDArray[np.float64]) -> float | None:
    """Mean square of second differences over 6 times the mean, the least over axes and brightnesses;
    1 for Poisson counts.

    values: (N, ...), 0 where unknown. None where too few of them are above zero. The brightness of a place is that of
    the one beside it: sorted by its own, the dimmest part would be what fluctuates to nothing.
    """
    along = slabs.each(lambda axis: _scatters(values, axis), range(values.ndim))
    return min(chain.from_iterable(along), default=None)


def _scatters(values: NDArray[np.float64], axis: int) -> list[float]:
    """Along one axis, for each brightness that has enough voxels."""
    lines = np.moveaxis(values, (axis, (axis + 1) % values.ndim), (0, 1))
    bend, mean = lines[:-2] - 2 * lines[1:-1] + lines[2:], (lines[:-2] + lines[1:-1] + lines[2:]) / 3
    beside = mean[:, 1:]
    lit = beside > 0
    bend, mean = bend[:, :-1][lit], mean[:, :-1][lit]
    found = []
    for part in np.array_split(np.argsort(beside[lit]), BRIGHTNESSES):
        light = float(mean[part].sum())
        if part.size >= LEAST_VOXELS and light > 0:
            found.append(float(np.square(bend[part]).sum()) / (6 * light))
    return found


def _below_zero(counts: NDArray[np.float32]) -> NDArray[np.float32]:
    return counts[counts < 0] if counts.min() < 0 else counts.reshape(-1)[:0]


def _not_counts(values: Values) -> str:
    """Why the values are no counts; empty where they may be."""
    low, high = WHOLE_STEP
    if values.root_step and not values.step:
        return f"the squares of all values are multiples of {values.root_step:.4g}: these are square roots of counts"
    if values.step and not low <= values.step <= high:
        return (
            f"all values are multiples of {values.step:.4g}, the largest is {values.largest:.4g}: these are counts "
            f"that were scaled, whose noise is not that of photons; divide them by {values.step:.4g}"
        )
    if values.scatter is None or values.scatter >= LEAST_SCATTER:
        return ""
    return (
        f"the values (up to {values.largest:.4g}) scatter {values.scatter:.2g} times as much as photon counts do: they "
        "are no counts, or were scaled, averaged or smoothed, and log-likelihood and noise mean nothing; give the "
        "counts as they were measured"
    )


def _cut(values: Values, domain: Domain, saturation: float | None) -> tuple[str, ...]:
    """That the largest value is an end at which the peak was cut off."""
    counts = values.largest**2 if domain is Domain.MODULUS else values.largest
    if values.alike < MOST_ALIKE or counts < LEAST_CUT or (saturation is not None and values.largest >= saturation):
        return ()
    remedy = "mask them" if domain is Domain.MODULUS else f"mask them: saturation({values.largest:.10g})"
    return (
        f"{values.alike} voxels around the peak have the largest value, {values.largest:.6g}: the peak was cut off "
        f"there, by the detector or on the way; {remedy}",
    )


def _modulus_faults(values: Values) -> tuple[str, ...]:
    if not values.whole or values.scatter is None or values.scatter < LEAST_SCATTER:
        return ()
    return (
        "the values are whole numbers that scatter as photon counts do: they are counts, not a modulus; "
        "leave out --domain modulus (the field domain=modulus)",
    )
