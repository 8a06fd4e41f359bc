"""`inphase key`: a key for the API."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from inphase.errors import InphaseError
from service.cli.terminal import err

commands = typer.Typer()


@commands.command(epilog="Example: inphase key id01-wall --scope read >> keys.yaml")
def key(
    owner: Annotated[str, typer.Argument(help="Jobs that are sent with this key belong to this owner.")],
    scope: Annotated[
        str, typer.Option(help="The key may read, submit, or admin: see and cancel everybody's jobs as well.")
    ] = "submit",
    root: Annotated[
        list[Path] | None,
        typer.Option(
            help="Requests with the key may name files of this folder alone, which lies below a data root; repeat the "
            "option for more folders."
        ),
    ] = None,
) -> None:
    """Make an API key. The line for the file that INPHASE_KEYS_FILE names holds only its hash;
    the key is shown once.
    """
    from service.identity.keys import Key, Scope
    from service.settings import new_key

    made = new_key()
    line = Key.of(made, owner, Scope(scope)) if scope in tuple(Scope) else None
    if line is None:
        raise InphaseError(f"scope {scope!r} is not known: read, submit or admin")
    err.print(f"key of {owner}: {made}", markup=False)
    roots = f", roots: {json.dumps([str(path.absolute()) for path in root])}" if root else ""
    sys.stdout.write(f"- {{owner: {line.owner}, scope: {line.scope}, sha256: {line.sha256}{roots}}}\n")
