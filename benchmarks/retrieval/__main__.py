"""These commands measure how fast the phase retrieval is, and how often it succeeds: python -m benchmarks.retrieval"""

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
    sizes: Annotated[
        str, typer.Option(help="The volumes have these sides in voxels, separated by commas.")
    ] = "64,128,256",
    threads: Annotated[
        str, typer.Option(help="Every volume is retrieved with these numbers of threads, separated by commas.")
    ] = "1,2",
    largest: Annotated[
        bool, typer.Option("--largest", help="The largest volume that fits is tried as well, which takes all memory.")
    ] = False,
    out: Annotated[Path, typer.Option(help="The table is written to this Markdown file.")] = RESULTS
    / "retrieval_speed.md",
) -> None:
    """Measure iterations and runs against two FFTs and against cohere-core, the cost of a batch, and memory."""
    lines = []
    sides, counts = ([int(word) for word in words.split(",")] for words in (sizes, threads))
    for line in of_iterations.report(sides, counts, largest=largest):
        typer.echo(line)
        lines.append(line)
    out.write_text("\n".join(lines))
    typer.echo(f"wrote {out}")


@app.command(epilog="Example: python -m benchmarks.retrieval quality --starts 2 --arm standard --arm '600*HIO | SW()'")
def quality(
    arm: Annotated[
        list[str] | None,
        typer.Option(help="This arm is measured: cohere, a preset or a recipe; repeat the option for several."),
    ] = None,
    starts: Annotated[int, typer.Option(min=2, help="Every arm takes so many random starts on every pattern.")] = 10,
    rival_starts: Annotated[
        int, typer.Option(min=2, help="cohere, which takes ten times as long, takes so many random starts.")
    ] = 10,
    seed: Annotated[int, typer.Option(help="The set of crystals is drawn with this seed.")] = EVALUATION_SEED,
    out: Annotated[Path, typer.Option(help="The table is written to this Markdown file.")] = RESULTS
    / "retrieval_quality.md",
) -> None:
    """Count how often random starts succeed, by preset and class of crystal, against cohere-core.
    Goes on where it was stopped.
    """
    arms = arm or list(of_starts.ARMS)
    results = of_starts.run(arms, seed, starts, rival_starts)
    out.write_text("\n".join(of_starts.report(results, arms, seed, starts, rival_starts)))
    typer.echo(f"wrote {out}")


app()
