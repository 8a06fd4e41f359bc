"""Rocking curves that are imaged while they are measured: how soon, how well, and whether the advice was right.

python -m benchmarks.live looks           # about six minutes on two cores
python -m benchmarks.live replays         # about six minutes on two cores

Others disturb the time on a shared machine: replays are repeated in turns.
"""

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.live import looks as without_clock
from benchmarks.live import replays as in_time
from benchmarks.live.curves import RESULTS, SIMULATED

commands = typer.Typer(add_completion=False)


@commands.command(epilog="Example: python -m benchmarks.live looks --simulated 2 --out /tmp/live_looks.md")
def looks(
    out: Annotated[Path, typer.Option(help="The page is written to this Markdown file.")] = RESULTS / "live_looks.md",
    simulated: Annotated[
        int, typer.Option(help="So many simulated curves are looked at beside those of real crystals.")
    ] = len(SIMULATED),
) -> None:
    """Measure how good the images of unfinished curves are, and whether what was said of them was right."""
    out.write_text(without_clock.page(simulated, typer.echo))


@commands.command(epilog="Example: python -m benchmarks.live replays --simulated 1 --out /tmp/live_replays.md")
def replays(
    out: Annotated[Path, typer.Option(help="The page is written to this Markdown file.")] = RESULTS / "live_replays.md",
    simulated: Annotated[
        int, typer.Option(help="So many simulated curves are replayed beside those of real crystals.")
    ] = len(SIMULATED),
) -> None:
    """Measure how soon a service has the images of a curve that is replayed to it."""
    out.write_text(in_time.page(simulated, typer.echo))


if __name__ == "__main__":
    commands()
