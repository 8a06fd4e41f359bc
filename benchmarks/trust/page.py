"""The page and the figure of how well the probability of being right holds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.trust.fit import BINS, DIRECTIONS, Tested, auc, calibration_error, column, right
from benchmarks.trust.outcomes import STANDARD, WAYS
from benchmarks.trust.signs import KNOWING, Line
from benchmarks.trust.specimens import Kind
from inphase.probability import RIGHT, Calibration
from inphase.trust import RULES
from training.evaluate.machine import header
from training.evaluate.tables import number, table

DRAWS = 1000  # of the bootstrap


@dataclass(frozen=True)
class Part:
    """The images of one calibration: what was tested without their kind, the fit to all of them, and images that were
    kept apart, which it judged.
    """

    name: str
    tested: Tested
    fitted: Calibration
    apart: Tested


def page(parts: Sequence[Part], results: int) -> str:
    """Markdown."""
    lines = [
        "# Trust as a probability",
        "",
        header(),
        "",
        "`python -m benchmarks.trust` makes this page from benchmarks/trust/signs.tsv, and "
        "`python -m benchmarks.trust.outcomes` and `benchmarks.trust.signs` make the table: simulated measurements of "
        f"{len({line.kind for line in parts[0].tested.lines})} kinds, nearly all unlike what the networks "
        "were trained on (`polyhedra` are faceted crystals with smooth phases, as in training, drawn by another "
        "program), "
        "reconstructed the library's way. Objects are drawn on a grid twice as fine as that of the image, with 3e4 to "
        "5e8 photons; two of five are lit by partly coherent light, a third has a gap, as many a background. "
        f"{results} results have {sum(len(part.tested.lines) for part in parts)} images: the refined one, and where a "
        "network was asked its own, which `refine=none` answers with.",
        "",
        f"Right is an image whose complex correlation with the truth is at least {RIGHT}, modulo twin, position and "
        "phase. Every kind is judged by a fit that has not seen it (leave one kind out). AUC: the chance that a right "
        "image is given the higher probability than a wrong one. Calibration error: mean distance between stated and "
        "found share of right images over ten bins. Intervals are 95 % of a bootstrap over images. The signs and the "
        "form of their curves were chosen with an eye on these scores; for those of images that were kept apart they "
        "were not.",
        "",
        *table(
            [
                "images",
                "number",
                "right",
                "AUC",
                "calibration error",
                "AUC without forward CDI",
                "of the level by rules alone",
            ],
            [
                *([*_summary(part.name, part.tested), _of_rules(part.tested)] for part in parts),
                # the level of these is that of the service, which knows the probability
                *([*_summary(f"{part.name}, kept apart", part.apart), "-"] for part in parts),
            ],
        ),
        "![stated against found](trust.png)",
        "",
    ]
    for part in parts:
        lines += [f"## {part.name[0].upper()}{part.name[1:]}", "", "By stated probability:", ""]
        lines += table(["stated", "images", "mean", "right"], _reliability(part.tested))
        lines += ["The signs, and what the fit lets them add to the log odds:", ""]
        lines += table(["sign", "speaks for an image when", "AUC alone", "adds"], _signs(part))
        lines += ["By kind of measurement; each was left out of the fit that judges it:", ""]
        lines += table(["kind", "images", "right", "mean probability", "AUC"], _groups(part.tested, lambda x: x.kind))
    lines += _apart(parts)
    lines += _by_way(parts[0].tested)
    lines += _levels(_ruled(parts[0].tested))
    lines += _limits(parts[0].tested)
    return "\n".join(lines)


def figure(parts: Sequence[Part], path: Path) -> None:
    """Reliability diagrams: found share of right images over the stated one, and how many images state it."""
    import matplotlib.pyplot as plt

    canvas, axes = plt.subplots(
        2, len(parts), figsize=(5 * len(parts), 6), height_ratios=(3, 1), sharex=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for (above, below), part in zip(axes.T, parts, strict=True):
        bins = _bins(part.tested)
        mean = np.array([part.tested.probability[b].mean() for b in bins])
        share = np.array([part.tested.right[b].mean() for b in bins])
        low, high = np.array([_wilson(int(part.tested.right[b].sum()), int(b.sum())) for b in bins]).T
        above.plot([0, 1], [0, 1], color="grey", linewidth=1, label="perfect")
        error = np.maximum([share - low, high - share], 0)
        above.errorbar(mean, share, yerr=error, fmt="o-", capsize=3, label="held-out kinds")
        above.set(ylabel="share that is right", title=f"{part.name} ({len(part.tested.lines)})")
        above.legend(loc="upper left")
        below.hist(
            [part.tested.probability[part.tested.right], part.tested.probability[~part.tested.right]],
            bins=np.linspace(0, 1, BINS + 1).tolist(), stacked=True, label=["right", "wrong"],
        )  # fmt: skip
        below.set(xlabel="stated probability", ylabel="images", xlim=(0, 1))
        below.legend()
    canvas.savefig(path, dpi=90)
    plt.close(canvas)


def _summary(name: str, tested: Tested) -> list[str]:
    wanted = tested.right
    crystals = np.array([line.kind != Kind.FORWARD for line in tested.lines])
    return [
        name, str(len(wanted)), f"{wanted.mean():.0%}",
        _with_interval(lambda chosen: auc(tested.probability[chosen], wanted[chosen]), len(wanted)),
        _with_interval(lambda chosen: calibration_error(tested.probability[chosen], wanted[chosen]), len(wanted)),
        f"{auc(tested.probability[crystals], wanted[crystals]):.3f}",
    ]  # fmt: skip


def _of_rules(tested: Tested) -> str:
    """The AUC of the levels that the rules alone give."""
    part = _ruled(tested)
    levels = np.array([("low", "medium", "high").index(line.level) for line in part.lines], float)
    return f"{auc(levels, part.right):.3f}"


def _ruled(tested: Tested) -> Tested:
    """The results whose levels are those of the rules alone."""
    of = np.array([line.number not in KNOWING for line in tested.lines])
    return Tested([line for line, part in zip(tested.lines, of, strict=True) if part], tested.probability[of])


def _with_interval(figure: Callable[[np.ndarray[tuple[int], np.dtype[np.intp]]], float], count: int) -> str:
    draw = np.random.default_rng(0)
    drawn = [figure(draw.integers(0, count, count)) for _ in range(DRAWS)]
    low, high = np.percentile(drawn, (2.5, 97.5))
    return f"{figure(np.arange(count)):.3f} ({low:.3f} to {high:.3f})"


def _bins(tested: Tested) -> list[np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    of = np.minimum((tested.probability * BINS).astype(int), BINS - 1)
    return [part for part in (of == number for number in range(BINS)) if part.any()]


def _reliability(tested: Tested) -> list[list[str]]:
    rows = []
    for part in _bins(tested):
        low, high = _wilson(int(tested.right[part].sum()), int(part.sum()))
        first = int(tested.probability[part][0] * BINS) / BINS
        first = min(first, 1 - 1 / BINS)
        rows.append([
            f"{first:.1f} to {first + 1 / BINS:.1f}", str(int(part.sum())), f"{tested.probability[part].mean():.2f}",
            f"{tested.right[part].mean():.2f} ({low:.2f} to {high:.2f})",
        ])  # fmt: skip
    return rows


def _wilson(successes: int, count: int) -> tuple[float, float]:
    from scipy.stats import binomtest

    interval = binomtest(successes, count).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def _signs(part: Part) -> list[list[str]]:
    rows = []
    wanted = right(part.tested.lines)
    for name, direction in DIRECTIONS.items():
        values = column(part.tested.lines, name)
        known = np.isfinite(values)
        if known.sum() < BINS or not wanted[known].any() or wanted[known].all() or np.ptp(values[known]) == 0:
            continue
        curve = part.fitted.curves.get(name)
        rows.append([
            f"`{name}`", "high" if direction > 0 else "low", f"{auc(values[known] * direction, wanted[known]):.3f}",
            "left out" if curve is None else f"{min(curve.adds):+.2f} to {max(curve.adds):+.2f}",
        ])  # fmt: skip
    return rows


def _groups(tested: Tested, of: Callable[[Line], str]) -> list[list[str]]:
    rows = []
    for group in sorted({of(line) for line in tested.lines}):
        part = np.array([of(line) == group for line in tested.lines])
        wanted, probability = tested.right[part], tested.probability[part]
        score = auc(probability, wanted) if 0 < wanted.sum() < wanted.size else None
        rows.append([group, str(part.sum()), f"{wanted.mean():.0%}", f"{probability.mean():.0%}", number(score)])
    return rows


def _apart(parts: Sequence[Part]) -> list[str]:
    """How the calibration that is delivered did on results that came after it."""
    results = len({line.number for line in parts[0].apart.lines})
    lines = [
        "## Kept apart",
        "",
        f"{results} more results, of the same kinds and other seeds (benchmarks/trust/apart.tsv), were looked at "
        "only when the calibration was made: no fit and no choice has seen them. The delivered calibration judges "
        "them:",
        "",
    ]
    for part in parts:
        lines += [f"{part.name[0].upper()}{part.name[1:]}:", ""]
        lines += table(["stated", "images", "mean", "right"], _reliability(part.apart))
    return lines


def _by_way(tested: Tested) -> list[str]:
    ways = {way.name: f"start={way.start}, starts={way.starts}, refine={way.refine}" for way in (*WAYS, STANDARD)}
    return [
        "## By the way of the refinement",
        "",
        f"No fit has seen `{STANDARD.refine}`, which `start=auto` falls back to.",
        "",
        *table(["way", "images", "right", "mean probability", "AUC"], _groups(tested, lambda x: ways[x.way])),
    ]


def _levels(tested: Tested) -> list[str]:
    """What the levels mean now, and what they meant when the rules alone gave them."""
    probability = tested.probability
    by_rules = np.array([line.level for line in tested.lines])
    now = np.where(
        (by_rules == "low") | (probability < RULES.improbable), "low",
        np.where((by_rules == "high") & (probability >= RULES.probable), "high", "medium"),
    )  # fmt: skip
    rows = []
    for level in ("high", "medium", "low"):
        row = [level]
        for levels in (by_rules, now):
            part = levels == level
            row += [str(int(part.sum())), f"{tested.right[part].mean():.0%}" if part.any() else "-"]
        rows.append(row)
    return [
        "## What the levels mean",
        "",
        f"A refined result is low where its probability is below {RULES.improbable}, and high only from "
        f"{RULES.probable} on, whatever its fit is; the rules lower it further. Of the {len(tested.lines)} "
        "results whose levels by the rules alone are known:",
        "",
        *table(["level", "images by rules alone", "right", "images with the probability", "right"], rows),
    ]


def _limits(tested: Tested) -> list[str]:
    evenness = column(tested.lines, "plateau")[tested.right]
    spread = [line.amplitude_cv for line in tested.lines]
    wanted = tested.right
    good, bad = (np.percentile(np.array(spread)[part], (10, 50, 90)) for part in (wanted, ~wanted))
    return [
        "## Limits",
        "",
        "Most objects here have one density. Where an object is uneven itself (grains of unequal strength, cells), a "
        "right image is given too low a probability: the median amplitude of right images is "
        f"{np.median(evenness):.2f} of the largest, and one of ten has less than {np.percentile(evenness, 10):.2f}. "
        "Moduli, projections and results without free voxels have no probability. Real measurements have faults that "
        "no simulation here has, and the share of right images here, about a half, is not that of a beamline.",
        "",
        f"`amplitude_cv` of right images: {good[1]:.2f} ({good[0]:.2f} to {good[2]:.2f}, 10 to 90 %), of wrong ones "
        f"{bad[1]:.2f} ({bad[0]:.2f} to {bad[2]:.2f}): alone it tells little, for the supports reach beyond the "
        "smoothed edge.",
        "",
    ]
