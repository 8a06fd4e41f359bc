"""`inphase rank`: which of several runs is the best."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from inphase.formats.reading import Reading
from service.cli.files import check
from service.cli.measured import measurement
from service.cli.reading import reads
from service.cli.scans import matches
from service.cli.terminal import out, print_json

if TYPE_CHECKING:
    from inphase.results.ranking import Ranking

commands = typer.Typer()


@commands.command(epilog="Example: inphase rank 'runs/*.cxi' --measured S54_pynx_input_data.npz")
@reads
def rank(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            help="A run is a file of PyNX or inphase, or a folder of cohere; patterns in quotes are understood.",
        ),
    ],
    measured: Annotated[
        Path | None,
        typer.Option(
            help="All runs are judged by these counts, as the program got them; the options that follow say how they "
            "are read. Without them the figures that one program left in its files decide, or how well the runs agree."
        ),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="The command prints the ranking as JSON and nothing else.")
    ] = False,
    *,
    reading: Reading,
) -> None:
    """Rank runs of one pattern by how well they fit, and say which of them found the same object."""
    check(*runs)
    from inphase.results.ranking import rank as ranked

    found = ranked(matches(runs), measured=measurement(measured, reading))
    print_json(found.to_builtins()) if json else _show(found)


def _show(found: "Ranking") -> None:
    table = Table("run", "program", "free llk", "llk", "chi2", "support", "correlation", "agreement", "")
    table.columns[0].no_wrap = True
    for run in found.runs:
        words = [word for word, said in (("another solution", run.another), ("twin", run.twin)) if said]
        table.add_row(
            Path(run.source).name,
            run.program,
            *("" if value is None else f"{value:.4g}" for value in (run.free_llk, run.llk, run.chi2)),
            str(run.support_voxels),
            f"{run.correlation:.3f}",
            f"{run.agreement:.3f}",
            ", ".join(words),
        )
    out.print(table)
    out.print(f"ranked by {found.criterion}: {found.why}", markup=False)
