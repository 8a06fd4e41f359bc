"""Where retrieval begins: a network's prediction, or random phases in a support drawn from the autocorrelation."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inphase.errors import DataError
from inphase.fourier import autocorrelation
from inphase.retrieval.problem import Problem

AUTOCORRELATION_THRESHOLD = 0.04


@dataclass(frozen=True)
class Starts:
    """B starts, centred. The engine brings each to the scale of the data.

    objects: (B, N, ...) complex64. supports: (B, N, ...) bool. kind: "network" or "random".
    """

    objects: NDArray[np.complex64]
    supports: NDArray[np.bool_]
    kind: str

    def __post_init__(self) -> None:
        if self.objects.shape != self.supports.shape or self.objects.ndim < 2:
            raise DataError(
                f"starts {self.objects.shape} and supports {self.supports.shape} must have one shape (B, N, ...)"
            )
        empty = np.flatnonzero(~self.supports.reshape(len(self.supports), -1).any(axis=1))
        if empty.size:
            raise DataError(f"the support of start {empty[0]} is empty")


def from_prediction(amplitude: NDArray[np.floating], phase: NDArray[np.floating], threshold: float = 0.1) -> Starts:
    """One start from a predicted amplitude and phase (radians), each (N, ...), centred.

    The support is where the amplitude is at least `threshold` of its maximum.
    """
    if not (np.isfinite(amplitude).all() and np.isfinite(phase).all()) or not amplitude.max() > 0:
        raise DataError("the predicted object is empty or not finite")
    support = amplitude >= threshold * amplitude.max()
    obj = np.where(support, amplitude * np.exp(1j * phase), 0).astype(np.complex64)
    return Starts(obj[None], support[None], "network")


def random(problem: Problem, n: int, seed: int) -> Starts:
    """`n` starts of unit amplitude and independent uniform phases within `autocorrelation_support`; same seed, same starts."""
    support = autocorrelation_support(problem)
    generator = np.random.default_rng(seed)
    phases = generator.uniform(-np.pi, np.pi, (n, *support.shape)).astype(np.float32)
    objects = np.where(support, np.exp(1j * phases), 0).astype(np.complex64)
    return Starts(objects, np.broadcast_to(support, objects.shape), "random")


def autocorrelation_support(problem: Problem, threshold: float = AUTOCORRELATION_THRESHOLD) -> NDArray[np.bool_]:
    """The autocorrelation's support shrunk to half: r such that |AC(2 r)| > threshold |AC(0)|.

    An object fits into half its autocorrelation's support if it is convex and has a centre; for others it is a fair start.
    """
    intensity = np.where(problem.visible, problem.modulus, 0).astype(np.float32) ** 2
    leading = (1,) * (3 - intensity.ndim)  # `fourier` transforms three axes; an axis of one voxel is left as it is
    ac = np.abs(autocorrelation(intensity.reshape(leading + intensity.shape))).reshape(intensity.shape)
    inside: NDArray[np.bool_] = ac > threshold * ac.max()
    halved: NDArray[np.bool_] = np.zeros_like(inside)
    here = tuple(slice(n // 2 - n // 4, n // 2 - n // 4 + n // 2) for n in inside.shape)
    halved[here] = inside[tuple(slice(n // 2 - 2 * (n // 4), None, 2) for n in inside.shape)]
    return halved
