"""`inphase show`: a result as a picture or a page."""

from pathlib import Path
from typing import Annotated

import typer

from service.cli.files import check, spare
from service.cli.terminal import out

commands = typer.Typer()


@commands.command(epilog="Example: inphase show scan54.npz -o scan54.html")
def show(
    result: Annotated[
        Path,
        typer.Argument(
            help="This is a result of inphase (.npz, .cxi), PyNX or cdiutils (.cxi), or a folder of cohere."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="The picture (.png) or the page (.html) is written here [default: a page beside the result].",
        ),
    ] = None,
) -> None:
    """Draw a result: slices, surface, rocking curve, error, resolution and trust, as one picture or one page."""
    check(result)
    spare([output], result)
    from inphase.results.page import show as shown

    target = output or result.parent / f"{result.stem}.html"
    shown(result, target)
    out.print(f"written: {target}", markup=False)
