"""`inphase watch`: every measurement that comes into a folder is reconstructed by a running service."""

import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from inphase.client import Client
from inphase.errors import InphaseError
from inphase.formats.reading import Reading
from service.cli import remote
from service.cli.configuration import LOCAL, ApiKey, Url
from service.cli.files import check, check_reading, spare
from service.cli.reading import reads
from service.cli.reconstruct import Domain, Grid, Model, Preprocess, Refine
from service.cli.terminal import err, out

commands = typer.Typer()


@commands.command(epilog="Example: inphase watch /data/visitor/hc5001 --match 'scan_*.h5' --refine standard")
@reads
def watch(
    folder: Annotated[Path, typer.Argument(help="Measurements come into this folder: files, or folders of frames.")],
    match: Annotated[str, typer.Option(help="Only measurements with such a name are taken.")] = "*",
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help="Images and the list of what was done lie in this folder [default: FOLDER/inphase]."
        ),
    ] = None,
    ending: Annotated[str, typer.Option(help="The file of each image gets this ending, which decides its format.")] = (
        ".npz"
    ),
    rest: Annotated[
        float,
        typer.Option(
            min=0.5,
            help="A measurement is complete when it has not changed for so many seconds: more than lie between two "
            "frames.",
        ),
    ] = 10.0,
    parallel: Annotated[
        int, typer.Option(min=1, max=64, help="The service is given so many measurements at a time.")
    ] = 4,
    model: Model = None,
    domain: Domain = "counts",
    preprocess: Preprocess = "auto",
    refine: Refine = None,
    grid: Grid = "auto",
    *,
    reading: Reading,
    url: Url = LOCAL,
    api_key: ApiKey = "",
) -> None:
    """Let a service reconstruct every measurement that comes into a folder, once it is complete. Ctrl-C ends it.

    What was done stands in a list in the folder of the images, and is not done again after a restart. A measurement
    that cannot be used is named once.
    """
    check(folder)
    check_reading(reading)
    from inphase.formats.writers import writer_for
    from service.intake.options import ImagingOptions
    from service.watch.watch import Place, Watch

    if not folder.is_dir():
        raise InphaseError(f"{folder} is no folder: one measurement is reconstructed by `inphase reconstruct`")
    chosen: dict[str, Any] = {
        "model": model, "domain": domain, "preprocess": preprocess, "refine": refine, "grid": grid,
    }  # fmt: skip
    options = ImagingOptions(**chosen).imaging()
    options.check()
    writer_for(folder / f"scan{ending}")
    spare([output], folder)  # each image would be one more measurement
    place = Place(folder, match, folder / "inphase" if output is None else output, ending)
    with ExitStack() as held:
        do = remote.reconstructor(options, reading, url, api_key, False, held)
        version = held.enter_context(Client(url, api_key)).status()["version"]
        watched = Watch(
            place, do, rest, parallel,
            tell=lambda line: out.print(line, markup=False),
            complain=lambda line: err.print(line, style="red", markup=False),
        )  # fmt: skip
        out.print(
            f"connected to inphase {version} at {url}; watching {folder}: {len(place.scans())} measurements are there",
            markup=False,
        )
        watched.run(threading.Event())
