"""The page of the report, from what was measured."""

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.wu2d.network import Network
from benchmarks.wu2d.refinements import RECIPE
from training.evaluate.machine import header
from training.evaluate.tables import number, table

PAPER = {"modulus": 0.019, "amplitude": 0.005, "phase": 0.029, "neighbour": 0.08}
AIM = {"modulus": 0.02, "amplitude": 0.005, "phase": 0.03}
TWINS = {
    "either": "the one that the prediction comes nearer to (`either`)",
    "broken": "the one whose phase bends upwards (`broken`)",
    "drawn": "whichever was simulated (`drawn`)",
}
OPTIMISERS = {"adam": "Adam", "sgd": "SGD"}
NEIGHBOURS_AIM = 0.4  # error of the modulus over the nearest neighbour's


def page(network: Network, parts: dict[str, Any], runs: Sequence[Path]) -> list[str]:
    """The report in Markdown."""
    training, clean, search = network.version.content["training"], parts["quality"]["clean"], parts["neighbours"]
    seen, minutes = training["crystals_seen"], training["wall_time_s"] / 60
    ratio = clean["scaled"] / search["scaled"]
    return [
        *(f"# {network.version.label}: the network of Wu et al. (2021)", ""),
        *paragraph(
            f"{header()} One command makes this page: `python -m benchmarks.wu2d`, with `--run` for each run whose "
            "learning curve it shows."
        ),
        *paragraph(
            f"The network learned from {seen:,} particles in {minutes:.0f} minutes of wall time, most of them beside "
            f"others on the same two cores. The paper showed 28,500,000 patterns, {28_500_000 / seen:,.0f} times as "
            "many: 142,500 particles 200 times. Every particle here is a new one."
        ),
        *paragraph(differences(training["settings"])),
        *paragraph(verdict(clean, ratio)),
        *paragraph(
            "chi2 is eq. 5 of the paper; twin, place and global phase are taken out of every figure, of which the "
            "paper says nothing. The phase is that in turns within (0, 1), as the targets have it."
        ),
        *quality_table(parts["quality"], search),
        *paragraph(
            f"The error of the modulus is {ratio:.2f} of the nearest neighbour's, both after the scale that fits best "
            f"({number(clean['scaled'])} and {number(search['scaled'])}). The paper's is 0.25, from {PAPER['modulus']} "
            f"and {PAPER['neighbour']}."
        ),
        *("![true and predicted images](gallery.png)", ""),
        *curves_section(runs, parts["runs"]),
        *neighbours_section(search),
        *ways_section(parts["ways"]),
        *spans_section(parts["spans"]),
        *times_section(parts["times"]),
        *measured_section(parts["measured"]),
    ]


def verdict(clean: dict[str, float], ratio: float) -> str:
    """Which of the aims are met, and which are missed by how much."""
    reached = {f"chi2 of the {key}": (clean[key], aim) for key, aim in AIM.items()}
    reached["the modulus beside the nearest neighbour's"] = (ratio, NEIGHBOURS_AIM)
    told = [
        f"{name} {'meets' if found <= aim else 'misses'} its aim ({number(found)}, at most {aim} was wanted)"
        for name, (found, aim) in reached.items()
    ]
    met = sum(found <= aim for found, aim in reached.values())
    return f"Of {len(reached)} aims {met or 'none'} {'is' if met <= 1 else 'are'} met: {'; '.join(told)}."


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


def curves_section(runs: Sequence[Path], worth: dict[str, dict[str, Any]]) -> list[str]:
    """What each run knew of held-out particles on its way."""
    lines = ["## Learning curves", ""]
    if not runs:
        return [*lines, "The folders of the runs were not given.", ""]
    lines += paragraph(
        "Means over 512 held-out particles, half of them with noise and hidden pixels. chi2 is of the modulus after "
        "the scale that fits best, L1 the relative error of eq. 4, against the twin that the run's objective names."
    )
    lines += paragraph(
        "The seconds of a run that was stopped and gone on with count what it worked, beside whatever else did. "
        "Modulo twin, at the end of each:"
    )
    keys = ("modulus", "amplitude", "phase")
    lines += table(
        ["run", "target", "particles", *(f"chi2 {key}" for key in keys)],
        [[f"`{n}`", w["twin"], f"{w['seen']:,}", *(number(w[k]) for k in keys)] for n, w in worth.items()],
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
    """The four initialisations on each of the patterns."""
    lines = [
        *("## Four initialisations", ""),
        *paragraph(
            "600 iterations of ER and HIO, with shrink-wrap every ten after 100 within a second fixed support "
            f"(`{RECIPE}`), on {len(found)} patterns without noise: chi2 of the modulus before and after, as means "
            "over patterns of the means over repeats, with their standard error."
        ),
    ]
    names = list(found[0]["ways"])
    after = np.array([[np.mean(one["ways"][name]["final"]) for name in names] for one in found])  # (patterns, ways)
    before = np.array([[one["ways"][name]["begin"] for name in names] for one in found])
    runs = [sum(len(one["ways"][name]["final"]) for one in found) for name in names]
    error = after.std(0) / np.sqrt(len(found))
    rows = [
        [name, str(runs[k]), number(float(before[:, k].mean())), f"{after[:, k].mean():.2g} +- {error[k]:.1g}",
         f"{int((after.argmin(1) == k).sum())} of {len(found)}"]
        for k, name in enumerate(names)
    ]  # fmt: skip
    lines += table(["start", "runs", "before", "after", "lowest in the end"], rows)
    apart, doubt = float(np.ptp(after.mean(0))), 2 * float(error.max())
    lines += paragraph(
        "In the paper start (iii) ends lowest, and the learned support matters more than the learned phase. "
        f"Here the four means lie {apart:.1g} apart, {'beyond' if apart > doubt else 'within'} two standard errors "
        f"({doubt:.1g}): an order of the results {'is' if apart > doubt else 'is not'} shown."
    )
    return [
        *lines,
        *("![chi2 against iterations](initialisations.png)", ""),
        *paragraph(
            "Between projections an HIO iterate is not confined to its support: the curves rise there, and the dots at "
            "the end are the results."
        ),
    ]


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
    rows = [[how, number(ms), f"{1e3 / ms:,.0f}"] for how, ms in found.items()]
    return [
        *("## Time", ""),
        *paragraph(
            "Processor time of the network alone in onnxruntime, best of twenty: the time of the clock depends on "
            "who else uses the machine. The paper: 0.5 ms on its GPU."
        ),
        *table(["patterns at once, on threads", "ms a pattern", "patterns/s of a core"], rows),
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
