"""The engine: runs a recipe on a batch of starts, on CPU or GPU, in complex64.

On a GPU the starts advance together. On a CPU each thread takes a start and its FFTs on one core: two starts on two
cores share no barrier within an iteration and stay in their caches, which is faster than one FFT on both.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Barrier

import numpy as np
import torch
from numpy.typing import NDArray

from inphase.errors import CancelledError, DataError
from inphase.retrieval.checkpoint import Checkpoint
from inphase.retrieval.memory import kept_pages
from inphase.retrieval.problem import Problem
from inphase.retrieval.run import SAMPLE_EVERY, FarField, Run, fits
from inphase.retrieval.starts import Starts
from inphase.retrieval.terms import Recipe

Cancelled = Callable[[], bool]


@dataclass(frozen=True)
class Progress:
    """Where a run stands. chi2 and support_voxels: of the best start so far, sampled at `iteration`.
    stage: the operation.

    `preview` and `checkpoint` may be called within the callback only.
    """

    iteration: int
    total: int
    chi2: float
    support_voxels: int
    stage: str
    preview: Callable[[], tuple[NDArray[np.complex64], ...]] = field(repr=False, compare=False)
    """The central planes of the best start's object, confined to its support, centred: three for a volume."""
    checkpoint: Callable[[], Checkpoint] = field(repr=False, compare=False)
    """What `retrieve(resume=...)` needs to go on from here."""


@dataclass(frozen=True)
class Sample:
    """chi2 (eq. in `metrics.measure`, over the visible voxels) of the iterate that entered `iteration`,
    and its support.

    Between projections an HIO or RAAR iterate is not confined to its support, so its chi2 only tells that it moves.
    """

    iteration: int
    chi2: float
    support_voxels: int


@dataclass(frozen=True)
class Solution:
    """One start's result, centred: object complex64, zero outside `support` (bool).

    kernel: float32 of sum 1, centred, that |F|^2 is to be convolved with before it is compared with the data; None
        where the recipe took the beam for coherent.
    """

    object: NDArray[np.complex64]
    support: NDArray[np.bool_]
    history: tuple[Sample, ...]
    kernel: NDArray[np.float32] | None = None


def retrieve(
    problem: Problem,
    recipe: Recipe,
    starts: Starts,
    *,
    device: str = "cpu",
    progress: Callable[[Progress], None] | None = None,
    cancelled: Cancelled | None = None,
    resume: Checkpoint | None = None,
) -> list[Solution]:
    """Run `recipe` from every start; one Solution per start, in order.

    Starts may be a box of even sides about the centre of the grid, which the objects then never leave, and so are the
    solutions: an iteration takes less than half of the time where the box is a quarter of every side. Not with LOWRES.

    `progress` is called every SAMPLE_EVERY iterations. `cancelled` is asked before every iteration of every start, from
    several threads; CancelledError if true. `resume`: goes on from a checkpoint of the same recipe and the same number
    of starts instead of from the starts. DataError where shapes do not fit or an iterate leaves the finite numbers.
    """
    begin = Checkpoint.beginning(recipe, starts) if resume is None else resume
    if begin.recipe != recipe.text or len(begin.objects) != len(starts.objects):
        raise DataError("the checkpoint is of another recipe or of other starts")
    if not fits(starts.objects.shape[1:], problem.modulus.shape, recipe):
        raise DataError(f"starts of {starts.objects.shape[1:]} voxels do not fit a modulus of {problem.modulus.shape}")
    with _crew(problem, recipe, begin, torch.device(device)) as crew:
        first = begin.iteration
        # what lives as long as the run is made before, and its result after:
        # they would scatter what comes and goes in between
        with kept_pages():
            while first < recipe.iterations:
                # blocks end with the iterations that are sampled: 0, 10, 20, ...
                last = min(-(-first // SAMPLE_EVERY) * SAMPLE_EVERY, recipe.iterations - 1)
                crew.advance(first, last, cancelled)
                if progress is not None and last % SAMPLE_EVERY == 0:
                    progress(crew.progress(last))
                first = last + 1
        return crew.solutions()


class _Crew:
    """The runs of a retrieval, and the threads that they share."""

    def __init__(self, recipe: Recipe, runs: list[Run], pool: ThreadPoolExecutor | None, threads: int) -> None:
        self._recipe = recipe
        self._runs = runs
        self._pool = pool
        # the odd ones out follow one by one, each on all cores
        self._together = len(runs) // threads * threads if pool else 0

    def advance(self, first: int, last: int, cancelled: Cancelled | None) -> None:
        """Iterations first..last of every run."""

        def forward(run: Run) -> None:
            with torch.no_grad():  # a property of the thread; some operations take gradients within
                for iteration in range(first, last + 1):
                    if cancelled is not None and cancelled():
                        raise CancelledError(
                            f"phase retrieval was cancelled after {iteration} of {self._recipe.iterations} iterations"
                        )
                    run.advance()

        if self._pool:
            list(self._pool.map(forward, self._runs[: self._together]))
        for run in self._runs[self._together :]:
            forward(run)

    def progress(self, iteration: int) -> Progress:
        """The last sample of the start with the lowest chi2."""
        samples = [
            (chi2, voxels, run, b)
            for run in self._runs
            for b, (chi2, voxels) in enumerate(zip(*run.latest[1:], strict=True))
        ]
        chi2, voxels, best, b = min(samples, key=lambda sample: sample[0])
        stage = self._recipe.operations[iteration].name
        return Progress(
            iteration, self._recipe.iterations, chi2, voxels, stage, lambda: best.slices(b), self._checkpoint
        )

    def _checkpoint(self) -> Checkpoint:
        return Checkpoint.joined([run.checkpoint() for run in self._runs])

    def solutions(self) -> list[Solution]:
        """The result of every start."""
        results = (run.result() for run in self._runs)
        return [_solution(result, b) for result in results for b in range(len(result.objects))]


@contextmanager
def _crew(problem: Problem, recipe: Recipe, begin: Checkpoint, device: torch.device) -> Iterator[_Crew]:
    whole = FarField.of(problem, device)
    parts = {clause.side for clause in recipe.low_resolution} - {1.0}
    fars = {1.0: whole} | {side: whole.part(side) for side in parts}
    starts = len(begin.objects)
    threads = min(torch.get_num_threads(), starts)
    if device.type != "cpu" or threads < 2:
        yield _Crew(recipe, [Run(fars, recipe, begin)], None, 1)
        return
    runs = [Run(fars, recipe, begin.start(b)) for b in range(starts)]
    with _single_threads(threads) as pool:
        yield _Crew(recipe, runs, pool, threads)


@contextmanager
def _single_threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """Threads whose torch and MKL calls stay on one core each; that of the caller keeps its own number."""
    mine = torch.get_num_threads()
    ready = Barrier(count + 1)

    def settle() -> None:
        torch.get_num_threads()  # a thread's first parallel call would otherwise set it back to the number of all
        torch.set_num_threads(1)
        ready.wait()

    with ThreadPoolExecutor(count, thread_name_prefix="start") as pool:
        for _ in range(count):
            pool.submit(settle)
        ready.wait()
        torch.set_num_threads(mine)  # the number is also what new threads begin with
        yield pool


def _solution(result: Checkpoint, b: int) -> Solution:
    history = tuple(
        Sample(int(i), float(chi2[b]), int(voxels[b]))
        for i, chi2, voxels in zip(result.sampled, result.chi2, result.voxels, strict=True)
    )
    kernel = None if result.kernels is None else result.kernels[b]
    return Solution(result.objects[b], result.supports[b], history, kernel)
