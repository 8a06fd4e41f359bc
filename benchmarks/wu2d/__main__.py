"""This command measures the claims of Wu et al., IUCrJ 8, 12 (2021), on our network: python -m benchmarks.wu2d

Interrupted, it goes on: the figures of each part are kept in build/wu2d as JSON.
"""

import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from benchmarks import ROOT
from benchmarks.wu2d.network import Network
from benchmarks.wu2d.page import page
from benchmarks.wu2d.pictures import figure, gallery
from benchmarks.wu2d.quality import prediction_times, quality, run_scores, spans
from benchmarks.wu2d.refinements import four_ways, measured_slices
from benchmarks.wu2d.search import neighbours

OUT = ROOT / "benchmarks" / "results" / "wu2d"
KEPT = ROOT / "build" / "wu2d"


def kept(name: str, made: Callable[[], Any]) -> Any:
    """What was measured under this name, which tells all that it depends on, or what is measured now."""
    path = KEPT / f"{name}.json"
    if not path.exists():
        KEPT.mkdir(parents=True, exist_ok=True)
        found = made()
        path.write_text(json.dumps(found))
    return json.loads(path.read_text())


def main(
    model: Annotated[str, typer.Option(help="This network is measured.")] = "wu2d",
    models: Annotated[Path, typer.Option(exists=True, file_okay=False, help="It is in this repository.")] = ROOT
    / "models",
    run: Annotated[
        list[Path] | None, typer.Option(help="The learning curve is in this run's folder; may be repeated.")
    ] = None,
    crystals: Annotated[int, typer.Option(min=1, help="So many held-out particles are scored.")] = 500,
    database: Annotated[int, typer.Option(min=2000, help="So many training patterns are searched.")] = 32_000,
    patterns: Annotated[int, typer.Option(min=1, help="The four initialisations start on so many patterns.")] = 40,
    repeats: Annotated[
        int, typer.Option(min=1, help="The first pattern gets so many random starts, each of the others ten.")
    ] = 300,
    out: Annotated[Path, typer.Option(help="The page and its figures are written to this folder.")] = OUT,
) -> None:
    """Measure the paper's claims and write the page.

    Example: python -m benchmarks.wu2d --crystals 50 --patterns 2 --repeats 10 --out /tmp/wu2d
    """
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    network = Network.of(models, model)
    of, searched, few = network.version.label, min(crystals, 300), min(database, 8000)
    parts = {
        "quality": kept(f"{of}-quality-{crystals}", lambda: quality(network, crystals)),
        "spans": kept(f"{of}-spans-{crystals}", lambda: spans(network, crystals)),
        "times": kept(f"{of}-times", lambda: prediction_times(network)),
        "neighbours": kept(f"{of}-neighbours-{searched}-{database}", lambda: neighbours(network, searched, database)),
        "ways": kept(f"{of}-ways-{patterns}-{repeats}-{few}", lambda: four_ways(network, patterns, repeats, few)),
        "measured": kept(f"{of}-measured", lambda: measured_slices(models, model)),
        "runs": {
            one.name: kept(
                f"run-{one.name}-{(one / 'last.ckpt').stat().st_mtime_ns}-{crystals}",
                partial(run_scores, one, crystals),
            )
            for one in run or ()
        },
    }
    out.mkdir(parents=True, exist_ok=True)
    figure(parts["ways"][0], out / "initialisations.png")
    gallery(network, out / "gallery.png")
    (out / "report.md").write_text("\n".join(page(network, parts, run or ())))


if __name__ == "__main__":
    typer.run(main)
