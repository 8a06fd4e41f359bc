"""The report as Markdown."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from inphase.imaging.options import CONVENTIONAL
from inphase.models.card import Card
from inphase.retrieval import recipe as recipes
from training.evaluate.machine import header
from training.evaluate.outcomes import REAL, Case, Model
from training.evaluate.plan import ER
from training.evaluate.run import Evaluated
from training.evaluate.scores import CHI2_HIGHER, PHASE_HIGHER, SSIM_LOWER, Score
from training.evaluate.sets import SETS, CrystalSet
from training.evaluate.tables import number, table
from training.evaluate.targets import figures_to_reach, keeping_up
from training.evaluate.times import Race, Times, race, speedups

COLUMNS = (
    "chi2",
    "clean chi2",
    "SSIM",
    "phase error / rad",
    "support / crystal",
    "free chi2",
    "free llk",
    "keeps up",
)


def page(found: Evaluated, times: Sequence[Sequence[Times]], command: str) -> Iterator[str]:
    """The lines of the report. times: of every model, with each number of threads."""
    yield "# Evaluation of the networks\n"
    yield f"{header()}\n"
    yield from _method(found, command)
    yield from figures_to_reach(found, times)
    for of in SETS:
        if found.of(of.name):
            yield from _simulated(found, of)
    yield from _measured(found)
    yield from _times(found, times)
    yield from _papers(found, times)


def _method(found: Evaluated, command: str) -> Iterator[str]:
    yield (
        f"One command makes this page: `{command}`. Every way shares preprocessing, mask, free voxels (5 % hidden from "
        "network and refinement) and random seeds; crystals are drawn beyond all seeds of training. "
        f"`{found.plan.refine}` is `{recipes.resolve(found.plan.refine).text}`; `{found.plan.conventional}` is "
        f"`{recipes.resolve(found.plan.conventional).text}`, the best of {found.plan.starts} random starts by chi2 on "
        "the measured data. Everything is modulo twin, sub-voxel shift and global phase.\n"
    )
    yield (
        "chi2: on the measured modulus, hidden voxels too. Noise: the chi2 that Poisson noise alone leaves. The row "
        "`the truth` is the true crystal itself: what noise, partial coherence, binning and background leave. clean "
        "chi2: on the noise-free modulus of coherent, unbinned light, all voxels. SSIM: of the amplitudes in the box "
        "of both supports and 2 voxels around it, data range 1. Phase error: rms over the support within the crystal. "
        "free chi2, free llk: over the hidden voxels. A way that finds how coherent the light was has chi2, R, llk and "
        "what is free of them taken with its kernel, clean chi2 without. keeps up: share of crystals where SSIM is at "
        f"most {SSIM_LOWER} lower, the phase error at most {PHASE_HIGHER} rad higher and the clean chi2 at most "
        f"{CHI2_HIGHER - 1:.0%} higher than the conventional best's. start=auto: the service's rule, "
        f"`{found.plan.refine}`, and where it falls short the better of it and the conventional runs, here those of "
        f"`{found.plan.conventional}` (the service runs `{CONVENTIONAL}`). random starts + {found.plan.refine}: the "
        "same refinement without a network, from the conventional way's starts. Medians, in brackets the worse 5th "
        "percentile.\n"
    )
    yield from (f"{sentence}\n" for sentence in found.absent)
    rows = []
    for model in found.models:
        card = model.card
        wall = spent(card, "wall_time_s")
        budget = f"{spent(card, 'crystals_seen') or '-'} crystals, {number(wall / 3600) if wall else '-'} h"
        grid = " x ".join(map(str, card.grid))
        rows.append([model.label, grid, ", ".join(card.inputs), budget, f"{model.megabytes:.1f} MB", card.sha256[:12]])
    yield from table(["model", "grid", "inputs", "trained with", "size", "sha256"], rows)


def spent(card: Card, what: str) -> int:
    """Crystals or seconds that the card tells of, the runs before included from which the weights went on."""
    runs = [*card.training.get("earlier", ()), card.training]
    return sum(run.get(what) or 0 for run in runs)


def _simulated(found: Evaluated, of: CrystalSet) -> Iterator[str]:
    cases = found.of(of.name)
    yield f"## {len(cases)} held-out crystals: {of.name}\n"
    yield f"{of.what[0].upper()}{of.what[1:]}.\n"
    if of is SETS[0]:
        yield "![Histograms of chi2 and SSIM](evaluation-histograms.png)\n"
    # by decade where there are enough for a percentile
    groups = [(d,) for d in of.decades] if of is SETS[0] else [of.decades]
    rows = []
    for decades in groups:
        if not (chosen := found.of(of.name, decades)):
            continue
        noise = number(float(np.median([found.reference(c).noise_chi2 or np.nan for c in chosen])))
        photons = f"1e{decades[0]} to 1e{decades[-1] + 1}, noise {noise}"
        rows.append([photons, "the truth", *_cells(found, chosen, lambda c: found.reference(c).truth)])
        rows.append([photons, found.conventional_name, *_cells(found, chosen, found.conventional)])
        for name, way in found.without().items():
            rows.append([photons, name, *_cells(found, chosen, way, judged=True)])
        for model in found.models:
            for name, way in found.ways(model).items():
                rows.append([photons, f"{model.label}: {name}", *_cells(found, chosen, way, judged=True)])
    yield from table(["photons, chi2 of noise", "way", *COLUMNS], rows)
    failed = [
        f"{m.label}: {c.title} ({found.way(m, c).why})" for m in found.models for c in cases if found.way(m, c).why
    ]
    if failed:
        yield f"Without a usable prediction, not in the medians, and counted as not keeping up: {'; '.join(failed)}.\n"


def _cells(
    found: Evaluated, cases: Sequence[Case], way: Callable[[Case], Score | None], *, judged: bool = False
) -> list[str]:
    scores = [(case, score) for case in cases if (score := way(case)) is not None]
    if not scores:
        return ["-"] * len(COLUMNS)
    against = [s.against for _, s in scores if s.against is not None]
    share = keeping_up(found, cases, way) if judged else None
    return [
        spread([s.chi2 for _, s in scores]),
        spread([a.clean_chi2 for a in against]),
        spread([a.ssim for a in against], 5),
        spread([a.phase_error for a in against]),
        number(float(np.median([a.support_ratio for a in against]))),
        spread([s.free_chi2 for _, s in scores if s.free_chi2 is not None]),
        number(float(np.median([s.free_llk for _, s in scores if s.free_llk is not None]))),
        "" if share is None else f"{share:.0%}",
    ]


def spread(values: Sequence[float], tail: float = 95) -> str:
    """Median, and in brackets the percentile of the worse end."""
    return f"{number(float(np.median(values)))} ({number(float(np.percentile(values, tail)))})" if values else "-"


def _measured(found: Evaluated) -> Iterator[str]:
    cases = found.of(REAL)
    if not cases:
        return
    yield "## Measured crystals\n"
    yield "![Error against iteration](evaluation-convergence.png)\n"
    for case in cases:
        reference = found.reference(case)
        yield f"### {case.title}\n"
        noise = reference.noise_chi2
        yield (
            f"Poisson noise alone leaves chi2 {number(noise)}.\n"
            if noise
            else "A modulus: nothing is known of its noise.\n"
        )
        by_chi2 = sorted(reference.conventional, key=lambda s: s.chi2)
        rows = [
            _real_row(found.conventional_name, by_chi2[0], by_chi2[0]),
            _real_row(f"{found.plan.conventional}, median start", by_chi2[len(by_chi2) // 2], by_chi2[0]),
        ]
        rows += [_real_row(name, way(case), by_chi2[0]) for name, way in found.without().items()]
        for model in found.models:
            for name, way in found.ways(model).items():
                rows.append(_real_row(f"{model.label}: {name}", way(case), by_chi2[0]))
        over = "over conventional"
        columns = ["way", "chi2", over, "support voxels", over, "R", "free chi2", "free llk"]
        yield from table(columns, rows)
    yield (
        "Both real crystals and a few simulated ones, slices of amplitude and phase: "
        + ", ".join(f"[{model.label}]({gallery_name(model)})" for model in found.models)
        + ".\n"
    )


def gallery_name(model: Model) -> str:
    """File name of a model's gallery."""
    return f"evaluation-gallery-{model.label.replace('@', '-')}.png"


def _real_row(name: str, score: Score | None, best: Score) -> list[str]:
    if score is None:
        return [name, *["-"] * 7]
    return [
        name, number(score.chi2), f"{score.chi2 / best.chi2:.2f}", str(score.support_voxels),
        f"{score.support_voxels / best.support_voxels:.3f}", number(score.r_factor), number(score.free_chi2),
        number(score.free_llk),
    ]  # fmt: skip


def _times(found: Evaluated, times: Sequence[Sequence[Times]]) -> Iterator[str]:
    yield "## Time\n"
    yield (
        "One pattern of 64^3 through our own engine on this machine, ms, medians of alternating runs; the features are "
        "part of the prediction, support updates of the refinement and of the conventional iteration.\n"
    )
    rows = [
        [
            model.label, str(t.threads), f"{t.prediction:.0f}", f"{t.iteration:.2f}", f"{t.fifty:.0f}",
            f"{t.refine:.0f}", f"{t.cost:.1f}", f"{t.conventional:.2f}", f"{_schedule_ms(t, found):.0f}",
            f"{_schedule_ms(t, found) / t.prediction:.0f}", f"{_schedule_ms(t, found) / t.path:.1f}",
        ]
        for model, of_model in zip(found.models, times, strict=True)
        for t in of_model
    ]  # fmt: skip
    columns = [
        "model", "threads", "prediction", "ER iteration", ER, found.plan.refine,
        f"{found.plan.refine} in ER iterations", "conventional iteration", "one conventional run",
        "over the prediction", f"over prediction + {found.plan.refine}",
    ]  # fmt: skip
    yield from table(columns, rows)
    yield (
        "To an equal free log-likelihood, the worse of the two that the ways end with, on the simulated crystals and "
        "the measured ones: how many times longer the conventional way takes on one thread, its free log-likelihood "
        f"sampled every {found.plan.sampled} iterations. All {found.plan.starts} starts side by side, since nobody "
        "knows before which will succeed; and the luckiest start alone, as if one had known. Median, in brackets the "
        "5th percentile.\n"
    )
    rows = []
    for model, of_model in zip(found.models, times, strict=True):
        for name in dict.fromkeys(case.of for case in found.cases):
            races = _races(found, model, name)
            if races:
                gains = [spread(speedups(races, of_model[0], lucky=lucky), 5) for lucky in (False, True)]
                level = float(np.mean([r.level for r in races]))
                rows.append([model.label, name, str(len(races)), f"{level:.0%}", *gains])
    yield from table(
        [
            "model",
            "set",
            "patterns",
            "network's way ends no worse",
            f"against {found.plan.starts} starts",
            "against the luckiest",
        ],
        rows,
    )


def _races(found: Evaluated, model: Model, name: str) -> list[Race]:
    pairs = ((found.way(model, case), found.reference(case)) for case in found.of(name))
    return [r for way, reference in pairs if (r := race(way, reference, found.plan)) is not None]


def _schedule_ms(times: Times, found: Evaluated) -> float:
    return times.conventional * recipes.resolve(found.plan.conventional).iterations


def _papers(found: Evaluated, times: Sequence[Sequence[Times]]) -> Iterator[str]:
    """What the two papers claim, and what stands here beside it."""
    yield "## Beside the papers\n"
    single = [of_model[0] for of_model in times]
    labels = [model.label for model in found.models]

    def each(cells: Sequence[str]) -> str:
        return "; ".join(f"{label} {cell}" for label, cell in zip(labels, cells, strict=True))

    cases = found.of(SETS[0].name, [d for d in SETS[0].decades if d >= 7])
    fifty = [keeping_up(found, cases, found.ways(model)[f"network + {ER}"]) for model in found.models]
    rows = [
        [
            "the prediction is about 100 times faster than 600 iterations (200 ms against 28 s)", "AutoPhaseNN 2022",
            each([f"{_schedule_ms(t, found) / t.prediction:.0f} times" for t in single]),
            f"600 iterations take {_schedule_ms(single[0], found) / 1e3:.1f} s through our engine on one thread, 28 s "
            "in the paper: the comparison is with a faster retrieval. One start against one prediction; the "
            "conventional best of five takes five times that.",
        ],
        [
            "prediction and 50 ER are about 10 times faster than 600 iterations", "AutoPhaseNN 2022",
            each([f"{_schedule_ms(t, found) / (t.prediction + t.fifty):.1f} times" for t in single]),
            "An iteration costs ours so little that the prediction weighs as much as or more than the refinement.",
        ],
        [
            "50 ER from the prediction reach the error of 600 iterations, or a lower one", "AutoPhaseNN 2022",
            each([f"keeps up on {share:.0%} of {len(cases)} crystals from 1e7 photons up" for share in fifty]),
            "The paper compares chi2 with one run of the schedule on ten crystals of its own; here it is the best of "
            "five, judged by the truth. ER updates no support: what the prediction has too much stays.",
        ],
        [
            "3D-CDI-NN is hundreds of times faster (145 ms a prediction)", "3D-CDI-NN 2020",
            each([f"{found.plan.starts * _schedule_ms(t, found) / t.prediction:.0f} times" for t in single]),
            f"Here against {found.plan.starts} conventional starts; several starts are what its \"multiple runs from "
            "random initialization\" stand for.",
        ],
        [
            "with AD refinement still about 4 times faster, on one core", "3D-CDI-NN 2020",
            each([f"{_schedule_ms(t, found) / t.path:.1f} times with `{found.plan.refine}`" for t in single]),
            "One start of 600 iterations on one thread. The refinement here is the recipe of this page; `python "
            "-m benchmarks.networks cdinn` compares Adam and L-BFGS.",
        ],
    ]  # fmt: skip
    yield from table(["claim", "paper", "here, one thread", "what differs"], rows)
