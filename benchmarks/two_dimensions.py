"""This command counts the crystals of 2 to 19 phase domains that are found: python -m benchmarks.two_dimensions

By `inphase-2d` and a short recipe, by random starts of `standard` in the same processor time, and by the network's
search in outlines that were not learned. Interrupted, it goes on: what was measured is kept in build/two_dimensions.
"""

import dataclasses
import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from scipy.stats import binomtest

from benchmarks import ROOT
from benchmarks.wu2d.page import paragraph
from inphase.ambiguity import align
from inphase.models.card import of_patterns
from inphase.models.repository import ModelVersion, Repository
from inphase.models.session import Session
from inphase.retrieval import recipe as recipes
from inphase.retrieval.engine import retrieve
from inphase.retrieval.problem import Problem
from inphase.retrieval.starts import autocorrelation_support, from_prediction, random
from training import networks
from training.data import HELD_OUT_SEED, Sample, sample
from training.evaluate.machine import header
from training.evaluate.tables import table
from training.networks.outline import Outline
from training.objectives.outline import SUCCESS, filled
from training.settings import FitSettings, from_dict
from training.simulate.domains import DomainSettings
from training.simulate.frames import FrameSettings
from training.transform import centre, embed

TEST_SEED = HELD_OUT_SEED + 540  # 539: of the patterns that recipe and thresholds were chosen on
DOMAINS = (2, 5, 10, 15, 19)
ELSEWHERE = (10, 19)  # domains with which outlines that were not learned are tried
FEW = 15  # crystals of each, on which they are
PHOTONS = 1e6
POISSON = FrameSettings(photons=(PHOTONS, PHOTONS), noise_share=1.0)
NOISE = {
    "Poisson": POISSON,
    "and Gaussian, sigma 0.5 photons": dataclasses.replace(POISSON, readout=(0.5, 0.5), readout_share=1.0),
    "and coherence over 1.5 lengths": dataclasses.replace(POISSON, coherence=(1.5, 1.5), coherence_share=1.0),
}
RECIPE = "40*HIO+10*ER+AF+30*HIO+20*ER+10*AER | SW(every=10,threshold=0.15,sigma=1)"
WAYS = {
    "refined": "`inphase-2d` and the recipe",
    "network": "`inphase-2d` alone",
    "standard": "`standard`, random starts, equal time",
    "first": "its first random start alone",
    "correlation": "search in half the autocorrelation, recipe",
    "truth": "search in the true outline, recipe",
}
FRAME, BOX = (64, 64), (32, 32)

Image = NDArray[np.complex64]


@dataclass(frozen=True)
class Outcome:
    """One crystal. scores: the complex correlation with the truth by way, modulo twin, place and phase.

    network_s, recipe_s, start_s: processor time of a prediction, of the recipe, of one start of `standard`.
    starts: of `standard`, as many as take the time of prediction and recipe, or a little more.
    """

    domains: int
    noise: str
    scores: dict[str, float]
    network_s: float
    recipe_s: float
    start_s: float
    starts: int


@dataclass(frozen=True)
class Bench:
    """The network that is measured, as a session and in torch: its search is asked with other outlines as well.

    start_s: processor time of a random start of `standard` among several.
    """

    version: ModelVersion
    session: Session
    search: Outline
    settings: FitSettings
    start_s: float

    @classmethod
    def of(cls, models: Path, name: str) -> "Bench":
        version = Repository(models, name).resolve(None)
        settings = from_dict(version.content["training"]["settings"])
        search = networks.build(settings.architecture, **settings.network)
        assert isinstance(search, Outline)
        bench = cls(version, Session(version, threads=1), search, settings, start_s=0.05)
        # the first of them compiles and warms everything, and the others tell the time
        warm = [bench.outcome(2, "Poisson", i, POISSON, elsewhere=False, seed=HELD_OUT_SEED) for i in range(6)]
        return dataclasses.replace(bench, start_s=float(np.median([one.start_s for one in warm[1:]])))

    def crystal(self, domains: int, number: int, frames: FrameSettings, seed: int) -> Sample:
        settings = dataclasses.replace(self.settings, domains=DomainSettings(domains=(domains, domains)), frames=frames)
        return sample(settings, seed, 1000 * domains + number, 1, torch.device("cpu"))

    def outcome(
        self, domains: int, noise: str, number: int, frames: FrameSettings, *, elsewhere: bool, seed: int = TEST_SEED
    ) -> Outcome:
        """All ways on one crystal. elsewhere: also the search in outlines that were not learned."""
        batch = self.crystal(domains, number, frames, seed)
        truth = embed(batch.objects[0], FRAME).numpy()
        modulus = np.sqrt(batch.measurement.intensity[0].numpy())
        problem = Problem(modulus, batch.measurement.mask[0].numpy(), None, 0.0)
        features = {name: value.numpy() for name, value in batch.features(self.version.card.inputs).items()}
        begun = time.process_time()
        found = self.session.infer(features)
        predicted = framed(found["amplitude"][0] * np.exp(1j * found["phase"][0]))
        asked = time.process_time()
        refined = self.refined(problem, predicted)
        ended = time.process_time()
        scores = {"network": score(predicted, truth), "refined": score(refined, truth)}
        standard = self.standard(problem, math.ceil((ended - begun) / self.start_s), number)
        spent = time.process_time() - ended
        best = min(standard, key=lambda one: one[0])
        scores |= {"standard": score(best[1], truth), "first": score(standard[0][1], truth)}
        if elsewhere:
            halved = centre(torch.from_numpy(autocorrelation_support(problem)).float(), BOX)
            outlines = {"correlation": halved, "truth": filled(batch.objects.abs(), 0.25)[0]}
            for name, inside in outlines.items():
                searched = self.searched(inside, torch.from_numpy(modulus))
                scores[name] = score(self.refined(problem, searched), truth)
        return Outcome(domains, noise, scores, asked - begun, ended - asked, spent / len(standard), len(standard))

    def refined(self, problem: Problem, image: Image) -> Image:
        """The short recipe on an image."""
        threshold = of_patterns(self.version.card).support_threshold
        start = from_prediction(np.abs(image), np.angle(image), threshold)
        return retrieve(problem, recipes.resolve(RECIPE), start)[0].object

    def standard(self, problem: Problem, count: int, seed: int) -> list[tuple[float, Image]]:
        """chi2 and image of so many random starts, which are quickest together."""
        solutions = retrieve(problem, recipes.resolve("standard"), random(problem, count, seed))
        return [(solution.history[-1].chi2, solution.object) for solution in solutions]

    def searched(self, inside: torch.Tensor, modulus: torch.Tensor) -> Image:
        """What the network's search finds in an outline (32, 32), 0 and 1."""
        every = inside.expand(1, self.search.fill.starts, -1, -1)
        parts = self.search.fill(every, modulus[None], torch.ones_like(modulus)[None])[0]
        return framed(torch.complex(parts[0], parts[1]).numpy())


def framed(box: Image) -> Image:
    """A predicted box in the middle of its frame."""
    return embed(torch.from_numpy(box.astype(np.complex64)), FRAME).numpy()


def score(image: Image, truth: Image) -> float:
    """The complex correlation, 0 of an image that is empty."""
    return align(image, truth)[1].score if np.abs(image).max() > 0 else 0.0


def share(scores: Sequence[float]) -> str:
    """How many of these are at least SUCCESS, with Wilson's 95 % interval."""
    successes = sum(one >= SUCCESS for one in scores)
    interval = binomtest(successes, len(scores)).proportion_ci(method="wilson")
    return f"{successes}/{len(scores)}: {successes / len(scores):.0%} ({interval.low:.0%} to {interval.high:.0%})"


def shares(outcomes: Sequence[Outcome], ways: Sequence[str]) -> list[str]:
    """A cell for each way; a dash where it was not tried."""
    scores = [[one.scores[way] for one in outcomes if way in one.scores] for way in ways]
    return [share(one) if one else "-" for one in scores]


def page(outcomes: Sequence[Outcome], version: ModelVersion) -> list[str]:
    """The page in Markdown."""
    training = version.content["training"]
    runs = [*training["earlier"], training]
    seen, seconds = (sum(run[name] for run in runs) for name in ("crystals_seen", "wall_time_s"))
    network, recipe, start = (
        1e3 * float(np.median([getattr(one, name) for one in outcomes]))
        for name in ("network_s", "recipe_s", "start_s")
    )
    ways = list(WAYS)
    by_domains = [[one for one in outcomes if one.domains == count] for count in DOMAINS]
    by_noise = {noise: [one for one in outcomes if one.noise == noise] for noise in NOISE}
    return [
        *(
            "# Crystals of phase domains in two dimensions",
            "",
            header(),
            "",
            "`python -m benchmarks.two_dimensions`",
            "",
        ),
        *paragraph(
            f"Voronoi crystals on 64^2 pixels, {PHOTONS:.0e} photons, a third of them with each kind of noise. An "
            f"image is a success where its complex correlation with the truth is at least {SUCCESS}, twin, place and "
            "phase aside; intervals are Wilson's, 95 %. Random starts of `standard` have as much processor time as "
            "prediction and recipe together, rounded up to whole starts, and the image with the lowest "
            f"chi2 is taken. The columns of other outlines are of the first {FEW} crystals of 10 and of 19 domains."
        ),
        *paragraph(
            f"`{version.label}` learned from {seen:,} crystals in {seconds / 60:.0f} minutes of wall time, on a "
            f"part of one core. The recipe: `{RECIPE}`. It, the thresholds and the number of starts were chosen on "
            "other crystals."
        ),
        "## By the number of domains",
        "",
        *table(
            ["domains", *(WAYS[way] for way in ways), "starts"],
            [
                [str(count), *shares(some, ways), f"{np.mean([one.starts for one in some]):.1f}"]
                for count, some in zip(DOMAINS, by_domains, strict=True)
            ],
        ),
        "## By noise",
        "",
        *table(
            ["noise", *(WAYS[way] for way in ways)],
            [[noise, *shares(some, ways)] for noise, some in by_noise.items()],
        ),
        "## Time",
        "",
        *paragraph(
            f"Processor time of one thread, medians: a prediction {network:.0f} ms, the recipe {recipe:.0f} ms, a "
            f"start of `standard` {start:.0f} ms. Who else uses the machine meanwhile lengthens all of them."
        ),
    ]


def main(
    model: Annotated[str, typer.Option(help="This network is measured.")] = "inphase-2d",
    models: Annotated[Path, typer.Option(exists=True, file_okay=False, help="It is in this repository.")] = ROOT
    / "models",
    crystals: Annotated[int, typer.Option(min=3, help="So many crystals of each number of domains.")] = 60,
    out: Annotated[Path, typer.Option(help="The page is written to this file.")] = ROOT
    / "benchmarks"
    / "results"
    / "two_dimensions.md",
) -> None:
    """Measure all ways and write the page.

    Example: python -m benchmarks.two_dimensions --crystals 3 --out /tmp/two_dimensions.md
    """
    torch.set_num_threads(1)
    bench = Bench.of(models, model)
    kept = ROOT / "build" / "two_dimensions" / f"{bench.version.label}.jsonl"
    kept.parent.mkdir(parents=True, exist_ok=True)
    lines = kept.read_text().splitlines() if kept.exists() else []
    outcomes = [Outcome(**json.loads(line)) for line in lines[: crystals * len(DOMAINS)]]
    with kept.open("a") as file:
        for number in range(len(outcomes), crystals * len(DOMAINS)):
            domains, crystal = DOMAINS[number % len(DOMAINS)], number // len(DOMAINS)
            noise = list(NOISE)[crystal % len(NOISE)]
            elsewhere = domains in ELSEWHERE and crystal < FEW
            outcomes.append(bench.outcome(domains, noise, crystal, NOISE[noise], elsewhere=elsewhere))
            print(json.dumps(asdict(outcomes[-1])), file=file, flush=True)
    out.write_text("\n".join(page(outcomes, bench.version)))


if __name__ == "__main__":
    typer.run(main)
