"""`inphase series`: many scans as one, on a running service."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from inphase.client import Client
from inphase.errors import InphaseError
from inphase.formats.reading import Reading
from inphase.listing import Listing
from service.cli.configuration import LOCAL, ApiKey, Json, Url
from service.cli.reading import reads
from service.cli.terminal import out, print_json, trusted

commands = typer.Typer(
    cls=Listing,
    help="These commands submit, show, save and cancel series of scans on a running service.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Id = Annotated[str, typer.Argument(metavar="ID", help="The id of a series has 32 hexadecimal digits.")]
SeriesPath = Annotated[Path, typer.Argument(help="The file is written here; its ending is .csv or .html.")]


@commands.command(epilog="Example: inphase series submit 'hc5001/scan_*.h5' --refine standard --name 'heating'")
@reads
def submit(
    scans: Annotated[
        list[str],
        typer.Argument(metavar="SCAN...", help="Each scan is a path or a pattern below the service's data roots."),
    ],
    name: Annotated[str, typer.Option(help="People know the series by this name.")] = "",
    refine: Annotated[
        str | None,
        typer.Option(
            help="The images are refined by this recipe or preset; with none they are those of the network alone."
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="This network predicts the starts; it is given as name or name@version.")
    ] = None,
    grid: Annotated[
        str,
        typer.Option(
            help="The images become as fine as the network's grid (model), as what the measurements hold (auto), as "
            "the whole measurements (measured), or as grids of at most so many voxels along an axis."
        ),
    ] = "auto",
    *,
    reading: Reading,
    priority: Annotated[
        str, typer.Option(help="Workers serve jobs of priority high before normal, and normal before low.")
    ] = "low",
    url: Url = LOCAL,
    api_key: ApiKey = "",
) -> None:
    """Let a service reconstruct files that it can see, all in one frame. The command prints the id of the series."""
    with Client(url, api_key) as client:
        made = client.submit_series(
            scans,
            name=name,
            refine=refine,
            model=model,
            grid=grid,
            priority=priority,
            reading={name: value for name, value in vars(reading).items() if value not in (None, {})},
        )
    out.print(made["id"])


@commands.command("show", epilog="Example: inphase series show 4f6c2a0c9d5b4c8e8d0f3f1f2f6f7a11")
def show_series(series_id: Id, url: Url = LOCAL, api_key: ApiKey = "", as_json: Json = False) -> None:
    """Show what became of every scan of a series."""
    with Client(url, api_key) as client:
        found = client.series(series_id)
    if as_json:
        print_json(found)
        return
    table = Table("scan", "source", "state", "chi2", "support", "trust", "likeness", "job")
    for scan in found["scans"]:
        alignment = scan["alignment"]
        table.add_row(
            str(scan["scan"]),
            Path(scan["source"]).name,
            scan["state"] + (f": {scan['reason']}" if scan["reason"] else ""),
            "" if scan["chi2"] is None else f"{scan['chi2']:.3g}",
            str(scan["support_voxels"] or ""),
            trusted(scan["trust"], scan.get("probability")),
            "the frame" if scan["frame"] else f"{alignment['score']:.3f}" if alignment else scan["alignment_why"],
            scan["job"] or "",
        )
    out.print(table)
    out.print(", ".join(f"{count} {state}" for state, count in found["states"].items() if count))


@commands.command(epilog="Example: inphase series save 4f6c2a0c9d5b4c8e8d0f3f1f2f6f7a11 heating.html")
def save(series_id: Id, path: SeriesPath, url: Url = LOCAL, api_key: ApiKey = "") -> None:
    """Write a series as a table (.csv) or as a page with pictures (.html)."""
    form = path.suffix.lower().removeprefix(".")
    if form not in ("csv", "html"):
        raise InphaseError(f"{path}: a series is saved as .csv or .html")
    with Client(url, api_key) as client:
        path.write_bytes(client.series_file(series_id, form))


@commands.command("cancel", epilog="Example: inphase series cancel 4f6c2a0c9d5b4c8e8d0f3f1f2f6f7a11")
def cancel_series(
    series_id: Id,
    reason: Annotated[str, typer.Option(help="This text stays with the jobs.")] = "",
    url: Url = LOCAL,
    api_key: ApiKey = "",
) -> None:
    """Cancel the scans of a series that have not ended."""
    with Client(url, api_key) as client:
        states = client.cancel_series(series_id, reason)["states"]
    out.print(", ".join(f"{count} {state}" for state, count in states.items() if count))
