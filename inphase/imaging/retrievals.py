"""The retrievals of one refinement, in their order: what an earlier attempt has computed is not computed again."""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inphase.errors import CancelledError, DataError
from inphase.imaging.way import CODE
from inphase.retrieval.checkpoint import Checkpoint
from inphase.retrieval.engine import Progress, Solution, retrieve
from inphase.retrieval.problem import Problem
from inphase.retrieval.starts import Starts
from inphase.retrieval.terms import Recipe

logger = logging.getLogger(__name__)

Arrays = dict[str, NDArray[Any]]
Keep = Callable[[Callable[[], Arrays]], None]  # takes what makes a checkpoint, and makes it where one is due


class OutOfTimeError(Exception):
    """A retrieval was given up at its deadline."""


class Retrievals:
    """Call it for every retrieval. The same refinement makes the same calls, so a number names a retrieval.

    keep: takes what another attempt needs. resume: what an earlier attempt gave to `keep`; ignored where it is of other
    code or of another recipe. resumed_from: the iteration at which the interrupted retrieval went on, None where none
    did.
    """

    def __init__(
        self,
        device: str = "cpu",
        *,
        progress: Callable[[Progress], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
        keep: Keep | None = None,
        resume: Mapping[str, NDArray[Any]] | None = None,
    ) -> None:
        self.resumed_from: int | None = None
        self.device = device
        self._progress, self._cancelled, self._keep = progress, cancelled, keep
        self._ended: list[list[Solution]] = []
        self._earlier = _Earlier.of(resume)

    def __call__(
        self, problem: Problem, recipe: Recipe, starts: Starts, deadline: float = float("inf")
    ) -> list[Solution]:
        """`retrieve`, or what is left of it. A retrieval that had ended earlier comes back without its history.

        deadline: of time.monotonic(), when it is given up. Raises OutOfTimeError.
        """
        number = len(self._ended)
        solutions = self._earlier.ended(number, starts)
        if solutions is None:
            resume = self._earlier.interrupted(number, recipe, starts)
            solutions = self._retrieve(problem, recipe, starts, resume, deadline)
        self._ended.append(solutions)
        return solutions

    def aside(self, problem: Problem, recipe: Recipe, starts: Starts) -> list[Solution]:
        """A short retrieval that makes no result: nobody sees it, and no checkpoint keeps it."""
        return retrieve(problem, recipe, starts, device=self.device, cancelled=self._cancelled)

    def _retrieve(
        self, problem: Problem, recipe: Recipe, starts: Starts, resume: Checkpoint | None, deadline: float
    ) -> list[Solution]:
        if resume is not None:
            self.resumed_from = resume.iteration
            logger.info("goes on at iteration %d of %d", resume.iteration, recipe.iterations)

        def report(progress: Progress) -> None:
            if self._progress is not None:
                self._progress(progress)
            if self._keep is not None:
                self._keep(lambda: self._arrays(progress.checkpoint()))

        late = False

        def stops() -> bool:
            nonlocal late
            late = time.monotonic() > deadline
            return late or (self._cancelled is not None and self._cancelled())

        try:
            return retrieve(
                problem, recipe, starts, device=self.device, progress=report, cancelled=stops, resume=resume
            )
        except CancelledError as error:
            if late:
                raise OutOfTimeError(str(error)) from error
            raise

    def _arrays(self, checkpoint: Checkpoint) -> Arrays:
        """The retrievals that have ended, and the one at work."""
        arrays: Arrays = {"code": np.array(CODE), "ended": np.array(len(self._ended))}
        arrays |= {f"now.{name}": array for name, array in checkpoint.to_arrays().items()}
        for number, solutions in enumerate(self._ended):
            arrays[f"{number}.objects"] = np.stack([solution.object for solution in solutions])
            arrays[f"{number}.supports"] = np.stack([solution.support for solution in solutions])
            kernels = [solution.kernel for solution in solutions if solution.kernel is not None]
            if kernels:
                arrays[f"{number}.kernels"] = np.stack(kernels)
        return arrays


class _Earlier:
    """What an earlier attempt has left, as far as it fits."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]], now: Checkpoint | None, count: int) -> None:
        self._arrays, self._now, self._count = arrays, now, count

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]] | None) -> "_Earlier":
        """Nothing where there is none, or none of this code."""
        if arrays is None:
            return cls({}, None, 0)
        try:
            if (code := str(arrays["code"])) != CODE:
                raise DataError(f"it was written by inphase {code}, this is {CODE}")
            now = Checkpoint.from_arrays({name[4:]: array for name, array in arrays.items() if name.startswith("now.")})
            return cls(arrays, now, int(arrays["ended"]))
        except (DataError, KeyError, TypeError, ValueError) as error:
            logger.warning("the checkpoint is not used: %s", error)
            return cls({}, None, 0)

    def ended(self, number: int, starts: Starts) -> list[Solution] | None:
        """The solutions of a retrieval that had ended, or None."""
        if number >= self._count:
            return None
        objects, supports = self._arrays.get(f"{number}.objects"), self._arrays.get(f"{number}.supports")
        if objects is None or supports is None or objects.shape != starts.objects.shape:
            logger.warning("the checkpoint has no retrieval %d that fits: computed again", number)
            self._count, self._now = 0, None
            return None
        kernels = self._arrays.get(f"{number}.kernels")
        return [
            Solution(obj, support, (), None if kernels is None else kernels[index])
            for index, (obj, support) in enumerate(zip(objects, supports, strict=True))
        ]

    def interrupted(self, number: int, recipe: Recipe, starts: Starts) -> Checkpoint | None:
        """Where the retrieval of this number was interrupted, or None."""
        if self._now is None or number != self._count:
            return None
        if self._now.recipe != recipe.text or self._now.objects.shape != starts.objects.shape:
            logger.warning("the checkpoint is not used: it is of another recipe or of other starts")
            return None
        return self._now
