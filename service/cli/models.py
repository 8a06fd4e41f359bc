"""`inphase models`: the networks that are installed."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from service.cli.configuration import configured
from service.cli.terminal import err, out, print_json

commands = typer.Typer()


@commands.command(epilog="Example: inphase models --models-dir /srv/inphase/models")
def models(
    models_dir: Annotated[
        Path | None,
        typer.Option(help="The networks are read from this model repository [default: the one of this installation]."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="The command prints JSON instead of a table.")] = False,
) -> None:
    """List the networks that are installed, and the folders that were refused with the reason."""
    from inphase.models.repository import Repository

    settings = configured(models_dir=models_dir)
    repository = Repository(settings.models_dir, settings.model)
    if json:
        cards = [dict(version.content) for name in repository.names() for version in repository.versions(name)]
        refused = [{"folder": refusal.folder, "why": refusal.why} for refusal in repository.refused]
        print_json({"models": cards, "refused": refused})
        return
    table = Table("model", "version", "input", "grid", "oversampling", "sha256")
    table.columns[0].no_wrap = True
    for name in repository.names():
        for version in repository.versions(name):
            card = version.card
            grid = "x".join(str(n) for n in card.grid)
            low, high = card.oversampling
            table.add_row(
                name, str(card.version), ", ".join(card.domain), grid, f"{low:g} to {high:g}", card.sha256[:12]
            )  # fmt: skip
    out.print(table if repository.names() else f"no models in {settings.models_dir}")
    for refusal in repository.refused:
        err.print(f"refused: {refusal.folder}: {refusal.why}", style="yellow", markup=False)
