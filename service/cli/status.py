"""`inphase status`: how a running service is."""

from typing import Annotated, Any

import typer
from rich.table import Table

from inphase.client import Client
from service.cli.configuration import LOCAL, ApiKey, Url
from service.cli.terminal import out, print_json

commands = typer.Typer()


@commands.command(epilog="Example: inphase status --url http://beamline:8000")
def status(
    url: Url = LOCAL,
    api_key: ApiKey = "",
    json: Annotated[bool, typer.Option("--json", help="The command prints JSON instead of a table.")] = False,
) -> None:
    """Show how a running service is: its queue and workers, the memory of requests, its store and its networks."""
    with Client(url, api_key) as client:
        found = client.status()
    print_json(found) if json else _show(found)


def _show(found: dict[str, Any]) -> None:
    queue, table = found["queue"], Table("service", "", box=None)
    jobs = ", ".join(f"{count} {state}" for state, count in queue["jobs"].items() if count)
    rows = [
        ("version", found["version"]),
        ("queue", "takes jobs" if queue["up"] else f"away: {queue['why']}"),
        ("jobs", jobs or "none"),
        ("workers", str(len(queue["workers"]))),
    ]
    for name, value in rows:
        table.add_row(name, value)
    out.print(table)
