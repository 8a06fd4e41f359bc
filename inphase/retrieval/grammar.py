"""From the text of a recipe to its tree, with errors that point at the fault; the operations may be another room's.

    recipe    := sequence { "|" clause }
    sequence  := term { "+" term }
    term      := [ count "*" ] ( "(" sequence ")" | operation )
    operation := name [ values ]          name and values as in `terms.OPERATIONS`
    clause    := name values              as in `terms.CLAUSES`
    values    := "(" [ key "=" value { "," key "=" value } ] ")"
    value     := number | number ".." number | word

Spaces are free and names are not case sensitive.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from inphase.errors import RecipeError
from inphase.retrieval.terms import (
    CLAUSES,
    MAX_ITERATIONS,
    OPERATIONS,
    Choice,
    Group,
    Integer,
    Kind,
    LowResolution,
    Number,
    Operation,
    Range,
    Recipe,
    ShrinkWrap,
    Step,
    Term,
)

MAX_LENGTH = 2_000
MAX_DEPTH = 8
_LARGEST = 1e12  # number: beyond it is no count, size or weight of anything

_FIELDS = {kind.name: field for field, kind in CLAUSES.items()}
_COUNT = Integer(1)
# values that only mean something in one order
_ASCENDING = {"volume": "volume is smallest..largest", "range": "range is lowest..highest"}

T = TypeVar("T", bound=Term)


def parse(text: str, operations: Mapping[str, type[Operation]] = OPERATIONS, *, clauses: bool = True) -> Recipe:
    """Parse a recipe string. RecipeError carries the text with a caret under the offending position, and a hint.

    operations: by the names that the recipe may use. clauses: whether any may follow.
    """
    if len(text) > MAX_LENGTH:
        raise RecipeError(f"the recipe has {len(text)} characters, more than {MAX_LENGTH}")
    return _Parser(text, operations, clauses).recipe()


_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.(?!\.)\d*)?(?:[eE][+-]?\d+)?|\.\d+)|(?P<name>[A-Za-z_]\w*)|(?P<sign>\.\.+|.))", re.S
)


@dataclass(frozen=True)
class _Token:
    kind: str  # number | name | sign | end
    value: str
    at: int


def _tokens(text: str) -> Iterator[_Token]:
    end = len(text.rstrip())
    position = 0
    while position < end:
        match = _TOKEN.match(text, position)
        assert match is not None  # the last branch takes any character
        assert match.lastgroup is not None
        yield _Token(match.lastgroup, match[match.lastgroup], match.start(match.lastgroup))
        position = match.end()
    yield _Token("end", "", end)


class _Parser:
    def __init__(self, text: str, operations: Mapping[str, type[Operation]], clauses: bool) -> None:
        self._text, self._operations, self._clauses = text, operations, clauses
        self._tokens = list(_tokens(text))
        self._next = 0

    @property
    def _token(self) -> _Token:
        return self._tokens[self._next]

    @property
    def _example(self) -> str:
        """An operation for hints."""
        return next(iter(self._operations))

    def _fail(self, what: str, token: _Token | None = None) -> NoReturn:
        at = (token or self._token).at
        printable = "".join(c if c.isprintable() else " " for c in self._text)
        raise RecipeError(f"{what}\n  {printable}\n  {' ' * at}^")

    def _take(self) -> _Token:
        token = self._token
        self._next = min(self._next + 1, len(self._tokens) - 1)
        return token

    def _found(self, sign: str) -> bool:
        if self._token.kind == "sign" and self._token.value == sign:
            self._take()
            return True
        return False

    def _expect(self, sign: str) -> None:
        if not self._found(sign):
            self._fail(f"expected '{sign}' here")

    def recipe(self) -> Recipe:
        parts = self._sequence(0)
        clauses: dict[str, Any] = {}
        shrink_wrap: list[ShrinkWrap] = []
        low_resolution: list[LowResolution] = []
        while self._clauses and self._found("|"):
            token = self._token
            clause = self._clause()
            if isinstance(clause, ShrinkWrap):
                if any(clause.start == other.start for other in shrink_wrap):
                    self._fail(
                        f"two SW clauses start at iteration {clause.start}: give the later one its 'start'", token
                    )
                shrink_wrap.append(clause)
            elif isinstance(clause, LowResolution):
                if any(clause.until == other.until for other in low_resolution):
                    self._fail(
                        f"two LOWRES clauses end at iteration {clause.until}: give the later one its 'until'", token
                    )
                low_resolution.append(clause)
            elif _FIELDS[clause.name] in clauses:
                self._fail(f"the clause '{clause.name}' stands twice", token)
            else:
                clauses[_FIELDS[clause.name]] = clause
        if self._token.kind != "end":
            hint = "join terms with '+'" + "; clauses such as SW() follow '|'" * self._clauses
            if clauses or shrink_wrap or low_resolution:
                hint = "another clause follows '|'"
            self._fail(f"did not expect '{self._token.value}' here: {hint}")
        recipe = Recipe(
            parts,
            tuple(sorted(shrink_wrap, key=lambda clause: clause.start)),
            low_resolution=tuple(sorted(low_resolution, key=lambda clause: clause.until)),
            **clauses,
        )
        self._fits_the_grid(recipe)
        if recipe.iterations > MAX_ITERATIONS:
            raise RecipeError(f"the recipe has {recipe.iterations} iterations, more than {MAX_ITERATIONS}")
        return recipe

    @staticmethod
    def _fits_the_grid(recipe: Recipe) -> None:
        """What goes on from one iteration to the next on the grid of the data does not begin on a smaller one."""
        small = max((clause.until for clause in recipe.low_resolution if clause.side < 1), default=0)
        coherence, average = recipe.coherence, recipe.average
        if coherence is not None and coherence.start < small:
            raise RecipeError(
                f"PC starts at iteration {coherence.start}, on a smaller grid of LOWRES: start it at {small}"
            )
        if small and average is not None and recipe.iterations - average.last < small:
            raise RecipeError(
                f"AVERAGE(last={average.last}) reaches back to a smaller grid, that of LOWRES(until={small})"
            )

    def _sequence(self, depth: int) -> tuple[Step | Group, ...]:
        parts = [self._term(depth)]
        while self._found("+"):
            parts.append(self._term(depth))
        return tuple(parts)

    def _term(self, depth: int) -> Step | Group:
        count = 1
        if self._token.kind == "number":
            count = int(self._number("a count of iterations", _COUNT))
            if not self._found("*"):
                self._fail(f"expected '*' between the count and what it counts, as in '{count}*{self._example}'")
        bracket = self._token
        if self._found("("):
            if depth == MAX_DEPTH:
                self._fail(f"more than {MAX_DEPTH} brackets inside each other", bracket)
            parts = self._sequence(depth + 1)
            self._expect(")")
            return Group(count, parts)
        return self._operation(count)

    def _operation(self, count: int) -> Step:
        token = self._take()
        known = ", ".join(self._operations)
        if token.kind != "name":
            self._fail(f"expected an algorithm ({known}), a count such as '20*{self._example}', or '('", token)
        name = token.value.upper()
        if self._clauses and name in _FIELDS:
            self._fail(f"{name} is a clause at the end: '... | {name}(...)'", token)
        if name not in self._operations:
            self._fail(f"unknown algorithm '{token.value}'; known: {known}", token)
        kind = self._operations[name]
        if self._token.kind == "sign" and self._token.value == "(":
            if not kind.parameters():
                self._fail(f"{name} takes no parameters", token)
            return Step(self._values(kind), count)
        return Step(kind(), count)

    def _clause(self) -> Term:
        token = self._take()
        name = token.value.upper()
        if name not in _FIELDS:
            self._fail(f"expected a clause here: {', '.join(f'{known}(...)' for known in _FIELDS)}", token)
        return self._values(CLAUSES[_FIELDS[name]])

    def _values(self, kind: type[T]) -> T:
        self._expect("(")
        known = kind.parameters()
        values: dict[str, Any] = {}
        while not self._found(")"):
            if values:
                self._expect(",")
            key = self._take()
            name = key.value.lower()
            if name in values:
                self._fail(f"'{name}' is given twice", key)
            if name not in known:
                self._fail(f"unknown key '{key.value}'; {kind.name} knows: {', '.join(known)}", key)
            self._expect("=")
            values[name] = self._value(name, known[name])
            if name in _ASCENDING and values[name][0] > values[name][1]:
                self._fail(_ASCENDING[name], key)
        return kind(**values)

    def _value(self, name: str, kind: Kind) -> float | str | tuple[float, float]:
        match kind:
            case Choice():
                token = self._take()
                if token.value.lower() not in kind.words:
                    self._fail(f"{name} is {kind}", token)
                return token.value.lower()
            case Range():
                first = self._number(name, kind)
                return first, self._number(name, kind) if self._found("..") else first
            case Integer():
                return int(self._number(name, kind))
            case Number():
                return self._number(name, kind)

    def _number(self, what: str, kind: Number | Integer) -> float:
        token = self._token
        sign = -1 if self._found("-") else 1
        number = self._take()
        written = number.kind == "number" and (isinstance(kind, Number) or number.value.isdecimal())
        value = sign * float(number.value) if written else math.nan
        if not abs(value) <= _LARGEST or not kind.holds(value):
            self._fail(f"{what} is {kind}", token)
        return value
