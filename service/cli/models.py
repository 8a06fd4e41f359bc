"""`inphase models`: the networks that are installed, and which version of each is used."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from inphase.listing import Listing
from service.cli.configuration import Json, configured
from service.cli.terminal import err, out, print_json

commands = typer.Typer(cls=Listing, rich_markup_mode=None)

ModelsDir = Annotated[
    Path | None,
    typer.Option(help="The networks are in this model repository [default: the one of this installation]."),
]
Reference = Annotated[str, typer.Argument(metavar="NAME@VERSION", help="The version is named as in inphase-bcdi@2.")]


@commands.callback(invoke_without_command=True, epilog="Example: inphase models --models-dir /srv/inphase/models")
def models(context: typer.Context, models_dir: ModelsDir = None, as_json: Json = False) -> None:
    """List the networks that are installed, and the folders that were refused with the reason. The commands below
    change the repository, and services that run on it follow within seconds.
    """
    if context.invoked_subcommand is not None:
        return
    from inphase.models.repository import Repository

    settings = configured(models_dir=models_dir)
    repository = Repository(settings.models_dir, settings.model)
    versions = [version for name in repository.names() for version in repository.versions(name)]
    if as_json:
        refused = [{"folder": refusal.folder, "why": refusal.why} for refusal in repository.refused]
        active = [version.label for version in versions if repository.is_active(version)]
        print_json({"models": [dict(version.content) for version in versions], "active": active, "refused": refused})
        return
    table = Table("model", "version", "active", "input", "grid", "oversampling", "sha256")
    table.columns[0].no_wrap = True
    for version in versions:
        card = version.card
        grid = "x".join(str(n) for n in card.grid)
        low, high = card.oversampling
        table.add_row(
            card.name, str(card.version), "yes" if repository.is_active(version) else "", ", ".join(card.domain), grid,
            f"{low:g} to {high:g}", card.sha256[:12],
        )  # fmt: skip
    out.print(table if versions else f"no models in {settings.models_dir}")
    for refusal in repository.refused:
        err.print(f"refused: {refusal.folder}: {refusal.why}", style="yellow", markup=False)


@commands.command(epilog="Example: inphase models add runs/phase/export --models-dir /srv/inphase/models")
def add(
    folder: Annotated[
        Path,
        typer.Argument(exists=True, file_okay=False, help="The folder has model.onnx and card.yaml."),
    ],
    models_dir: ModelsDir = None,
) -> None:
    """Copy a version into the repository, after its card and its graph were checked and it has run once.

    It becomes active only where it is the first of its name.
    """
    from inphase.models import installation
    from inphase.models.repository import Repository

    root = configured(models_dir=models_dir).models_dir
    found = installation.add(root, folder)
    active = Repository(root).is_active(found)
    then = "is active" if active else f"can be activated: inphase models activate {found.label}"
    out.print(f"{found.label} is installed and {then}", markup=False)


@commands.command(epilog="Example: inphase models activate inphase-bcdi@2")
def activate(reference: Reference, models_dir: ModelsDir = None) -> None:
    """Let requests that name no version get this one: a newer one, or an older one again."""
    from inphase.models import installation

    found = installation.activate(configured(models_dir=models_dir).models_dir, reference)
    out.print(f"{found.label} is active", markup=False)


@commands.command(epilog="Example: inphase models remove inphase-bcdi@1")
def remove(reference: Reference, models_dir: ModelsDir = None) -> None:
    """Delete a version that is not active, or the only one of its name."""
    from inphase.models import installation

    settings = configured(models_dir=models_dir)
    found = installation.remove(settings.models_dir, reference, keep=settings.model)
    out.print(f"{found.label} is removed", markup=False)
