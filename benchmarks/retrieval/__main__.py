"""python -m benchmarks.retrieval speed | quality"""

from pathlib import Path
from typing import Annotated

import typer

from benchmarks import ROOT
from benchmarks.retrieval import quality as of_starts
from benchmarks.retrieval import speed as of_iterations
from benchmarks.retrieval.crystals import EVALUATION_SEED

RESULTS = ROOT / "benchmarks" / "results"
app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)


@app.command(epilog="Example: python -m benchmarks.retrieval speed --sizes 64,128 --out /tmp/speed.md")
def speed(
    sizes: Annotated[str, typer.Option(help="Sides of the volumes.")] = "64,128,256",
    threads: Annotated[str, typer.Option(help="Numbers of threads.")] = "1,2",
    largest: Annotated[
        bool, typer.Option("--largest", help="Try the largest volume that fits; takes the memory.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Markdown file.")] = RESULTS / "retrieval_speed.md",
) -> None:
    """Time per iteration and per run against two FFTs and against cohere-core; cost of a batch; memory."""
    lines = []
    sides, counts = ([int(word) for word in words.split(",")] for words in (sizes, threads))
    for line in of_iterations.report(sides, counts, largest=largest):
        typer.echo(line)
        lines.append(line)
    out.write_text("\n".join(lines))
    typer.echo(f"wrote {out}")


@app.command(epilog="Example: python -m benchmarks.retrieval quality --starts 2 --arm standard --arm '600*HIO | SW()'")
def quality(
    arm: Annotated[list[str] | None, typer.Option(help="cohere, a preset or a recipe; repeat for several.")] = None,
    starts: Annotated[int, typer.Option(min=2, help="Random starts of every arm on every pattern.")] = 10,
    rival_starts: Annotated[int, typer.Option(min=2, help="Those of cohere, which takes ten times as long.")] = 10,
    seed: Annotated[int, typer.Option(help="Of the set of crystals.")] = EVALUATION_SEED,
    out: Annotated[Path, typer.Option(help="Markdown file.")] = RESULTS / "retrieval_quality.md",
) -> None:
    """How often random starts succeed, per preset and class of crystal, against cohere-core.
    Goes on where it was stopped.
    """
    arms = arm or list(of_starts.ARMS)
    results = of_starts.run(arms, seed, starts, rival_starts)
    out.write_text("\n".join(of_starts.report(results, arms, seed, starts, rival_starts)))
    typer.echo(f"wrote {out}")


app()
