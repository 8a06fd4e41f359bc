"""The figures that a network is meant to reach, and whether it does."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from training.evaluate.outcomes import REAL, Case, Model
from training.evaluate.plan import ER
from training.evaluate.run import Evaluated
from training.evaluate.scores import Score
from training.evaluate.sets import PAPERS, SETS
from training.evaluate.tables import number, table
from training.evaluate.times import Times, race, speedups

ALONE_CHI2 = 0.010  # of the network alone, noise-free, from 1e7 photons up
ALONE_FROM = 7
ALONE_SSIM = 0.95
KEEPING_UP = 0.95  # share of crystals
PAPERS_CHI2, PAPERS_SSIM = 0.03, 0.9  # of the network alone on crystals as in the papers
CDINN_CHI2, CDINN_SSIM = 0.05, 0.8  # the same of 3D-CDI-NN's, which sees half the pattern
SANE = 0.98  # share of these crystals
FIFTY_CHI2, FIFTY_SHARE = 1.1, 0.8  # after 50 ER, over the conventional best; share of these crystals
REAL_CHI2, REAL_SUPPORT = 1.05, 1.02  # over the conventional best
SPEEDUP = 5.0  # of the network's way to an equal free log-likelihood
COST = 60.0  # iterations of ER that the refinement may take

Cell = tuple[str, bool]


def keeping_up(found: Evaluated, cases: Sequence[Case], way: Callable[[Case], Score | None]) -> float:
    """Share of crystals on which a way is no worse than the conventional best (`Against.keeps_up`)."""
    kept = 0
    for case in cases:
        score, other = way(case), found.conventional(case).against
        kept += bool(score and score.against and other and score.against.keeps_up(other))
    return kept / len(cases)


def figures_to_reach(found: Evaluated, times: Sequence[Sequence[Times]]) -> Iterator[str]:
    """One row per figure, one column per model."""
    yield "## Figures to reach\n"
    columns = [dict(_figures(found, model, t)) for model, t in zip(found.models, times, strict=True)]
    rows = []
    for figure in columns[0]:
        cells = [column[figure] for column in columns]
        rows.append([*figure, *(f"{text}: {'reached' if reached else 'missed'}" for text, reached in cells)])
    yield from table(["figure", "where", "to reach", *(model.label for model in found.models)], rows)


def _figures(found: Evaluated, model: Model, times: Sequence[Times]) -> Iterator[tuple[tuple[str, str, str], Cell]]:
    ways = found.ways(model)
    alone, refined = ways["network"], ways[f"network + {found.plan.refine}"]
    fast = SETS[0]
    decades = [d for d in fast.decades if found.of(fast.name, [d])]
    for decade in decades:
        cases = found.of(fast.name, [decade])
        against = [s.against for c in cases if (s := alone(c)) and s.against]
        where = f"1e{decade} to 1e{decade + 1} photons"
        if decade >= ALONE_FROM:
            chi2 = float(np.median([a.clean_chi2 for a in against]))
            yield ("network alone: median clean chi2", where, f"<= {ALONE_CHI2}"), (number(chi2), chi2 <= ALONE_CHI2)
        ssim = float(np.median([a.ssim for a in against]))
        yield ("network alone: median SSIM", where, f">= {ALONE_SSIM}"), (number(ssim), ssim >= ALONE_SSIM)
    for chosen in [*([d] for d in decades), decades]:
        cases = found.of(fast.name, chosen)
        share = keeping_up(found, cases, refined)
        where = f"1e{chosen[0]} to 1e{chosen[-1] + 1} photons, {len(cases)} crystals"
        name = f"network + {found.plan.refine} keeps up with the conventional best"
        yield (name, where, f">= {KEEPING_UP:.0%}"), (f"{share:.0%}", share >= KEEPING_UP)
    yield from _as_in_the_papers(found, model)
    for t in times:
        name, where = f"cost of {found.plan.refine}, in iterations of ER", f"{t.threads} thread{'s' * (t.threads > 1)}"
        yield (name, where, f"<= {COST:.0f}"), (f"{t.cost:.0f}", t.cost <= COST)
    for case in found.of(REAL):
        yield from _real(found, case, refined(case))
    for t in times:
        races = [r for c in found.of(fast.name) if (r := race(found.way(model, c), found.reference(c), found.plan))]
        gain = float(np.median(speedups(races, t, lucky=False)))
        where = f"fast set, {t.threads} thread{'s' * (t.threads > 1)}"
        yield (
            ("times faster to an equal free llk, median", where, f">= {SPEEDUP:.0f}"),
            (f"{gain:.1f}", gain >= SPEEDUP),
        )


def _as_in_the_papers(found: Evaluated, model: Model) -> Iterator[tuple[tuple[str, str, str], Cell]]:
    cases = found.of(PAPERS)
    if not cases:
        return
    ways, where = [found.way(model, case) for case in cases], f"{PAPERS}, {len(cases)} crystals"
    against = [w.network.against for w in ways if w.network and w.network.against]
    cdinn = model.card.name == "cdinn"
    chi2, most = float(np.median([a.clean_chi2 for a in against])), CDINN_CHI2 if cdinn else PAPERS_CHI2
    wanted = f"<= {PAPERS_CHI2} (cdinn {CDINN_CHI2})"
    yield ("network alone: median clean chi2", where, wanted), (number(chi2), chi2 <= most)
    ssim, least = float(np.median([a.ssim for a in against])), CDINN_SSIM if cdinn else PAPERS_SSIM
    wanted = f">= {PAPERS_SSIM} (cdinn {CDINN_SSIM})"
    yield ("network alone: median SSIM", where, wanted), (number(ssim), ssim >= least)
    sane = sum(way.sane for way in ways) / len(ways)
    yield ("network alone: the support is sane", where, f">= {SANE:.0%}"), (f"{sane:.0%}", sane >= SANE)
    near = sum(
        way.fifty is not None
        and way.fifty.against is not None
        and (best := found.conventional(case).against) is not None
        and way.fifty.against.clean_chi2 <= FIFTY_CHI2 * best.clean_chi2
        for way, case in zip(ways, cases, strict=True)
    ) / len(ways)
    name = f"network + {ER}: clean chi2 at most {FIFTY_CHI2} times the conventional best's"
    yield (name, where, f">= {FIFTY_SHARE:.0%}"), (f"{near:.0%}", near >= FIFTY_SHARE)


def _real(found: Evaluated, case: Case, score: Score | None) -> Iterator[tuple[tuple[str, str, str], Cell]]:
    best, where = found.conventional(case), case.short
    if score is None:
        yield ("chi2 over the conventional best", where, f"<= {REAL_CHI2}"), ("no prediction", False)
        return
    chi2, support = score.chi2 / best.chi2, score.support_voxels / best.support_voxels
    yield ("chi2 over the conventional best", where, f"<= {REAL_CHI2}"), (f"{chi2:.2f}", chi2 <= REAL_CHI2)
    yield (
        ("support over the conventional best", where, f"<= {REAL_SUPPORT}"),
        (f"{support:.3f}", support <= REAL_SUPPORT),
    )
    if score.free_llk is not None and best.free_llk is not None:
        ratio = score.free_llk / best.free_llk
        yield ("free llk over the conventional best", where, "<= 1"), (f"{ratio:.2f}", ratio <= 1)
