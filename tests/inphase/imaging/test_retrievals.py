"""The retrievals of a refinement: an attempt that goes on gives the result of one that was never interrupted."""

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from inphase.imaging.retrievals import Arrays, Retrievals
from inphase.retrieval import recipe as recipes
from inphase.retrieval.engine import Progress, Solution
from inphase.retrieval.problem import Problem
from inphase.retrieval.starts import random

FIRST = recipes.parse("25*HIO+15*ER | SW(every=10)")
SECOND = recipes.parse("30*RAAR+10*ER")
N = 16


@pytest.fixture(scope="module")
def problem() -> Problem:
    """A small block."""
    block = np.zeros((N, N, N), np.complex64)
    block[6:10, 5:11, 6:11] = 1
    modulus = np.abs(np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(block), norm="ortho"))).astype(np.float32)
    return Problem(modulus, np.zeros(modulus.shape, np.uint8))


class Diary:
    """Keeps every checkpoint, as the store would."""

    def __init__(self) -> None:
        self.kept: list[Arrays] = []

    def __call__(self, make: Any) -> None:
        made: Mapping[str, NDArray[Any]] = make()
        self.kept.append({name: np.array(array) for name, array in made.items()})


def refine(retrievals: Retrievals, problem: Problem) -> list[list[Solution]]:
    """Two retrievals in a row, the second with three starts."""
    return [
        retrievals(problem, FIRST, random(problem, 2, seed=1)),
        retrievals(problem, SECOND, random(problem, 3, seed=2)),
    ]


def check(found: list[list[Solution]], expected: list[list[Solution]]) -> None:
    """Bit by bit: one library on one machine does the same operations in the same order."""
    for some, others in zip(found, expected, strict=True):
        for one, other in zip(some, others, strict=True):
            np.testing.assert_array_equal(one.object, other.object)
            np.testing.assert_array_equal(one.support, other.support)


def test_every_checkpoint_leads_to_the_same_result(problem: Problem) -> None:
    """From whichever checkpoint an attempt goes on, both retrievals end as they do without an interruption."""
    diary, seen = Diary(), []
    expected = refine(Retrievals(keep=diary, progress=seen.append), problem)
    assert len(diary.kept) == 8  # iterations 0, 10, 20, 30 of each
    for number, kept in enumerate(diary.kept):
        again: list[Progress] = []
        retrievals = Retrievals(resume=kept, progress=again.append)
        check(refine(retrievals, problem), expected)
        assert retrievals.resumed_from == 10 * (number % 4) + 1
        assert len(again) == len(seen) - number - 1  # what was done is not done again


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        ({"code": np.array("0.0.0")}, "written by inphase 0.0.0"),
        ({"now.recipe": np.array("40*ER")}, "of another recipe"),
        ({"now.objects": np.zeros((2, 3, 3))}, "do not belong together"),
        ({"ended": np.array(1)}, "no retrieval 0"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_left(
    problem: Problem, damage: Arrays, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Of other code or another recipe, or damaged: the refinement begins anew, says so, and ends right."""
    diary = Diary()
    expected = refine(Retrievals(keep=diary), problem)
    with caplog.at_level(logging.WARNING):
        retrievals = Retrievals(resume=diary.kept[2] | damage)
        check(refine(retrievals, problem), expected)
    assert retrievals.resumed_from is None
    assert why in caplog.text


def test_nothing_is_needed() -> None:
    """In the command line there is neither an earlier attempt nor a later one."""
    assert Retrievals(resume={}).resumed_from is None
