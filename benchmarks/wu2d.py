"""This command measures the claims of Wu et al., IUCrJ 8, 12 (2021), on our network: python -m benchmarks.wu2d

Interrupted, it goes on: the figures of each part are kept in build/wu2d as JSON.
"""

import json
import math
import os
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray

import inphase
from benchmarks import ROOT
from inphase import fourier
from inphase.imaging.options import Start
from inphase.models.repository import ModelVersion, Repository
from inphase.models.session import Session, Sessions
from inphase.retrieval import recipe as recipes
from inphase.retrieval.engine import retrieve
from inphase.retrieval.problem import Problem
from inphase.retrieval.starts import Kind, Starts, from_prediction
from training.data import HELD_OUT_SEED, Sample, sample
from training.evaluate.images import ImageScores, Neighbours, doublings, scores
from training.evaluate.machine import header
from training.evaluate.measurements import REAL_CASES
from training.evaluate.tables import number, table
from training.export import load
from training.features import features_of
from training.networks import predict
from training.settings import FitSettings, from_dict
from training.simulate.frames import FrameSettings
from training.transform import embed, far_modulus

OUT = ROOT / "benchmarks" / "results" / "wu2d"
KEPT = ROOT / "build" / "wu2d"
TEST_SEED = HELD_OUT_SEED + 700
RECIPE = "wu-600"
FRAME = (64, 64)
PAPER = {"modulus": 0.019, "amplitude": 0.005, "phase": 0.029, "neighbour": 0.08}
AIM = {"modulus": 0.02, "amplitude": 0.005, "phase": 0.03}
SPANS = ((0.1, 0.3), (0.3, 0.5), (0.5, 0.7), (0.7, 0.9), (0.9, 1.0))  # turns
CLEAN = FrameSettings()

Predict = Callable[[Sample], torch.Tensor]


@dataclass(frozen=True)
class Network:
    """A model version, and what it was trained on."""

    version: ModelVersion
    session: Session
    settings: FitSettings

    @classmethod
    def of(cls, models: Path, name: str) -> "Network":
        version = Repository(models, name).resolve(None)
        return cls(version, Session(version, threads=1), from_dict(version.content["training"]["settings"]))

    def predict(self, batch: Sample) -> torch.Tensor:
        """Its images of a batch (B, m, m) complex64, as the graph gives them."""
        features = features_of(batch.measurement, self.version.card.inputs)
        found = self.session.infer({name: value.numpy() for name, value in features.items()})
        return torch.polar(*(torch.from_numpy(np.asarray(found[key])) for key in ("amplitude", "phase")))

    def crystals(self, count: int, **changes: Any) -> Sample:
        """Crystals that it has not seen, by default without noise and whole, as the paper's."""
        settings = replace(self.settings, **({"frames": CLEAN} | changes))
        return sample(settings, TEST_SEED, 0, count, torch.device("cpu"))


def kept(name: str, made: Callable[[], Any]) -> Any:
    """What was measured under this name, or what is measured now."""
    path = KEPT / f"{name}.json"
    if not path.exists():
        KEPT.mkdir(parents=True, exist_ok=True)
        found = made()
        path.write_text(json.dumps(found))
    return json.loads(path.read_text())


def summary(found: ImageScores) -> dict[str, float]:
    """Means, as the paper's fitted Gamma distributions have them, and medians."""
    means = {key: float(value.mean()) for key, value in vars(found).items()}
    return means | {f"{key}_median": float(value.median()) for key, value in vars(found).items()}


def quality(network: Network, count: int) -> dict[str, dict[str, float]]:
    """W1, W2: of clean patterns and of those with the noise and the hidden pixels of training."""
    found = {}
    for name, frames in (("clean", CLEAN), ("as trained", network.settings.frames)):
        batch = network.crystals(count, frames=frames)
        found[name] = summary(scores(network.predict(batch), batch.objects, FRAME))
    return found


def spans(network: Network, count: int) -> list[dict[str, float]]:
    """W8: the error of the same network by the span of the phase."""
    found = []
    for low, high in SPANS:
        particles = replace(network.settings.particles, span=(low, high))
        batch = network.crystals(count, particles=particles)
        found.append({"low": low, "high": high} | summary(scores(network.predict(batch), batch.objects, FRAME)))
    return found


def run_scores(run: Path) -> dict[str, Any]:
    """Of the averaged network of a run's last checkpoint, normalised anew, modulo twin."""
    module = load(run / "last.ckpt")
    module.settle()
    batch = sample(replace(module.settings, frames=CLEAN), TEST_SEED, 0, 300, torch.device("cpu"))
    with torch.no_grad():
        images = torch.polar(*predict(module.average, features_of(batch.measurement, module.average.inputs)))
    found = summary(scores(images, batch.objects, FRAME))
    twin = module.settings.objective_options.get("twin", "broken")
    return {"twin": twin, "seen": module.seen} | found


def training_patterns(network: Network, upto: int) -> Iterator[Sample]:
    """The crystals that it learned from, in their order, without noise."""
    settings = replace(network.settings, frames=CLEAN)
    for batch in range(upto // settings.batch):
        yield sample(settings, settings.seed, batch, settings.batch, torch.device("cpu"))


def neighbours(network: Network, count: int, database: int) -> dict[str, Any]:
    """W3, W4: a search among the training patterns, by the size of the database, and what its answers are worth."""
    wanted = network.crystals(count)
    search = Neighbours(far_modulus(wanted.objects, FRAME))
    sizes, curve, seconds = list(doublings(1000, database)), [], 0.0
    for known in training_patterns(network, database):
        moduli = far_modulus(known.objects, FRAME)
        started = time.perf_counter()
        search.add(moduli)
        seconds += time.perf_counter() - started
        while sizes and search.size >= sizes[0] - network.settings.batch:
            curve.append([search.size, float(search.error.mean())])
            sizes.pop(0)
    best = torch.stack([known_object(network, int(i)) for i in search.number])
    return {"curve": curve, "ms_per_pattern": 1e3 * seconds / count, **summary(scores(best, wanted.objects, FRAME))}


def known_object(network: Network, number_: int) -> torch.Tensor:
    """A training crystal by its place in the order."""
    batch, at = divmod(number_, network.settings.batch)
    settings = replace(network.settings, frames=CLEAN)
    return sample(settings, settings.seed, batch, settings.batch, torch.device("cpu")).objects[at]


def prediction_times(network: Network) -> dict[str, float]:
    """W4: ms of processor time a pattern, alone and in batches of 64, on one thread and two; the network alone."""
    features = features_of(network.crystals(64).measurement, network.version.card.inputs)
    found = {}
    for threads in (1, 2):
        session = Session(network.version, threads)
        for batch in (1, 64):
            part = {name: value[:batch].numpy() for name, value in features.items()}
            session.infer(part)
            best = math.inf
            for _ in range(20):
                started = time.process_time()
                session.infer(part)
                best = min(best, time.process_time() - started)
            found[f"{batch} on {threads}"] = 1e3 * best / batch
    return found


def four_ways(network: Network, pattern: int, repeats: int, database: int) -> dict[str, Any]:
    """W6 on one pattern: chi2 by iteration from four initialisations, the random ones repeated."""
    batch = network.crystals(pattern + 1)
    modulus = np.ascontiguousarray(far_modulus(batch.objects[pattern], FRAME).numpy())
    problem = Problem(modulus, np.zeros(FRAME, np.uint8), None, 0.0)
    image = embed(network.predict(batch)[pattern], FRAME).numpy()
    guess = from_prediction(np.abs(image), np.angle(image), network.version.card.support_threshold)
    search = Neighbours(torch.from_numpy(modulus)[None])
    for known in training_patterns(network, database):
        search.add(far_modulus(known.objects, FRAME))
    nearest = embed(known_object(network, int(search.number[0])), FRAME).numpy()
    rectangle = np.zeros(FRAME, bool)
    rectangle[16:48, 16:48] = True
    ways = {
        "(i) random phase, square support": randomised(rectangle, repeats),
        "(ii) random phase, network's support": randomised(guess.supports[0], repeats),
        "(iii) network's phase and support": guess,
        "(iv) nearest neighbour's phase and support": from_prediction(np.abs(nearest), np.angle(nearest), 0.1),
    }
    recipe, found = recipes.resolve(RECIPE), {}
    for name, starts in ways.items():
        solutions = retrieve(problem, recipe, starts)
        curves = np.array([[s.chi2 for s in solution.history] for solution in solutions])
        final = [residue(solution.object, modulus) for solution in solutions]
        begin = [residue(one, modulus) for one in starts.objects]
        found[name] = {
            "iterations": [s.iteration for s in solutions[0].history],
            "mean": curves.mean(0).tolist(), "std": curves.std(0).tolist(),
            "begin": float(np.mean(begin)), "final": final,
        }  # fmt: skip
    return {"pattern": pattern, "ways": found}


def ways_from(network: Network, pattern: int, repeats: int, database: int) -> dict[str, Any]:
    """`four_ways`, kept."""
    found: dict[str, Any] = kept(f"ways-{pattern}", lambda: four_ways(network, pattern, repeats, database))
    return found


def randomised(support: NDArray[np.bool_], count: int) -> Starts:
    """Unit amplitude and independent random phases within a support."""
    phases = np.random.default_rng(0).uniform(-np.pi, np.pi, (count, *support.shape))
    objects = np.where(support, np.exp(1j * phases), 0).astype(np.complex64)
    kind: Kind = "random"
    return Starts(objects, np.broadcast_to(support, objects.shape), kind)


def residue(obj: NDArray[np.complex64], modulus: NDArray[np.float32]) -> float:
    """chi2 of an object's modulus after the scale that fits best."""
    found = np.abs(fourier.forward(obj))
    cosine = float((found * modulus).sum()) / float(np.linalg.norm(found) * np.linalg.norm(modulus))
    return 1 - cosine**2


def measured_slices(models: Path, name: str) -> list[dict[str, Any]]:
    """Central slices of the measured crystals, before and after refinement; empty where they are not there."""
    sessions, found = Sessions(Repository(models, name), threads=1), []
    for case in REAL_CASES:
        if not case.present:
            continue
        row: dict[str, Any] = {"title": case.title}
        for refine in ("none", RECIPE, "standard"):
            start: Start = "random" if refine == "standard" else "network"
            report = inphase.reconstruct(
                case.read(),
                slice="center",
                model=name,
                start=start,
                refine=refine,
                models=sessions,
                domain=case.options.domain,
                preprocess=case.options.preprocess,
            ).report
            row[refine] = report.metrics.final.chi2 if report.metrics.final else None
            row["noise"] = report.metrics.noise_chi2
        found.append(row)
    return found


def curve(path: Path) -> list[dict[str, float]]:
    """The rows of a run's learning curve."""
    head, *rows = (line.split("\t") for line in path.read_text().splitlines())
    return [dict(zip(head, map(float, row), strict=True)) for row in rows]


def figure(found: dict[str, Any], path: Path) -> None:
    """chi2 against iterations from the four initialisations (figure 5 f), the repeats as mean and deviation."""
    from matplotlib.figure import Figure

    ways = found["ways"]
    canvas = Figure((7, 4.2), layout="constrained")
    axis = canvas.subplots()
    for (name, way), colour in zip(ways.items(), ("C0", "C2", "C1", "C3"), strict=True):
        mean, std = np.array(way["mean"]), np.array(way["std"])
        axis.plot(way["iterations"], mean, color=colour, label=f"{name} ({len(way['final'])})")
        axis.fill_between(way["iterations"], np.maximum(mean - std, mean / 3), mean + std, color=colour, alpha=0.2)
        axis.plot([600], [np.mean(way["final"])], "o", color=colour)
    axis.set(yscale="log", xlabel="iteration", ylabel="chi2 of the modulus", title=f"{RECIPE}, one held-out pattern")
    axis.legend(fontsize=8)
    canvas.savefig(path, dpi=80)


def gallery(network: Network, path: Path, columns: int = 6) -> None:
    """Patterns, true and predicted amplitudes and phases (figure 4)."""
    from matplotlib.figure import Figure

    from training.objectives.truth import nearest
    from training.objectives.wu2d import targets

    batch = network.crystals(64)
    found = network.predict(batch)
    worth = scores(found, batch.objects, FRAME)
    order = worth.modulus.argsort()[torch.linspace(3, 60, columns).long()]  # from the good to the bad
    truth = nearest(batch.objects, found)
    rows = (far_modulus(batch.objects, FRAME).sqrt(), *targets(truth), found.abs(), found.angle() / (2 * math.pi) + 0.5)
    canvas = Figure((1.4 * columns, 1.5 * len(rows)), layout="constrained")
    axes = canvas.subplots(len(rows), columns)
    names = ("pattern", "amplitude", "phase", "predicted amplitude", "predicted phase")
    for line, images, name in zip(axes, rows, names, strict=True):
        for axis, i in zip(line, order.tolist(), strict=True):
            inside = (truth if name in names[:3] else found)[i].abs() > 0.1
            image = images[i] if "phase" not in name else torch.where(inside, images[i], math.nan)
            axis.imshow(
                image.numpy(),
                cmap="hsv" if "phase" in name else "viridis",
                vmin=0,
                vmax=None if name == "pattern" else 1,
            )
            axis.set(xticks=[], yticks=[])
            if name == "pattern":
                axis.set_title(f"chi2 {float(worth.modulus[i]):.3f}", fontsize=8)
        line[0].set_ylabel(name, fontsize=8)
    canvas.savefig(path, dpi=80)


def page(network: Network, parts: dict[str, Any], runs: Sequence[Path]) -> list[str]:
    """The report in Markdown."""
    training, clean, search = network.version.content["training"], parts["quality"]["clean"], parts["neighbours"]
    seen, minutes = training["crystals_seen"], training["wall_time_s"] / 60
    ratio = clean["scaled"] / search["scaled"]
    return [
        *(f"# {network.version.label}: the network of Wu et al. (2021)", "", header(), ""),
        *paragraph(
            f"The network learned from {seen:,} particles in {minutes:.0f} minutes of wall time, on one thread of a "
            f"machine that many others used. The paper showed 28,500,000 patterns, {28_500_000 / seen:,.0f} times as "
            "many: 142,500 particles 200 times. Every particle here is a new one."
        ),
        *paragraph(
            "chi2 is eq. 5 of the paper; twin, place and global phase are taken out of every figure, of which the "
            "paper says nothing. The phase is that in turns within (0, 1), as the targets have it."
        ),
        *quality_table(parts["quality"], search),
        *paragraph(
            f"The error of the modulus is {ratio:.2f} of the nearest neighbour's, both after the scale that fits best "
            f"({number(clean['scaled'])} and {number(search['scaled'])}). The aim was at most 0.4. The paper's is "
            f"0.25, from {PAPER['modulus']} and {PAPER['neighbour']}."
        ),
        *("![true and predicted images](gallery.png)", ""),
        *curves_section(runs),
        *neighbours_section(search),
        *ways_section(parts["ways"]),
        *spans_section(parts["spans"]),
        *times_section(parts["times"]),
        *measured_section(parts["measured"]),
    ]


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


def curves_section(runs: Sequence[Path]) -> list[str]:
    """What each run knew of held-out particles on its way."""
    lines = ["## Learning curves", ""]
    if not runs:
        return [*lines, "The folders of the runs were not given.", ""]
    lines += paragraph(
        "Means over 512 held-out particles, half of them with noise and hidden pixels. chi2 is of the modulus after "
        "the scale that fits best, L1 the relative error of eq. 4, against the twin that the run's objective names."
    )
    lines += paragraph(
        "The normalisation of these averaged networks was that of other weights, which costs them a fifth of the loss; "
        "it was estimated anew for the version, and for the figures modulo twin of clean particles:"
    )
    worth = {run.name: kept(f"run-{run.name}", partial(run_scores, run)) for run in runs}
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
            "Processor time of the network alone in onnxruntime, best of twenty: others used the machine, so that the "
            "time of the clock says nothing. The paper: 0.5 ms on its GPU."
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


def main(
    model: Annotated[str, typer.Option(help="This network is measured.")] = "wu2d",
    models: Annotated[Path, typer.Option(exists=True, file_okay=False, help="It is in this repository.")] = ROOT
    / "models",
    run: Annotated[
        list[Path] | None, typer.Option(help="The learning curve is in this run's folder; may be repeated.")
    ] = None,
    crystals: Annotated[int, typer.Option(min=1, help="So many held-out particles are scored.")] = 500,
    database: Annotated[int, typer.Option(min=2000, help="So many training patterns are searched.")] = 32_000,
    patterns: Annotated[int, typer.Option(min=1, help="The four initialisations start on so many patterns.")] = 4,
    repeats: Annotated[
        int, typer.Option(min=1, help="Random starts of the first pattern; a tenth of it of the others.")
    ] = 300,
    out: Annotated[Path, typer.Option(help="The page and its figures are written to this folder.")] = OUT,
) -> None:
    """Measure the paper's claims and write the page."""
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    network = Network.of(models, model)
    first = max(1, repeats // 10)
    parts = {
        "quality": kept("quality", lambda: quality(network, crystals)),
        "spans": kept("spans", lambda: spans(network, crystals)),
        "times": kept("times", lambda: prediction_times(network)),
        "neighbours": kept("neighbours", lambda: neighbours(network, min(crystals, 300), database)),
        "ways": [ways_from(network, i, repeats if i == 0 else first, min(database, 8000)) for i in range(patterns)],
        "measured": kept("measured", lambda: measured_slices(models, model)),
    }
    out.mkdir(parents=True, exist_ok=True)
    figure(parts["ways"][0], out / "initialisations.png")
    gallery(network, out / "gallery.png")
    (out / "report.md").write_text("\n".join(page(network, parts, run or ())))


if __name__ == "__main__":
    typer.run(main)
