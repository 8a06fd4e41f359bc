"""Several runs of one pattern, of whatever program: which fits best, and which of them found the same object."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from inphase import metrics
from inphase.errors import DataError
from inphase.formats.reconstruction import Reconstruction
from inphase.formats.result import METRICS_OF, Result
from inphase.formats.scan import RawScan
from inphase.pattern import Domain
from inphase.preprocess.validate import pattern_from_array
from inphase.results.comparison import pairwise
from inphase.results.source import Given, support_of, taken

Criterion = Literal["free_llk", "llk", "chi2", "agreement"]

ANOTHER: Final = (
    0.9  # correlation with the best below which a run is another solution, as in inphase.retrieval.ensemble
)
ROUNDED: Final = 1e-5  # relative: files that hold the counts give their square roots to a rounding
_FITS: Final[tuple[Criterion, ...]] = ("free_llk", "llk", "chi2")  # the first that all runs have decides


@dataclass(frozen=True)
class Run:
    """One run among the others.

    chi2, free_llk, llk: how well it fits; None where that is not known. support_voxels, amplitude_cv: of its support.
    correlation: with the best run, once it is brought onto it. agreement: mean of its correlations with all others.
    twin: whether its twin was. another: whether it is another solution than the best.
    """

    source: str
    program: str
    chi2: float | None
    free_llk: float | None
    llk: float | None
    support_voxels: int
    amplitude_cv: float
    correlation: float = 1.0
    agreement: float = 1.0
    twin: bool = False
    another: bool = False


@dataclass(frozen=True)
class Ranking:
    """runs: best first. criterion: what decided; why: what of the figures is whose, and why no better one decided."""

    runs: tuple[Run, ...]
    criterion: Criterion
    why: str

    def to_builtins(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {"criterion": self.criterion, "why": self.why, "runs": [vars(run) for run in self.runs]}


def rank(runs: Sequence[Given], *, measured: RawScan | None = None) -> Ranking:
    """Rank runs by their free log-likelihood, else log-likelihood, else chi2, else by how well they agree.

    runs: files that `read_reconstruction` takes, or reconstructions. measured: the counts that all were made from, of
        the pattern's shape, its DC voxel at N // 2: with it all runs are judged by the same figures
        (`metrics.measure`), as results of inphase, which carry their pattern, are without it. Else the figures that a
        program left in its files decide, where all are of one program and one pattern: each has a scale of its own.
    Raises DataError where there are less than two, or they do not fit the measurement.
    """
    found = [taken(run) for run in runs]
    if len(found) < 2:
        raise DataError(f"a ranking needs at least two runs, this is {len(found)}")
    scored = [_scored(run, measured) for run in found]
    criterion, why = _criterion(found, scored, measured is not None)
    correlations, twins = pairwise(found)
    agreement = (correlations.sum(axis=1) - 1) / (len(found) - 1)
    misfit = -agreement if criterion == "agreement" else np.array([_figure(run, criterion) for run in scored])
    order = np.argsort(misfit, kind="stable")
    best = order[0]
    ranked = (
        replace(
            scored[i],
            correlation=float(correlations[i, best]),
            agreement=float(agreement[i]),
            twin=bool(twins[i, best]),
            another=bool(correlations[i, best] < ANOTHER),
        )
        for i in order
    )
    return Ranking(tuple(ranked), criterion, why)


def _figure(run: Run, criterion: Criterion) -> float:
    value = getattr(run, criterion)
    assert value is not None  # `_criterion` chose what all have
    return float(value)


def _criterion(found: Sequence[Reconstruction], scored: Sequence[Run], measured: bool) -> tuple[Criterion, str]:
    patterns = [_pattern(run) for run in found]
    own = all(pattern is not None for pattern in patterns)
    programs = sorted({run.program for run in found})
    if not measured and not _alike(found, patterns):
        return "agreement", "the runs are not all of one pattern, and figures of several have no common scale"
    if not measured and not own and len(programs) > 1:
        return "agreement", f"runs of {', '.join(programs)} have no figure in common: give the measurement"
    whose = (
        "computed from the measurement"
        if measured
        else "from the pattern in each file"
        if own
        else (f"as {programs[0]} left them in its files")
    )
    for criterion in _FITS:
        if all(getattr(run, criterion) is not None for run in scored):
            return criterion, f"figures {whose}"
    return "agreement", "not all runs tell how well they fit: give the measurement"


def _pattern(run: Reconstruction) -> tuple[NDArray[np.float32], NDArray[np.uint8]] | None:
    """Modulus and mask of the pattern that a result of inphase carries; None where it has none."""
    if run.arrays is None:
        return None
    result = Result.of(run.arrays)
    return (result.modulus, result.mask) if result.measured else None


def _alike(
    found: Sequence[Reconstruction], patterns: Sequence[tuple[NDArray[np.float32], NDArray[np.uint8]] | None]
) -> bool:
    """Whether runs can be of one pattern: by its shape, where that is told, and where all carry it by its numbers."""
    shapes = {run.pattern_shape for run in found if run.pattern_told}
    if len(shapes) > 1 or () in shapes:
        return False
    known = [pattern for pattern in patterns if pattern is not None]
    return len(known) < len(patterns) or all(
        np.array_equal(mask, known[0][1]) and np.allclose(modulus, known[0][0], rtol=ROUNDED, atol=0)
        for modulus, mask in known[1:]
    )


def _scored(found: Reconstruction, measured: RawScan | None) -> Run:
    support = support_of(found)
    run = Run(
        source=found.source,
        program=found.program,
        chi2=found.figures.get("chi2"),
        free_llk=found.figures.get("free_llk"),
        llk=found.figures.get("llk"),
        support_voxels=int(support.sum()),
        amplitude_cv=metrics.amplitude_variation(found.object, support),
    )
    if measured is None:
        return run
    pattern = pattern_from_array(measured.array, Domain.COUNTS, None, None, measured.mask)
    if not found.pattern_shape:
        raise DataError(
            f"{found.source}: was brought onto cubic voxels, and has no pattern to compare with a measurement: give "
            "the result that it was made from"
        )
    if found.arrays is not None and (of := Result.of(found.arrays).document.get(METRICS_OF)):
        raise DataError(
            f"{found.source}: was changed since it fitted the measurement, and its figures are of {of}: give the "
            "result that it was made from"
        )
    if pattern.shape != found.pattern_shape:
        raise DataError(
            f"{found.source} was made from a pattern of {found.pattern_shape}, and {measured.source} has "
            f"{pattern.shape}: give the pattern as the program got it, binned and cut out"
        )
    whole, inside = (_embedded(volume, pattern.shape) for volume in (found.object, support))
    free = found.free
    made = metrics.measure(whole, inside, pattern.modulus, pattern.mask, free=free)
    return replace(run, chi2=made.chi2, llk=made.llk, free_llk=made.free_llk)


def _embedded(volume: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """In the middle of a larger array, centre on centre."""
    made = np.zeros(shape, volume.dtype)
    place = tuple(slice(n // 2 - m // 2, n // 2 - m // 2 + m) for n, m in zip(shape, volume.shape, strict=True))
    made[place] = volume
    return made
