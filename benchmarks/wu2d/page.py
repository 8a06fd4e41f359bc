"""The page of the report, from what was measured."""

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.wu2d.network import Network
from benchmarks.wu2d.refinements import RECIPE
from training.evaluate.machine import header
from training.evaluate.tables import number, table

PAPER_SHOWN = 28_500_000  # patterns: 142,500 of them 200 times
PAPER = {"modulus": 0.019, "amplitude": 0.005, "phase": 0.029, "neighbour": 0.08}
AIM = {"modulus": 0.02, "amplitude": 0.005, "phase": 0.03}
TWINS = {
    "either": "the one that the prediction comes nearer to (`either`)",
    "broken": "the one whose phase bends upwards (`broken`)",
    "drawn": "whichever was simulated (`drawn`)",
}
OPTIMISERS = {"adam": "Adam", "sgd": "SGD"}
ENDS_OF_ER = (20, 220, 420)  # iterations of the recipe
POINTS = ("before", *(f"after {at}" for at in ENDS_OF_ER), "after 600")
SPEED_AIM = 1000  # patterns/s on two cores
NEIGHBOURS_AIM = 0.4  # error of the modulus over the nearest neighbour's


def page(network: Network, parts: dict[str, Any], runs: Sequence[Path]) -> list[str]:
    """The report in Markdown."""
    training, clean, search = network.version.content["training"], parts["quality"]["clean"], parts["neighbours"]
    seen, minutes = training["crystals_seen"], training["wall_time_s"] / 60
    beside = clean["scaled"] / search["scaled"]
    served = {"seed": training["settings"]["seed"], "seen": seen} | clean
    trained = with_served(served, list(parts["runs"].values()))
    seeds = [one for one in trained if one["seen"] == seen]
    return [
        *(f"# {network.version.label}: the network of Wu et al. (2021)", ""),
        *paragraph(
            f"{header()} One command makes this page: `python -m benchmarks.wu2d`, with `--run` for each run whose "
            "learning curve it shows."
        ),
        *paragraph(
            f"The network learned from {seen:,} particles in {minutes:.0f} minutes of wall time, most of them beside "
            f"others on the same two cores. The paper showed {PAPER_SHOWN:,} patterns, {PAPER_SHOWN / seen:,.0f} times "
            "as many: 142,500 particles 200 times. Every particle here is a new one."
        ),
        *paragraph(differences(training["settings"])),
        *paragraph(verdict(seeds, search["scaled"])),
        *paragraph(
            "chi2 is eq. 5 of the paper; twin, place and global phase are taken out of every figure, of which the "
            "paper says nothing. The phase is that in turns within (0, 1), as the targets have it."
        ),
        *quality_table(parts["quality"], search),
        *seeds_section(seeds),
        *paragraph(
            f"The error of the modulus is {beside:.2f} of the nearest neighbour's, both after the scale that fits best "
            f"({number(clean['scaled'])} and {number(search['scaled'])}). The paper's is 0.25, from {PAPER['modulus']} "
            f"and {PAPER['neighbour']}."
        ),
        *("![true and predicted images](gallery.png)", ""),
        *budgets_section(trained),
        *curves_section(runs),
        *neighbours_section(search),
        *ways_section(parts["ways"]),
        *spans_section(parts["spans"]),
        *times_section(parts["times"]),
        *measured_section(parts["measured"]),
    ]


def with_served(served: dict[str, Any], runs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The figures of the network that is served, and of all runs but its own, which has its seed and its budget."""
    own = served["seed"], served["seen"]
    return [served, *(one for one in runs if (one["seed"], one["seen"]) != own)]


def verdict(seeds: Sequence[dict[str, Any]], neighbour: float) -> str:
    """Which of the aims the means over seeds meet, and which they miss by how much. neighbour: its scaled chi2."""
    reached = {f"chi2 of the {key}": (float(np.mean([seed[key] for seed in seeds])), aim) for key, aim in AIM.items()}
    beside = float(np.mean([seed["scaled"] for seed in seeds])) / neighbour
    reached["the modulus beside the nearest neighbour's"] = (beside, NEIGHBOURS_AIM)
    told = [
        f"{name} {'meets' if found <= aim else 'misses'} its aim ({number(found)}, at most {aim} was wanted)"
        for name, (found, aim) in reached.items()
    ]
    met = sum(found <= aim for found, aim in reached.values())
    count = {1: "one seed", 2: "two seeds", 3: "three seeds"}.get(len(seeds), f"{len(seeds)} seeds")
    return (
        f"Of {len(reached)} aims {met or 'none'} {'is' if met <= 1 else 'are'} met, by the means of {count}: "
        f"{'; '.join(told)}."
    )


def seeds_section(seeds: Sequence[dict[str, Any]]) -> list[str]:
    """What each seed is worth, and their mean and deviation."""
    keys = ("modulus", "amplitude", "phase")
    rows = [[f"{s['seed']}", f"{s['seen']:,}", *(number(s[key]) for key in keys)] for s in seeds]
    if len(seeds) > 1:
        columns = [np.array([s[key] for s in seeds]) for key in keys]
        rows.append(["mean", "", *(f"{number(c.mean())} +- {number(c.std(ddof=1))}" for c in columns)])
    return [
        *paragraph(
            "Trainings on as many particles from several seeds, scored on the same clean particles; the first row is "
            "the network that is served, and [how its rate of learning fell](../../../docs/how-to/train-a-network.md"
            "#images-of-single-frames) is its own. Behind +- stands the standard deviation of one seed."
        ),
        *table(["seed", "particles", *(f"chi2 {key}, mean" for key in keys)], rows),
    ]


def differences(settings: dict[str, Any]) -> str:
    """What the training did otherwise than the paper."""
    twin = TWINS[settings["objective_options"]["twin"]]
    return (
        f"A particle and its twin have one pattern, of which the paper does not speak; the target was {twin}. "
        f"The optimiser was {OPTIMISERS[settings['optimizer']]} with the schedule `{settings['schedule']}`; "
        "the paper's is SGD at 0.01, multiplied by 0.95 every ten epochs."
    )


def paragraph(text: str) -> list[str]:
    """Lines of a paragraph, and the empty one after it."""
    return [*textwrap.wrap(text, 120), ""]


def quality_table(found: dict[str, dict[str, float]], search: dict[str, Any]) -> list[str]:
    """Means and medians beside the paper's and the aims."""
    ours = {
        "network, clean patterns": found["clean"],
        "network, noise and hidden pixels as in training": found["as trained"],
        "nearest neighbour in its training patterns": search,
    }
    keys = ("modulus", "modulus_median", "amplitude", "phase", "phase_median")
    rows = [[name, *(number(values[key]) for key in keys)] for name, values in ours.items()]
    rows += [
        [name, *(number(values.get(key)) for key in keys)] for name, values in (("the paper", PAPER), ("the aim", AIM))
    ]
    return table(["chi2", "modulus, mean", "median", "amplitude, mean", "phase, mean", "median"], rows)


def curve(path: Path) -> list[dict[str, float]]:
    """The rows of a run's learning curve."""
    head, *rows = (line.split("\t") for line in path.read_text().splitlines())
    return [dict(zip(head, map(float, row), strict=True)) for row in rows]


def budgets_section(found: Sequence[dict[str, Any]]) -> list[str]:
    """What whole trainings of different length are worth, and what the paper's budget would give along their line."""
    lines, keys = ["## By the budget", ""], ("modulus", "amplitude", "phase")
    budgets = sorted({one["seen"] for one in found})
    if len(budgets) < 3:
        return [*lines, "Fewer than three budgets were trained.", ""]
    means = np.array([[np.mean([o[k] for o in found if o["seen"] == seen]) for k in keys] for seen in budgets])
    lines += paragraph(
        "Each row is a training of its own, whose rate of learning came down to nothing at its end; means over its "
        "seeds, of clean held-out particles. The last row goes on along the straight line through the logarithms of "
        "all others, as far as the paper's budget: a guess, which takes for granted that the line does not bend, and "
        "that this narrower network is not what limits it."
    )
    count = [sum(one["seen"] == seen for one in found) for seen in budgets]
    rows = [[f"{b:,}", str(n), *map(number, m)] for b, n, m in zip(budgets, count, means, strict=True)]
    slopes, levels = np.polyfit(np.log(budgets), np.log(means), 1)
    rows.append([f"{PAPER_SHOWN:,}, guessed", "", *map(number, np.exp(levels + slopes * math.log(PAPER_SHOWN)))])
    rows.append(["power of the number", "", *(f"{slope:.2f}" for slope in slopes)])
    return [*lines, *table(["particles", "seeds", *(f"chi2 {key}" for key in keys)], rows)]


def curves_section(runs: Sequence[Path]) -> list[str]:
    """What each run knew of held-out particles on its way."""
    lines = ["## Learning curves", ""]
    if not runs:
        return [*lines, "The folders of the runs were not given.", ""]
    lines += paragraph(
        "Means over 512 held-out particles, half of them with noise and hidden pixels. chi2 is of the modulus after "
        "the scale that fits best, L1 the relative error of eq. 4, against the twin that the run's objective names. "
        "The seconds count what a run worked, beside whatever else did."
    )
    for run in runs:
        rows = [
            [f"{row['crystals']:,.0f}", f"{row['seconds']:.0f}",
             *(number(row[f"val_{key}"]) for key in ("loss", "chi2", "amplitude", "phase"))]
            for row in curve(run / "learning_curve.tsv")
        ]  # fmt: skip
        lines += [f"`{run.name}`:", ""]
        lines += table(["particles", "seconds", "loss", "chi2", "L1 amplitude", "L1 phase"], rows)
    return lines


def neighbours_section(found: dict[str, Any]) -> list[str]:
    """The error of the search against the size of its database."""
    sizes, errors = (np.array(column, float) for column in zip(*found["curve"], strict=True))
    power, level = np.polyfit(np.log(sizes), np.log(errors), 1)
    expected = math.exp(level + power * math.log(150_000))
    return [
        *("## Nearest neighbour", ""),
        *paragraph(
            f"The search is one matrix product: {found['ms_per_pattern']:.2g} ms a pattern for {int(sizes[-1]):,} "
            f"known ones, where the paper's loop took 30 s. Its error falls as the power {power:.3f} of their number, "
            f"so that 150,000 would leave about {expected:.3f} (the paper: {PAPER['neighbour']}, of its own particles)."
        ),
        *table(["known patterns", "chi2 of the modulus"], [[f"{int(n):,}", number(e)] for n, e in found["curve"]]),
    ]


def ways_section(found: Sequence[dict[str, Any]]) -> list[str]:
    """The four initialisations: their means where a block of ER ends, and each against the network's, pattern by
    pattern.
    """
    names = list(found[0])
    chi2 = np.array([[after_error_reduction(one[name]) for name in names] for one in found])  # (patterns, ways, points)
    runs = [sum(len(one[name]["final"]) for one in found) for name in names]
    means = [[name, str(runs[k]), *map(number, chi2[:, k].mean(0))] for k, name in enumerate(names)]
    ours = next(k for k, name in enumerate(names) if name.startswith("(iii)"))
    others = [k for k in range(len(names)) if k != ours]
    ratios = [[ratio(chi2[:, k, point], chi2[:, ours, point]) for point in range(len(POINTS))] for k in others]
    return [
        *("## Four initialisations", ""),
        *paragraph(
            "600 iterations of ER and HIO, with shrink-wrap every ten after 100 within a second fixed support "
            f"(`{RECIPE}`), on {len(found)} patterns without noise. chi2 is that of the modulus, as means over "
            "patterns of the means over repeats. An HIO iterate is not confined to its support, so the table has the "
            "iterations where a block of error reduction ends."
        ),
        *table(["start", "runs", *POINTS], means),
        *paragraph(
            "On one and the same pattern, how many times higher chi2 is than from (iii): geometric means over the "
            "patterns, in brackets the 95 % interval by drawing patterns anew. Above 1 throughout, (iii) is the better "
            "start; below 1 throughout, the worse one."
        ),
        *table(
            ["start", *POINTS],
            [[names[k], *(interval(r) for r in row)] for k, row in zip(others, ratios, strict=True)],
        ),
        *paragraph(ordering([names[k] for k in others], ratios)),
        *("![chi2 against iterations](initialisations.png)", ""),
        *paragraph(
            "The figure is of the first pattern, as figure 5 of the paper; the dots at the end are the results."
        ),
    ]


def after_error_reduction(way: dict[str, Any]) -> list[float]:
    """chi2 at POINTS."""
    sampled = dict(zip(way["iterations"], way["mean"], strict=True))
    return [way["begin"], *(sampled[at] for at in ENDS_OF_ER), float(np.mean(way["final"]))]


def ratio(one: NDArray[np.float64], other: NDArray[np.float64]) -> tuple[float, float, float]:
    """Geometric mean over patterns of one chi2 over the other, and its 95 % bootstrap interval."""
    logs = np.log(one) - np.log(other)
    drawn = np.random.default_rng(0).choice(logs, (10_000, len(logs))).mean(1)
    low, high = np.exp(np.quantile(drawn, [0.025, 0.975]))
    return float(np.exp(logs.mean())), float(low), float(high)


def interval(found: tuple[float, float, float]) -> str:
    """Mean (low to high)."""
    middle, low, high = map(number, found)
    return f"{middle} ({low} to {high})"


def ordering(names: Sequence[str], ratios: Sequence[Sequence[tuple[float, float, float]]]) -> str:
    """Where the network's start is shown to be the best or not."""
    told = []
    for point, title in enumerate(POINTS):
        row = [ratios[k][point] for k in range(len(names))]
        worse = [name.split()[0] for name, (_, low, _) in zip(names, row, strict=True) if low > 1]
        better = [name.split()[0] for name, (_, _, high) in zip(names, row, strict=True) if high < 1]
        said = [f"worse are {', '.join(worse)}"] if worse else []
        said += [f"better are {', '.join(better)}"] if better else []
        told.append(f"{title}: {' and '.join(said) or 'no order is shown'}")
    return (
        "In the paper start (iii) begins lowest and converges fastest, and in the end the learned support matters more "
        f"than the learned phase. Here, beside (iii), {'; '.join(told)}."
    )


def spans_section(found: Sequence[dict[str, float]]) -> list[str]:
    """The error by the range of the phase."""
    rows = [[f"{s['low']} to {s['high']}", *(number(s[k]) for k in ("modulus", "amplitude", "phase"))] for s in found]
    return [
        *("## The range of the phase", ""),
        *paragraph(
            "The paper says that errors are smaller where the range of the phase is narrower. The same network, which "
            "was trained on spans of half a turn to one, by the span of held-out particles:"
        ),
        *table(["span, turns", "modulus", "amplitude", "phase"], rows),
    ]


def times_section(found: dict[str, float]) -> list[str]:
    """How long a prediction takes."""
    multiplications = found["multiplications"]
    rows = [[how, number(ms), f"{1e3 / ms:,.0f}"] for how, ms in found.items() if " on " in how]
    fastest = 1e3 / min(ms for how, ms in found.items() if how.endswith(" on 1"))
    return [
        *("## Time", ""),
        *paragraph(
            "Processor time of the network alone in onnxruntime, best of twenty: the time of the clock depends on "
            "who else uses the machine. The paper: 0.5 ms on its GPU."
        ),
        *table(["patterns at once, on threads", "ms a pattern", "patterns/s of a core"], rows),
        *paragraph(
            f"The aim of {SPEED_AIM:,} patterns/s on two cores is {'met' if 2 * fastest >= SPEED_AIM else 'missed'}: "
            f"two cores make {2 * fastest:,.0f}. A pattern takes {multiplications / 1e6:,.0f} million multiplications "
            f"with their additions, of which a core makes {fastest * multiplications / 1e9:,.0f} thousand million "
            "a second."
        ),
    ]


def measured_section(found: Sequence[dict[str, Any]]) -> list[str]:
    """Central slices of measured crystals before and after refinement."""
    lines = ["## Central slices of measured crystals", ""]
    if not found:
        return [*lines, "The measurements were not there.", ""]
    rows = [[row["title"], *(number(row[key]) for key in ("none", RECIPE, "standard", "noise"))] for row in found]
    return [
        *lines,
        *table(["chi2", "network", f"network + {RECIPE}", "`standard`, random starts", "noise leaves"], rows),
        "The paper's measured crystal, which is not public, went from 0.7 to 0.002.", "",
    ]  # fmt: skip
