"""Strongly strained crystals: what more than `fast` behind the network's image would buy, and what it costs.

python -m benchmarks.strained            # some two hours of one core
"""

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from scipy.stats import binomtest
from skimage.morphology import convex_hull_image

from benchmarks import ROOT
from benchmarks.retrieval.crystals import Crystal, Kind, crystal
from benchmarks.retrieval.trials import SUCCESS
from inphase import fourier
from inphase.ambiguity import align
from inphase.formats.scan import scan_of
from inphase.imaging.candidates import retrieved
from inphase.imaging.clock import Clock
from inphase.imaging.options import Options
from inphase.imaging.prepared import PreparedPattern
from inphase.imaging.refine import overfitted, refine
from inphase.imaging.report import Report
from inphase.imaging.way import Preparation, begin, choose_start, predict
from inphase.models.repository import Repository
from inphase.models.session import Session, Sessions
from inphase.pattern import MaskState, Pattern
from inphase.retrieval.ensemble import Candidate
from inphase.retrieval.starts import Starts, jittered, random
from training.evaluate.machine import header
from training.evaluate.tables import table

SEED: Final = 151_000  # of no other page
MIXTURE: Final = (*[Kind.STRAINED] * 4, *[Kind.DISLOCATION] * 3, *[Kind.DOMAINS] * 3)
TWICE: Final = (
    "2*(AF+18*RAAR(beta=0.75)+6*ER)+6*AER | SW(every=8,threshold=0.15,sigma=1) | PC(start=0,hold=10,kernel=gauss)"
)
LOOSE, CLOSE = (  # `standard` in two parts, between which a support can be made convex
    "200*RAAR+280*HIO+30*ER | SW(threshold=0.15,sigma=2..1)",
    "AF+59*ER+30*AER | SW(threshold=0.15..0.2,sigma=1)",
)


@dataclass(frozen=True)
class Tried:
    """One way on one crystal. correlation: complex, with the truth, modulo twin, place and phase. seconds: of one
    thread's processor time, the network's run included where the way asks it.
    """

    correlation: float
    seconds: float


@dataclass(frozen=True)
class Case:
    """A crystal, the measurement on the model grid, and the network that is asked."""

    made: Crystal
    prepared: PreparedPattern
    report: Report
    network: Session

    def run(self, recipe: str, *starts: Starts) -> list[Candidate]:
        """What a recipe makes of every start."""
        return [each.candidate for each in retrieved(self.prepared, recipe, *starts)]

    def alone(self) -> Candidate:
        """The network's image."""
        return self.prepared.guess

    def fast(self, recipe: str = "fast") -> Candidate:
        """The network's image, refined."""
        return self.run(recipe, self.prepared.network_start())[0]

    def kept(self) -> Candidate:
        """The same, or the network's own image where that fits the hidden voxels better."""
        refined = self.fast()
        return self.prepared.guess if overfitted(self.prepared.guess, refined) else refined

    def convex(self) -> Candidate:
        """Refined within the convex hull of the network's support."""
        start = self.prepared.network_start()
        return self.run("fast", replace(start, supports=np.stack([hull(each) for each in start.supports])))[0]

    def jittered(self, count: int = 4) -> Candidate:
        """The best of the network's image and disturbed ones, each refined."""
        drawn = self.prepared.prediction
        assert drawn is not None
        near = jittered(drawn.amplitude, drawn.phase, count - 1, self.made.seed, self.prepared.support_threshold)
        return best(self.run("fast", self.prepared.network_start(), near))

    def again(self) -> Candidate:
        """The network asked once more, of the pattern that its refined image calculates: no noise, no holes."""
        once = self.fast()
        pattern = calculated(once, self.prepared)
        asked = predict(Preparation(self.prepared, self.report, pattern), self.network, Clock()).prepared
        return best([once, *self.run("fast", asked.network_start())])

    def auto(self) -> Candidate:
        """The service's way: kept, or from random starts where the refined image falls short."""
        asked = replace(self.report, start=replace(self.report.start, requested="auto"))
        done = refine(self.prepared, choose_start(self.prepared, asked), Clock())
        return replace(self.prepared.guess, object=done.object, support=done.support)

    def standard(self, count: int = 1) -> Candidate:
        """The best of random starts."""
        return best(self.run("standard", random(self.prepared.problem, count, self.made.seed)))

    def standard_convex(self) -> Candidate:
        """A random start, its support made convex before the amplitude is flipped."""
        (loose,) = self.run(LOOSE, random(self.prepared.problem, 1, self.made.seed))
        return self.run(CLOSE, Starts(loose.object[None], hull(loose.support)[None], "random"))[0]


def best(candidates: Sequence[Candidate]) -> Candidate:
    """The one that fits the hidden voxels best."""
    return min(candidates, key=lambda each: each.metrics.free_llk or np.inf)


def hull(support: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The voxels within the convex hull of the middles of a support's voxels (N, N, N)."""
    whole: NDArray[np.bool_] = convex_hull_image(support, offset_coordinates=False)  # type: ignore[no-untyped-call]
    return whole


def calculated(image: Candidate, prepared: PreparedPattern) -> Pattern:
    """The pattern that an image calculates, on the scale of the measured one."""
    modulus = np.abs(fourier.forward(image.object))
    problem = prepared.problem
    seen = problem.visible
    scale = float((modulus * problem.modulus).sum(where=seen) / np.square(modulus).sum(where=seen))
    mask = np.full(modulus.shape, MaskState.VALID, np.uint8)
    return Pattern((scale * modulus).astype(np.float32) ** 2, mask, prepared.domain)


WAYS: Final[Mapping[str, tuple[str, Callable[[Case], Candidate]]]] = {
    "network": ("the network's image alone", Case.alone),
    "fast": ("refined by `fast`", Case.fast),
    "kept": ("the same, or the network's own where that fits hidden voxels better", Case.kept),
    "auto": ("what the service does with `start=auto`: the same, escalated where it falls short", lambda c: c.auto()),
    "twice": ("two amplitude flips, 24 iterations behind each", lambda c: c.fast(TWICE)),
    "convex": ("`fast` within the convex hull of the network's support", Case.convex),
    "jittered": ("the best of the network's image and three disturbed ones, `fast` from each", Case.jittered),
    "again": ("the network asked again, of the calculated pattern; the better of the two images", Case.again),
    "standard": ("one random start of `standard`", Case.standard),
    "standard x3": ("the best of three", lambda c: c.standard(3)),
    "convex standard": ("one random start, its support made convex before the flip", Case.standard_convex),
}


def tried(case: Case, way: Callable[[Case], Candidate], asking: float) -> Tried:
    """asking: seconds of the network's run, which every way but those from random starts needs."""
    began = time.process_time()
    found = way(case)
    seconds = time.process_time() - began
    _, aligned = align(np.where(found.support, found.object, 0), case.made.truth)
    return Tried(aligned.score, seconds + asking)


def row(name: str, found: Sequence[Tried]) -> list[str]:
    """A way, over all crystals that it was tried on."""
    right = sum(each.correlation >= SUCCESS for each in found)
    interval = binomtest(right, len(found)).proportion_ci(method="wilson")
    return [
        name,
        WAYS[name][0],
        f"{right} of {len(found)} ({interval.low:.0%} to {interval.high:.0%})",
        f"{statistics.median(each.correlation for each in found):.4f}",
        f"{statistics.quantiles((each.correlation for each in found), n=10)[0]:.3f}" if len(found) > 1 else "-",
        f"{statistics.median(each.seconds for each in found):.1f}",
    ]


def page(found: Mapping[tuple[str, Kind], Sequence[Tried]], names: Sequence[str]) -> list[str]:
    """The whole table, and one for each kind of crystal."""
    together = {name: [each for kind in Kind for each in found[name, kind]] for name in names}
    lines = table(
        ["way", "", f"correlation >= {SUCCESS}", "median", "lowest tenth below", "s of one thread"],
        [row(name, each) for name, each in together.items()],
    )
    lines += ["## By kind\n", "Images with a correlation of at least 0.95, and their median.\n"]
    cells = [
        [name, *(f"{sum(t.correlation >= SUCCESS for t in found[name, kind])} of {len(found[name, kind])}, "
                 f"{statistics.median(t.correlation for t in found[name, kind]):.3f}" for kind in Kind)]
        for name in names
    ]  # fmt: skip
    return lines + table(["way", *Kind], cells)


def main(
    crystals: Annotated[int, typer.Option(help="So many crystals are drawn.", min=10)] = 100,
    ways: Annotated[str, typer.Option(help="These ways are tried, separated by commas.")] = ",".join(WAYS),
    seed: Annotated[int, typer.Option(help="The crystals are drawn with this seed and those that follow it.")] = SEED,
    out: Annotated[Path, typer.Option(help="The table is written to this Markdown file.")] = ROOT
    / "benchmarks/results/strained.md",
) -> None:
    """Measure and write the table.

    Example: python -m benchmarks.strained --crystals 20 --ways network,fast --out /tmp/strained.md
    """
    torch.set_num_threads(1)
    names = ways.split(",")
    session = Sessions(Repository(ROOT / "models", "")).get("inphase-bcdi")
    found: dict[tuple[str, Kind], list[Tried]] = defaultdict(list)
    for index in range(crystals):
        made = crystal(MIXTURE[index % len(MIXTURE)], seed + index)
        began = time.process_time()
        prepared, told = begin(scan_of(made.counts), Options(preprocess="none", start="network"), session, Clock())
        asking = time.process_time() - began
        case = Case(made, prepared, told, session)
        for name in names:
            found[name, made.kind].append(tried(case, WAYS[name][1], 0.0 if "standard" in name else asking))
        last = [f"{name} {found[name, made.kind][-1].correlation:.3f}" for name in names]
        typer.echo(f"{index} {made.kind}: {', '.join(last)}")
        if index % 10 == 9:
            out.write_text("\n".join([*head(session.version.label, index + 1, seed), *page(found, names)]))
    typer.echo(f"wrote {out}")


def head(model: str, crystals: int, seed: int) -> list[str]:
    """What was done."""
    return [
        "# Strongly strained crystals: what more would buy\n",
        f"{header()}\n",
        f"{crystals} crystals of `benchmarks.retrieval`, seeds from {seed}: four of ten with smooth strain over "
        "5 to 9 rad, three with one or two dislocations, three of two domains; 1e6 to 1e8 photons, drawn on a grid "
        f"twice as fine as that of the retrieval. Network: {model}. Correlation: complex, with the truth, modulo twin, "
        "place and phase. Seconds are processor time of one thread, which others on the machine lengthen by what they "
        "take of its caches. Of several images the one that fits the hidden voxels best is taken. One command makes "
        "this page: "
        "`python -m benchmarks.strained`.\n",
    ]


if __name__ == "__main__":
    typer.run(main)
