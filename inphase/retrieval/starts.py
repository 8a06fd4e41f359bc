"""Where retrieval begins: a network's prediction, also disturbed, or flat or random objects in a support drawn from
the autocorrelation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from inphase.errors import DataError
from inphase.fourier import autocorrelation
from inphase.retrieval.problem import Problem

AUTOCORRELATION_THRESHOLD = 0.04
JITTER_PHASE = 0.5  # radians, rms
JITTER_AMPLITUDE = 0.2  # rms, relative
JITTER_LENGTH = 1 / 16  # of the grid's side: the Gaussian's sigma, a quarter of a crystal at oversampling 4

Kind = Literal["network", "jittered", "autocorrelation", "random", "mixed"]
FROM_NETWORK: Final[tuple[Kind, ...]] = ("network", "jittered")  # a prediction stands behind these


@dataclass(frozen=True)
class Starts:
    """B starts, centred. The engine brings each to the scale of the data.

    objects: (B, N, ...) complex64. supports: (B, N, ...) bool. kind: of all of them, "mixed" where it differs.
    """

    objects: NDArray[np.complex64]
    supports: NDArray[np.bool_]
    kind: Kind

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
    obj = np.zeros(support.shape, np.complex64)
    obj[support] = amplitude[support] * np.exp(1j * phase[support])
    return Starts(obj[None], support[None], "network")


def together(parts: Sequence[Starts]) -> Starts:
    """Several batches as one, in order."""
    kinds = {part.kind for part in parts}
    return Starts(
        np.concatenate([part.objects for part in parts]),
        np.concatenate([part.supports for part in parts]),
        kinds.pop() if len(kinds) == 1 else "mixed",
    )


def of_every_kind(
    amplitude: NDArray[np.floating],
    phase: NDArray[np.floating],
    problem: Problem,
    n: int,
    seed: int,
    threshold: float = 0.1,
) -> list[Starts]:
    """`n` starts in batches of one kind: the prediction, and then jittered, flat and random ones in equal numbers."""
    rest = n - 1
    batches = [from_prediction(amplitude, phase, threshold)]
    if rest > 0:
        batches.append(jittered(amplitude, phase, (rest + 2) // 3, seed, threshold))
    if rest > 1:
        batches.append(flat(problem, (rest + 1) // 3, seed))
    if rest > 2:
        batches.append(random(problem, rest // 3, seed))
    return batches


def jittered(
    amplitude: NDArray[np.floating], phase: NDArray[np.floating], n: int, seed: int, threshold: float = 0.1
) -> Starts:
    """`n` starts around a prediction: smooth random fields change its phase by 0.5 rad and its amplitude by a fifth
    (rms).

    The support is thresholded after that, so it varies too. Same seed, same starts. Arguments as in `from_prediction`.
    """
    generator = np.random.default_rng(seed)
    parts = []
    for _ in range(n):
        stretch = np.exp(JITTER_AMPLITUDE * _smooth(generator, amplitude.shape))
        turn = JITTER_PHASE * _smooth(generator, amplitude.shape)
        parts.append(from_prediction(amplitude * stretch, phase + turn, threshold))
    joined = together(parts)
    return Starts(joined.objects, joined.supports, "jittered")


def flat(problem: Problem, n: int, seed: int) -> Starts:
    """`n` starts of unit amplitude and a smooth random phase of 0.5 rad rms within `autocorrelation_support`.

    Phase zero would not do: a real object in a centrosymmetric support has a real far field, and every projection keeps
    it so: the iterations stay among the objects that are their own twins until rounding errors have grown.
    """
    support = autocorrelation_support(problem)
    generator = np.random.default_rng(seed)
    phases = np.stack([JITTER_PHASE * _smooth(generator, support.shape) for _ in range(n)])
    objects = np.where(support, np.exp(1j * phases), 0).astype(np.complex64)
    return Starts(objects, np.broadcast_to(support, objects.shape), "autocorrelation")


def _smooth(generator: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """A random field of rms 1 that changes over JITTER_LENGTH of the grid."""
    noise = generator.standard_normal(shape, dtype=np.float32)
    field = gaussian_filter(noise, [JITTER_LENGTH * n for n in shape], mode="wrap")
    return np.asarray(field / field.std(), np.float32)


def random(problem: Problem, n: int, seed: int) -> Starts:
    """`n` starts of unit amplitude and independent uniform phases within `autocorrelation_support`;
    same seed, same starts.
    """
    support = autocorrelation_support(problem)
    generator = np.random.default_rng(seed)
    phases = generator.uniform(-np.pi, np.pi, (n, *support.shape)).astype(np.float32)
    objects = np.where(support, np.exp(1j * phases), 0).astype(np.complex64)
    return Starts(objects, np.broadcast_to(support, objects.shape), "random")


def autocorrelation_support(problem: Problem, threshold: float = AUTOCORRELATION_THRESHOLD) -> NDArray[np.bool_]:
    """The autocorrelation's support shrunk to half: r such that |AC(2 r)| > threshold |AC(0)|.

    An object fits into half its autocorrelation's support if it is convex and has a centre; for others it is a fair
    start.
    """
    intensity = np.where(problem.visible, problem.modulus, 0).astype(np.float32) ** 2
    ac = np.abs(autocorrelation(intensity))
    inside: NDArray[np.bool_] = ac > threshold * ac.max()
    halved: NDArray[np.bool_] = np.zeros_like(inside)
    middle = tuple(slice(n // 2 - n // 4, n // 2 - n // 4 + n // 2) for n in inside.shape)
    halved[middle] = inside[tuple(slice(n // 2 - 2 * (n // 4), None, 2) for n in inside.shape)]
    return halved
