"""Recipes of ptychography: which solvers run, in which order. `20*RAAR(beta=0.75)+80*RPIE` is one.

They are written as those of `retrieval.grammar`, brackets included, and have no clauses.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from inphase.retrieval import grammar
from inphase.retrieval.terms import LBFGS, Choice, Loss, Number, Operation, Recipe, parameter

DEFAULT: Final = "60*EPIE"
NONE: Final = "none"  # leaves the image of a network as it is


@dataclass(frozen=True)
class EPIE(Operation):
    """The extended ptychographic iterative engine (`solvers.pie`). step: of object and probe."""

    name: ClassVar[str] = "EPIE"
    step: float = parameter(1.0, Number(0.0, 2.0))


@dataclass(frozen=True)
class RPIE(Operation):
    """The same, regularised: the smaller alpha is, the longer are the steps where the light is weak."""

    name: ClassVar[str] = "RPIE"
    alpha: float = parameter(0.1, Number(0.0, 1.0))
    step: float = parameter(1.0, Number(0.0, 2.0))


@dataclass(frozen=True)
class DM(Operation):
    """The difference map on all exit waves at once (`solvers.raar`)."""

    name: ClassVar[str] = "DM"


@dataclass(frozen=True)
class RAAR(Operation):
    """Its relaxed kin."""

    name: ClassVar[str] = "RAAR"
    beta: float = parameter(0.75, Number(0.0, 1.0))


@dataclass(frozen=True)
class ADAM(Operation):
    """A step of Adam on `loss` after every batch (`solvers.gradient`). rate: of an object of amplitude 1."""

    name: ClassVar[str] = "ADAM"
    loss: str = parameter(Loss.AMPLITUDE.value, Choice(tuple(Loss)))
    rate: float = parameter(0.02, Number(0.0, 1.0))


OPERATIONS: Final[Mapping[str, type[Operation]]] = {kind.name: kind for kind in (EPIE, RPIE, DM, RAAR, ADAM, LBFGS)}


def parse(text: str) -> Recipe:
    """The recipe of a text, without steps for NONE. RecipeError says what is wrong, and points at it."""
    if text.strip().lower() == NONE:
        return Recipe(())
    return grammar.parse(text, OPERATIONS, clauses=False)
