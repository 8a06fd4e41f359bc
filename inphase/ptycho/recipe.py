"""Recipes of ptychography: which solvers run, in which order. `20*RAAR(beta=0.75)+80*RPIE` is one.

    recipe := term { "+" term }
    term   := [ count "*" ] name [ "(" key "=" value { "," key "=" value } ")" ]

Spaces are free and names are not case sensitive.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from inphase.errors import RecipeError

MAX_ITERATIONS: Final = 100_000
_TERM = re.compile(r"(?:(\d+)\s*\*\s*)?([A-Za-z]+)\s*(?:\(([^()]*)\))?")


@dataclass(frozen=True)
class Number:
    """A value of an operation: its default and its range, the bounds included."""

    default: float
    low: float
    high: float


@dataclass(frozen=True)
class Word:
    """A value that is one of some words; the first is the default."""

    words: tuple[str, ...]


Values = Mapping[str, float | str]
_LOSS = Word(("amplitude", "poisson"))

OPERATIONS: Final[Mapping[str, Mapping[str, Number | Word]]] = MappingProxyType(
    {
        "EPIE": {"step": Number(1.0, 0.01, 2.0)},
        "RPIE": {"alpha": Number(0.1, 0.001, 1.0), "step": Number(1.0, 0.01, 2.0)},
        "DM": {},
        "RAAR": {"beta": Number(0.75, 0.1, 1.0)},
        "ADAM": {"loss": _LOSS, "rate": Number(0.02, 1e-6, 1.0)},
        "LBFGS": {"loss": _LOSS, "memory": Number(10, 1, 100)},
    }
)
DEFAULT: Final = "60*EPIE"


@dataclass(frozen=True)
class Step:
    """`count` iterations of an operation with resolved values."""

    name: str
    count: int
    values: Values

    def __str__(self) -> str:
        told = ",".join(
            f"{key}={value if isinstance(value, str) else f'{value:g}'}" for key, value in self.values.items()
        )
        return f"{self.count}*{self.name}" + (f"({told})" if told else "")


@dataclass(frozen=True)
class Recipe:
    """A recipe with every value resolved; its text is `str`."""

    steps: tuple[Step, ...]

    @property
    def iterations(self) -> int:
        """Of all steps."""
        return sum(step.count for step in self.steps)

    def __str__(self) -> str:
        return "+".join(map(str, self.steps))


def parse(text: str) -> Recipe:
    """The recipe of a text. RecipeError says which term is wrong, and what is known."""
    recipe = Recipe(tuple(_step(term.strip()) for term in _terms(text)))
    if recipe.iterations > MAX_ITERATIONS:
        raise RecipeError(f"the recipe has {recipe.iterations} iterations, more than {MAX_ITERATIONS}")
    return recipe


def _terms(text: str) -> list[str]:
    """Split at every + that is no sign of an exponent, which only stand between brackets."""
    return re.split(r"\+(?![^(]*\))", text)


def _step(term: str) -> Step:
    match = _TERM.fullmatch(term)
    if match is None:
        raise RecipeError(f"'{term}' is no term of a recipe: write 20*RPIE, or 20*RPIE(alpha=0.1), and + between terms")
    count, name, values = match[1], match[2].upper(), match[3]
    if name not in OPERATIONS:
        raise RecipeError(f"'{match[2]}' is no solver: known are {', '.join(OPERATIONS)}")
    if count is not None and int(count) == 0:
        raise RecipeError(f"'{term}' runs no iteration")
    known = OPERATIONS[name]
    found: dict[str, float | str] = {
        key: kind.default if isinstance(kind, Number) else kind.words[0] for key, kind in known.items()
    }
    for pair in filter(str.strip, (values or "").split(",")):
        key, _, value = (part.strip().lower() for part in pair.partition("="))
        if key not in known:
            raise RecipeError(f"'{term}': {name} has no value '{key}'; it has {', '.join(known) or 'none'}")
        found[key] = _value(known[key], value, f"'{term}': {key}")
    return Step(name, int(count or 1), MappingProxyType(found))


def _value(kind: Number | Word, text: str, where: str) -> float | str:
    if isinstance(kind, Word):
        if text not in kind.words:
            raise RecipeError(f"{where} is one of {', '.join(kind.words)}, not '{text}'")
        return text
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not kind.low <= value <= kind.high:
        raise RecipeError(f"{where} is a number from {kind.low:g} to {kind.high:g}, not '{text}'")
    return value
