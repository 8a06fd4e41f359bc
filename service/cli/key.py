"""`inphase key`: the keys of the API, in the file that INPHASE_KEYS_FILE names."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from inphase.listing import Listing
from service.cli.configuration import Json
from service.cli.terminal import err, out, print_json

commands = typer.Typer(
    cls=Listing,
    help="These commands add, list and revoke API keys; a running service knows of it within two seconds.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

KeysFile = Annotated[
    Path,
    typer.Option(envvar="INPHASE_KEYS_FILE", help="The keys are kept in this YAML file, each as its hash."),
]


@commands.command(epilog="Example: inphase key add ada --proposal hc5001 --root /data/hc5001 --expires 2026-12-31")
def add(
    owner: Annotated[str, typer.Argument(help="Jobs that are sent with this key belong to this owner.")],
    keys_file: KeysFile,
    scope: Annotated[
        str,
        typer.Option(
            help="The key may read, submit, or admin: see and cancel everybody's jobs and activate models as well."
        ),
    ] = "submit",
    proposal: Annotated[
        str | None, typer.Option(help="The people of one proposal see each other's jobs, and may cancel them.")
    ] = None,
    expires: Annotated[
        str | None, typer.Option(help="The key is refused after this day, or from this time (ISO 8601, UTC) on.")
    ] = None,
    root: Annotated[
        list[Path] | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="Requests with the key may name files of this folder alone, which lies below a data root; repeat the "
            "option for more folders.",
        ),
    ] = None,
    waiting_jobs: Annotated[
        int | None, typer.Option(min=1, help="At most so many jobs of this key wait to be read or refined.")
    ] = None,
    requests_per_minute: Annotated[
        int | None, typer.Option(min=1, help="At most so many requests of this key are served in a minute.")
    ] = None,
) -> None:
    """Make a key. It is shown once; the file holds only its hash."""
    from service.identity import file
    from service.identity.keys import Key
    from service.settings import new_key

    made = new_key()
    line = Key.of(
        made, owner, scope, proposal=proposal, expires=expires, waiting_jobs=waiting_jobs,
        requests_per_minute=requests_per_minute, roots=tuple(path.absolute() for path in root) if root else None,
    )  # fmt: skip
    file.add(keys_file, line)
    err.print(f"key {line.id} of {owner}, which is not shown again:", markup=False)
    out.print(made, markup=False)


@commands.command("list", epilog="Example: inphase key list --keys-file /etc/inphase/keys.yaml")
def list_keys(keys_file: KeysFile, as_json: Json = False) -> None:
    """List the keys: who has them, and what they may."""
    from service.identity import file

    keys = file.listed(keys_file)
    if as_json:
        print_json([{"id": key.id, **key.model_dump(mode="json", exclude={"sha256"})} for key in keys])
        return
    now = datetime.now(UTC)
    table = Table("key", "owner", "proposal", "scope", "expires", "waiting jobs", "requests/min", "roots", box=None)
    table.columns[0].no_wrap = True
    for key in keys:
        until = "" if key.expires is None else f"{key.expires.astimezone(UTC):%Y-%m-%d %H:%M}"
        table.add_row(
            key.id, key.owner, key.proposal or "", key.scope, f"{until} (over)" if key.expired(now) else until,
            str(key.waiting_jobs or ""), str(key.requests_per_minute or ""), ", ".join(map(str, key.roots or ())),
        )  # fmt: skip
    out.print(table if keys else f"no keys in {keys_file}")


@commands.command(epilog="Example: inphase key revoke 3f1b22c09a4e")
def revoke(
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="`inphase key list` shows the id of each key.")],
    keys_file: KeysFile,
) -> None:
    """Take keys out of the file. Their logins end with them, and their jobs stay."""
    from service.identity import file

    for key in file.revoke(keys_file, ids):
        out.print(f"{key.id} of {key.owner} opens nothing any more", markup=False)
