"""`inphase convert`: a reconstruction in another format."""

from pathlib import Path
from typing import Annotated

import typer

from inphase.formats.reading import Reading
from service.cli.files import check, spare
from service.cli.measured import Binning, Measured, check_measured, geometry
from service.cli.reading import reads
from service.cli.terminal import out

commands = typer.Typer()


@commands.command(epilog="Example: inphase convert results_phasing mine.vts --measured scan.npz")
@reads
def convert(
    result: Annotated[
        Path,
        typer.Argument(
            help="This is a result of inphase (.npz, .cxi), PyNX or cdiutils (.cxi), or a folder of cohere."
        ),
    ],
    output: Annotated[
        str, typer.Argument(help="It is written here; the ending decides the format, as in inphase reconstruct.")
    ],
    measured: Measured = None,
    binning: Binning = None,
    *,
    reading: Reading,
) -> None:
    """Write a reconstruction in the format of another program; phase sign and axes are turned, the phase is kept."""
    check(result)
    check_measured(measured, reading)
    spare([output], result, measured)
    from inphase.results.conversion import convert as converted
    from inphase.results.source import taken

    given = taken(result)
    converted(given, output, geometry=geometry(given, measured, reading, binning))
    out.print(f"written: {output}", markup=False)
