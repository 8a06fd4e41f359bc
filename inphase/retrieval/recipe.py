"""Recipe strings: which projections run, in which order, and how the support follows.

    recipe   := sequence [ "|" shrink_wrap ]
    sequence := term { "+" term }
    term     := [ count "*" ] ( "(" sequence ")" | operation )
    operation := ER | AER | HIO [ "(beta=" number ")" ] | RAAR [ "(beta=" number ")" ]
    shrink_wrap := "SW(" key "=" value { "," key "=" value } ")"

Spaces are free and names are not case sensitive. Without a shrink-wrap clause the support never changes.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import NoReturn

from inphase.errors import RecipeError

MAX_ITERATIONS = 100_000
MAX_LENGTH = 2_000
MAX_DEPTH = 8


class Algorithm(StrEnum):
    """One iteration of each costs one pair of FFTs. P_M is the modulus projection, S the support."""

    ER = "ER"  # error reduction: S P_M o
    HIO = "HIO"  # hybrid input-output: P_M o in S, o - beta P_M o outside (Fienup 1982)
    RAAR = (
        "RAAR"  # relaxed averaged alternating reflections: P_M o in S, beta o + (1 - 2 beta) P_M o outside (Luke 2005)
    )
    AER = "AER"  # accelerated error reduction: conjugate gradients on the amplitude loss within S


DEFAULT_BETA = {Algorithm.HIO: 0.9, Algorithm.RAAR: 0.9}


@dataclass(frozen=True)
class Step:
    """`count` iterations of one algorithm; beta is None where the algorithm has none."""

    algorithm: Algorithm
    count: int
    beta: float | None = None

    @property
    def text(self) -> str:
        """The step as a recipe writes it."""
        beta = "" if self.beta is None else f"(beta={self.beta:g})"
        return f"{self.count}*{self.algorithm}{beta}"


@dataclass(frozen=True)
class Group:
    """A bracket repeated `count` times."""

    count: int
    parts: tuple["Step | Group", ...]

    @property
    def text(self) -> str:
        """The bracket as a recipe writes it."""
        return f"{self.count}*({'+'.join(part.text for part in self.parts)})"


@dataclass(frozen=True)
class ShrinkWrap:
    """Support update: smooth |P_M o| with a Gaussian, keep what lies above `threshold` of the reference amplitude.

    every: iterations between updates.
    threshold: fraction of the reference sqrt(sum a^4 / sum a^2), a the smoothed amplitude: the amplitude that carries
        the intensity. It equals the amplitude of a homogeneous crystal and hardly feels single hot voxels; the
        maximum of a real reconstruction is 1.4 to 1.6 times as large, so 0.15 here is about 0.1 of the maximum.
    sigma: standard deviation of the Gaussian in voxels, geometrically from the first to the last update.
    volume: smallest and largest support, in units of the largest that sampling allows, prod(N / 2).
    """

    every: int = 10
    threshold: float = 0.15
    sigma: tuple[float, float] = (2.0, 1.0)
    volume: tuple[float, float] = (0.005, 1.0)

    @property
    def text(self) -> str:
        """The clause as a recipe writes it, with every value resolved."""
        sigma, volume = (f"{low:g}..{high:g}" for low, high in (self.sigma, self.volume))
        return f"SW(every={self.every},threshold={self.threshold:g},sigma={sigma},volume={volume})"


@dataclass(frozen=True)
class Recipe:
    """A parsed recipe."""

    parts: tuple[Step | Group, ...]
    shrink_wrap: ShrinkWrap | None = None

    @property
    def text(self) -> str:
        """Canonical form with every default resolved; `parse(recipe.text) == recipe`."""
        sequence = "+".join(part.text for part in self.parts)
        return sequence if self.shrink_wrap is None else f"{sequence} | {self.shrink_wrap.text}"

    @property
    def steps(self) -> tuple[Step, ...]:
        """The brackets written out."""
        return tuple(_flatten(self.parts))

    @property
    def iterations(self) -> int:
        """Iterations, that is pairs of FFTs, in all."""
        return _count(self.parts)


def _flatten(parts: tuple[Step | Group, ...]) -> Iterator[Step]:
    for part in parts:
        if isinstance(part, Step):
            yield part
        else:
            for _ in range(part.count):
                yield from _flatten(part.parts)


def _count(parts: tuple[Step | Group, ...]) -> int:
    return sum(part.count * (1 if isinstance(part, Step) else _count(part.parts)) for part in parts)


# Both presets end with the same threshold, sigma and volume guards, so that their chi2 can be compared. `fast` starts
# from a prediction that already has the crystal's size: it needs no wide Gaussian first, and its few iterations leave
# room for updates only if they come sooner. Its time is that of 60 ER iterations without shrink-wrap (an update costs
# about 1.5 of them, an AER step 1.8 and as much progress as 5 to 10).
PRESETS = {
    "autophasenn-600": "3*(20*ER+160*HIO+20*ER) | SW(every=10,threshold=0.15,sigma=2..1)",
    "fast": "22*RAAR(beta=0.75)+7*AER | SW(every=7,threshold=0.15,sigma=1)",
}


def resolve(text: str) -> Recipe:
    """The recipe of a preset's name or of a recipe string. RecipeError says what is wrong and where."""
    return parse(PRESETS.get(text.strip(), text))


def parse(text: str) -> Recipe:
    """Parse a recipe string. RecipeError carries the text with a caret under the offending position, and a hint."""
    if len(text) > MAX_LENGTH:
        raise RecipeError(f"the recipe has {len(text)} characters, more than {MAX_LENGTH}")
    return _Parser(text).recipe()


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
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(_tokens(text))
        self._next = 0

    @property
    def _token(self) -> _Token:
        return self._tokens[self._next]

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
        shrink_wrap = self._shrink_wrap() if self._found("|") else None
        if self._token.kind != "end":
            hint = (
                "join terms with '+'; the shrink-wrap clause follows '|'"
                if shrink_wrap is None
                else "nothing may follow"
            )
            self._fail(f"did not expect '{self._token.value}' here: {hint}")
        recipe = Recipe(parts, shrink_wrap)
        if recipe.iterations > MAX_ITERATIONS:
            raise RecipeError(f"the recipe has {recipe.iterations} iterations, more than {MAX_ITERATIONS}")
        return recipe

    def _sequence(self, depth: int) -> tuple[Step | Group, ...]:
        parts = [self._term(depth)]
        while self._found("+"):
            parts.append(self._term(depth))
        return tuple(parts)

    def _term(self, depth: int) -> Step | Group:
        count = 1
        if self._token.kind == "number":
            count = self._integer("a count of iterations")
            if not self._found("*"):
                self._fail(f"expected '*' between the count and what it counts, as in '{count}*ER'")
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
        known = ", ".join(Algorithm)
        if token.kind != "name":
            self._fail(f"expected an algorithm ({known}), a count such as '20*ER', or '('", token)
        if token.value.upper() == "SW":
            self._fail("shrink-wrap is a clause at the end: '... | SW(every=10,threshold=0.15,sigma=2..1)'", token)
        if token.value.upper() not in set(Algorithm):
            self._fail(f"unknown algorithm '{token.value}'; known: {known}", token)
        algorithm = Algorithm(token.value.upper())
        beta = DEFAULT_BETA.get(algorithm)
        if self._found("("):
            if beta is None:
                self._fail(f"{algorithm} takes no parameters", token)
            name = self._take()
            if name.value.lower() != "beta":
                self._fail(f"{algorithm} takes only 'beta'", name)
            self._expect("=")
            beta = self._number("beta", 0.0, 1.0)
            self._expect(")")
        return Step(algorithm, count, beta)

    def _integer(self, what: str) -> int:
        token = self._take()
        if token.kind != "number" or not token.value.isdecimal():
            self._fail(f"{what} is a whole number", token)
        if not 1 <= (value := int(token.value)) <= MAX_ITERATIONS:
            self._fail(f"{what} lies between 1 and {MAX_ITERATIONS}", token)
        return value

    def _number(self, what: str, above: float, highest: float) -> float:
        token = self._take()
        if token.kind != "number" or not above < (value := float(token.value)) <= highest or not math.isfinite(value):
            self._fail(f"{what} is a number above {above:g} and at most {highest:g}", token)
        return value

    def _range(self, what: str, above: float, highest: float) -> tuple[float, float]:
        first = self._number(what, above, highest)
        return first, self._number(what, above, highest) if self._found("..") else first

    def _shrink_wrap(self) -> ShrinkWrap:
        name = self._take()
        if name.value.upper() != "SW":
            self._fail("expected the shrink-wrap clause 'SW(...)' here", name)
        self._expect("(")
        every, threshold, sigma, volume = (getattr(ShrinkWrap(), field.name) for field in fields(ShrinkWrap))
        seen: set[str] = set()
        while not self._found(")"):
            if seen:
                self._expect(",")
            key = self._take()
            if key.value in seen:
                self._fail(f"'{key.value}' is given twice", key)
            seen.add(key.value)
            self._expect("=")
            match key.value:
                case "every":
                    every = self._integer("every")
                case "threshold":
                    threshold = self._number("threshold", 0.0, 1.0)
                case "sigma":
                    sigma = self._range("sigma", 0.0, 20.0)
                case "volume":
                    volume = self._range("volume", 0.0, 1.0)
                    if volume[0] > volume[1]:
                        self._fail("volume is smallest..largest", key)
                case _:
                    self._fail(f"unknown key '{key.value}'; known: every, threshold, sigma, volume", key)
        return ShrinkWrap(every, threshold, sigma, volume)
