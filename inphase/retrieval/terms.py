"""What a recipe is made of: operations that iterate, and clauses that change how they do.

Each is a frozen data class whose fields carry the values that they may take, so that the grammar, the canonical text
and the reference in docs/ follow from one declaration.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, ClassVar

MAX_ITERATIONS = 100_000
BULK = 0.7  # of the reference amplitude: less is an edge, a void or a defect, and AF leaves it as it is


@dataclass(frozen=True)
class Number:
    """A number above `above` and at most `most`."""

    above: float
    most: float

    def __str__(self) -> str:
        return f"a number above {self.above:g} and at most {self.most:g}"

    def holds(self, value: float) -> bool:
        """Whether the value is allowed."""
        return math.isfinite(value) and self.above < value <= self.most


@dataclass(frozen=True)
class Range(Number):
    """One number, or two as `first..last`, each as in Number."""


@dataclass(frozen=True)
class Integer:
    """A whole number between `least` and `most`, inclusive."""

    least: int
    most: int = MAX_ITERATIONS

    def __str__(self) -> str:
        return f"a whole number between {self.least} and {self.most}"

    def holds(self, value: float) -> bool:
        """Whether the value is allowed."""
        return value == int(value) and self.least <= value <= self.most


@dataclass(frozen=True)
class Choice:
    """One of some words."""

    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"one of {', '.join(self.words)}"


Kind = Number | Range | Integer | Choice


def parameter(default: Any, kind: Kind) -> Any:
    """A field of a term: its default, and what it may be."""
    return field(default=default, metadata={"kind": kind})


def _write(value: float | str | tuple[float, float]) -> str:
    if isinstance(value, tuple):
        return f"{value[0]:g}..{value[1]:g}"
    return value if isinstance(value, str) else f"{value:g}"


@dataclass(frozen=True)
class Term:
    """An operation or a clause; `name` is what a recipe calls it."""

    name: ClassVar[str]

    @classmethod
    def parameters(cls) -> dict[str, Kind]:
        """The parameters' names and what each may be, in the order of the canonical text."""
        return {entry.name: entry.metadata["kind"] for entry in fields(cls)}

    @property
    def text(self) -> str:
        """As a recipe writes it, with every value resolved."""
        values = ",".join(f"{name}={_write(getattr(self, name))}" for name in self.parameters())
        return f"{self.name}({values})" if values else self.name


class Operation(Term):
    """One iteration. P_M is the modulus projection, P_S the one onto the support S (and the phase range),
    R = 2 P - 1.
    """


@dataclass(frozen=True)
class ER(Operation):
    """Error reduction: P_S P_M o (Fienup, Appl. Opt. 21, 2758 (1982))."""

    name: ClassVar[str] = "ER"


@dataclass(frozen=True)
class HIO(Operation):
    """Hybrid input-output: P_M o in S, o - beta P_M o outside (Fienup, Appl. Opt. 21, 2758 (1982))."""

    name: ClassVar[str] = "HIO"
    beta: float = parameter(0.9, Number(0.0, 1.0))


@dataclass(frozen=True)
class RAAR(Operation):
    """Relaxed averaged alternating reflections: beta/2 (R_S R_M + 1) o + (1 - beta) P_M o (Luke,
    Inverse Problems 21, 37 (2005)).

    That is P_M o in S, beta o + (1 - 2 beta) P_M o outside.
    """

    name: ClassVar[str] = "RAAR"
    beta: float = parameter(0.9, Number(0.0, 1.0))


@dataclass(frozen=True)
class DM(Operation):
    """Difference map o + beta (P_S f_M - P_M f_S) o, f_M = (1 + 1/beta) P_M - 1/beta, f_S = (1 - 1/beta) P_S + 1/beta

    (Elser, J. Opt. Soc. Am. A 20, 40 (2003)). Two pairs of FFTs, one where beta is 1.
    """

    name: ClassVar[str] = "DM"
    beta: float = parameter(0.9, Number(0.0, 1.0))


@dataclass(frozen=True)
class SF(Operation):
    """Solvent flipping: R_S P_M o (Abrahams, Acta Cryst. D 53, 371 (1997))."""

    name: ClassVar[str] = "SF"


@dataclass(frozen=True)
class AF(Operation):
    """Amplitude flipping: 2 r - |P_S P_M o| with the phase of P_S P_M o,
    where that amplitude is near or above r (`passes.flip_amplitude`).

    r is the amplitude of a homogeneous crystal, so this is R = 2 P - 1 for the projection onto crystals of constant
    density. A wrong phase of a patch of the far field at q shows as a stripe 1 + e exp(i q r), at which projections
    stagnate (Fienup and Wackerman, J. Opt. Soc. Am. A 3, 1897 (1986)); flipped it is 1 - e exp(-i q r), wrong at -q,
    where the phases were right. What of the variation is real comes back from the data.
    """

    name: ClassVar[str] = "AF"


class Descent(Operation):
    """A step that lowers a loss within S, guided by the steps before it; P_S P_M and the phase range play no part."""


@dataclass(frozen=True)
class AER(Descent):
    """Accelerated error reduction: conjugate gradients on the amplitude loss within S (`conjugate`)."""

    name: ClassVar[str] = "AER"


class Loss(StrEnum):
    """What gradient refinement minimises, a sum over the visible voxels; m: measured modulus, n = m^2 counts."""

    AMPLITUDE = "amplitude"  # 1/2 (|F| - m)^2: what ER and AER lower, and what chi2 measures
    POISSON = "poisson"  # lambda - n + n ln(n / lambda), lambda = |F|^2 + 0.01: the likelihood of counts


_LOSS = Choice(tuple(Loss))


@dataclass(frozen=True)
class ADAM(Descent):
    """A step of Adam on `loss` (`gradient.Adam`); rate: of the first step, in units of the object's rms amplitude."""

    name: ClassVar[str] = "ADAM"
    loss: str = parameter(Loss.AMPLITUDE.value, _LOSS)
    rate: float = parameter(0.1, Number(0.0, 1.0))


@dataclass(frozen=True)
class LBFGS(Descent):
    """A step of limited-memory BFGS on `loss` (`gradient.LBFGS`), with the last `memory` steps as its history."""

    name: ClassVar[str] = "LBFGS"
    loss: str = parameter(Loss.AMPLITUDE.value, _LOSS)
    memory: int = parameter(10, Integer(1, 100))


OPERATIONS: dict[str, type[Operation]] = {kind.name: kind for kind in (ER, HIO, RAAR, DM, SF, AF, AER, ADAM, LBFGS)}


class Clause(Term):
    """Holds for the whole recipe; each may stand once, shrink-wrap and low resolution several times."""


@dataclass(frozen=True)
class ShrinkWrap(Clause):
    """Support update: smooth |P_M o| with a Gaussian, keep what lies above `threshold` of the reference amplitude.

    Marchesini et al., Phys. Rev. B 68, 140101 (2003).

    every: iterations between updates.
    start: no update before this iteration. A clause holds until the next one's `start`.
    threshold: fraction of the reference, linearly from the clause's first update to its last.
    sigma: standard deviation of the Gaussian in voxels, geometrically from the clause's first update to its last.
    volume: smallest and largest support, in units of the largest that sampling allows, prod(N / 2).
    reference: of the smoothed amplitude a. intensity: sqrt(sum a^4 / sum a^2), the amplitude that carries the
        intensity; it equals the amplitude of a homogeneous crystal and hardly feels single hot voxels. max: the
        largest, 1.4 to 1.6 times as large in a real reconstruction, so 0.15 of the former is about 0.1 of this.
        rms: sqrt(mean a^2) over the support. p99: the 99th percentile over the support.
    component: all, or the largest one (neighbours share a face, an edge or a corner).
    expand: voxels by which the support is then dilated, negative: eroded (neighbours share a face).
    within: side of a fixed centred box that the support never leaves, in units of the grid's.
    """

    name: ClassVar[str] = "SW"
    every: int = parameter(10, Integer(1))
    start: int = parameter(1, Integer(1))
    threshold: tuple[float, float] = parameter((0.15, 0.15), Range(0.0, 1.0))
    sigma: tuple[float, float] = parameter((2.0, 1.0), Range(0.0, 20.0))
    volume: tuple[float, float] = parameter((0.005, 1.0), Range(0.0, 1.0))
    reference: str = parameter("intensity", Choice(("intensity", "max", "rms", "p99")))
    component: str = parameter("all", Choice(("all", "largest")))
    expand: int = parameter(0, Integer(-5, 5))
    within: float = parameter(1.0, Number(0.0, 1.0))

    def due(self, iteration: int) -> bool:
        """Whether the support is updated at this iteration (from 0)."""
        return iteration > 0 and iteration >= self.start and iteration % self.every == 0

    def progress(self, iteration: int, end: int) -> float:
        """0 at the first update of a clause that holds until iteration `end`, 1 at the last."""
        first = -(-self.start // self.every) * self.every
        last = (end - 1) // self.every * self.every
        # an update where the grid changes may come before the first that is due
        return max((iteration - first) / (last - first), 0.0) if last > first else 1.0


@dataclass(frozen=True)
class Detwin(Clause):
    """Halves the support by a plane through the centre for `count` iterations from `at`:
    an object mixed with its twin must choose.

    Guizar-Sicairos and Fienup, J. Opt. Soc. Am. A 29, 2367 (2012).
    """

    name: ClassVar[str] = "DETWIN"
    at: int = parameter(20, Integer(0))
    count: int = parameter(10, Integer(1))

    def holds(self, iteration: int) -> bool:
        """Whether the support is halved at this iteration."""
        return self.at <= iteration < self.at + self.count


@dataclass(frozen=True)
class PhaseRange(Clause):
    """Phase-range constraint: a voxel of P_M o whose phase lies outside `range` (radians)
    counts as outside the support.

    It fixes the global phase, and holds before iteration `until` (Harder et al., New J. Phys. 12, 035019 (2010)).
    """

    name: ClassVar[str] = "PHASE"
    range: tuple[float, float] = parameter((-1.57, 1.57), Range(-math.pi - 1e-6, math.pi))
    until: int = parameter(MAX_ITERATIONS, Integer(1))


@dataclass(frozen=True)
class PartialCoherence(Clause):
    """The measured intensity is |F|^2 convolved with a kernel of sum 1, which is found along the way (`coherence`).

    Clark et al., Nature Communications 3, 993 (2012).

    start, every: first iteration with a kernel, and iterations between its updates.
    hold: iterations for which the modulus that coherent light would give is kept. One costs nearly two without a
    kernel.
    kernel: lucy, any shape by `iterations` of Richardson and Lucy on `size` voxels across; gauss, three widths by the
    steps of Levenberg and Marquardt.
    sigma: of the Gaussian that it begins with, in voxels.
    """

    name: ClassVar[str] = "PC"
    start: int = parameter(100, Integer(0))
    every: int = parameter(50, Integer(1))
    hold: int = parameter(1, Integer(1))
    kernel: str = parameter("lucy", Choice(("lucy", "gauss")))
    iterations: int = parameter(20, Integer(1, 1000))
    size: int = parameter(9, Integer(3, 65))
    sigma: float = parameter(0.5, Number(0.0, 5.0))

    def due(self, iteration: int) -> bool:
        """Whether the kernel is updated at this iteration."""
        return iteration >= self.start and (iteration - self.start) % self.every == 0

    def renews(self, iteration: int) -> bool:
        """Whether the modulus that coherent light would give is taken anew at this iteration, not before `start`."""
        return self.due(iteration) or (iteration - self.start) % self.hold == 0


@dataclass(frozen=True)
class LowResolution(Clause):
    """From low to high resolution: the modulus is multiplied by a Gaussian before iteration `until`.

    Of several clauses the one with the earliest `until` comes first, and the next one goes on from there.

    sigma: of the Gaussian, in units of the distance from the centre to the edge of each axis, geometrically.
    every: iterations between its changes.
    side: only the central part of the pattern counts, this share of each axis, and the grid is no larger: at 0.5 an
        iteration costs about an eighth. The object's voxels grow in the same measure, also where SW counts in voxels,
        and SW updates the support wherever the grid changes.
    """

    name: ClassVar[str] = "LOWRES"
    sigma: tuple[float, float] = parameter((0.2, 1.0), Range(0.0, 10.0))
    until: int = parameter(200, Integer(1))
    every: int = parameter(10, Integer(1))
    side: float = parameter(1.0, Number(0.0, 1.0))

    def width(self, iteration: int, begin: int) -> float:
        """Sigma at an iteration before `until`, where the clause holds from iteration `begin`;
        it changes in steps of `every`.
        """
        done = (iteration - begin) // self.every * self.every / (self.until - begin)
        return float(self.sigma[0] * (self.sigma[1] / self.sigma[0]) ** done)


@dataclass(frozen=True)
class Average(Clause):
    """The result is the mean of the last `last` iterates, each confined to its support."""

    name: ClassVar[str] = "AVERAGE"
    last: int = parameter(20, Integer(1))


@dataclass(frozen=True)
class Step:
    """`count` iterations of one operation."""

    operation: Operation
    count: int

    @property
    def text(self) -> str:
        """The step as a recipe writes it."""
        return f"{self.count}*{self.operation.text}"


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
class Recipe:
    """A parsed recipe."""

    parts: tuple[Step | Group, ...]
    shrink_wrap: tuple[ShrinkWrap, ...] = ()  # in the order of their `start`
    detwin: Detwin | None = None
    phase_range: PhaseRange | None = None
    coherence: PartialCoherence | None = None
    low_resolution: tuple[LowResolution, ...] = ()  # in the order of their `until`
    average: Average | None = None

    @property
    def clauses(self) -> tuple[Clause, ...]:
        """Those that stand."""
        standing = (getattr(self, name) for name in CLAUSES)
        several = (found if isinstance(found, tuple) else (found,) for found in standing if found is not None)
        return tuple(clause for clauses in several for clause in clauses)

    @property
    def text(self) -> str:
        """Canonical form with every default resolved; `parse(recipe.text) == recipe`."""
        return " | ".join(["+".join(part.text for part in self.parts), *(clause.text for clause in self.clauses)])

    @property
    def steps(self) -> tuple[Step, ...]:
        """The brackets written out."""
        return tuple(_flatten(self.parts))

    @property
    def iterations(self) -> int:
        """Iterations in all."""
        return _count(self.parts)

    def lowered(self, iteration: int) -> tuple[LowResolution, int] | None:
        """The low resolution that holds at this iteration, and since which."""
        begin = 0
        for clause in self.low_resolution:
            if iteration < clause.until:
                return clause, begin
            begin = clause.until
        return None

    def side(self, iteration: int) -> float:
        """Of the grid of this iteration along each axis, in units of that of the data."""
        low = self.lowered(iteration)
        return 1.0 if low is None else low[0].side

    @property
    def needs_counts(self) -> bool:
        """Whether it takes the squared modulus for photon counts."""
        return any(getattr(step.operation, "loss", None) == Loss.POISSON for step in self.steps)

    def support_update(self, iteration: int) -> tuple[ShrinkWrap, float] | None:
        """The shrink-wrap that is due at this iteration, and how far it has come from its first update (0)
        to its last (1).
        """
        begun = [clause for clause in self.shrink_wrap if clause.start <= iteration]
        resized = iteration > 0 and self.side(iteration) != self.side(iteration - 1)
        if not begun or not (resized or begun[-1].due(iteration)):
            return None
        later = self.shrink_wrap[len(begun) :]
        return begun[-1], begun[-1].progress(iteration, later[0].start if later else self.iterations)

    @property
    def operations(self) -> list[Operation]:
        """The operation of every iteration."""
        return [step.operation for step in self.steps for _ in range(step.count)]


CLAUSES: dict[str, type[Clause]] = {  # by the name of the recipe's field
    "shrink_wrap": ShrinkWrap,
    "detwin": Detwin,
    "phase_range": PhaseRange,
    "coherence": PartialCoherence,
    "low_resolution": LowResolution,
    "average": Average,
}


def _flatten(parts: tuple[Step | Group, ...]) -> Iterator[Step]:
    for part in parts:
        if isinstance(part, Step):
            yield part
        else:
            for _ in range(part.count):
                yield from _flatten(part.parts)


def _count(parts: tuple[Step | Group, ...]) -> int:
    return sum(part.count * (1 if isinstance(part, Step) else _count(part.parts)) for part in parts)
