"""`inphase status`: how a running service is, and how long its disk lasts."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Annotated, Any, Final

import typer
from rich.table import Table

from inphase.client import Client
from inphase.sizes import in_words
from service.cli.configuration import LOCAL, ApiKey, Url
from service.cli.terminal import out, print_json

_DAY: Final = timedelta(days=1)
_LOOKED_AT: Final = 2000  # jobs of the last day; of more, the rate is that of the newest

commands = typer.Typer()


@commands.command(epilog="Example: inphase status --url http://beamline:8000")
def status(
    url: Url = LOCAL,
    api_key: ApiKey = "",
    json: Annotated[bool, typer.Option("--json", help="The command prints JSON instead of a table.")] = False,
) -> None:
    """Show how a running service is: its queue and workers, the memory of requests, and how long its store lasts."""
    with Client(url, api_key) as client:
        found = client.status()
        if json:
            print_json(found)
            return
        queue, per_day = found["queue"], None
        if queue is not None and queue["up"]:
            since = (datetime.now(UTC) - _DAY).isoformat(timespec="seconds")
            per_day = rate(line["created"] for line in islice(client.jobs(since=since, limit=500), _LOOKED_AT))
    _show(found, per_day)


def rate(created: Iterable[str]) -> float:
    """Jobs a day, from when those of the last day were made, the newest first (ISO 8601)."""
    times = list(created)
    if len(times) < _LOOKED_AT:
        return float(len(times))
    return len(times) * _DAY / (datetime.now(UTC) - datetime.fromisoformat(times[-1]))


def forecast(used: int, limit: int, jobs: int, per_day: float) -> str:
    """How long the store lasts. used, limit: bytes of all jobs. per_day: jobs that come."""
    if not jobs or not per_day:
        return "no job has come in the last day"
    each = used / jobs
    if used >= limit:
        return "full: the oldest results make room for new ones"
    days = (limit - used) / max(1.0, each * per_day)
    return f"full in {days:.3g} days, at {per_day:.0f} jobs a day of {in_words(each)}, if none expires"


def _show(found: dict[str, Any], per_day: float | None) -> None:
    queue, table = found["queue"], Table("service", "", box=None)
    rows = [("version", found["version"])]
    total = 0
    if queue is not None:
        jobs, total = queue["jobs"], sum(queue["jobs"].values())
        rows += [
            ("queue", "takes jobs" if queue["up"] else f"away: {queue['why']}"),
            ("jobs", ", ".join(f"{count} {state}" for state, count in jobs.items() if count) or "none"),
            ("workers", str(len(queue["workers"]))),
        ]
    rows.append(("requests", f"{in_words(found['bytes_in_flight'])} of {in_words(found['bytes_in_flight_limit'])}"))
    used, limit = found["store_bytes"], found["store_limit_bytes"]
    if used is None:
        rows.append(("store", "does not work, or takes its time"))
    else:
        rows.append(("store", f"{in_words(used)} of {in_words(limit)}"))
        if per_day is not None:
            rows.append(("disk", forecast(used, limit, total, per_day)))
    for name, value in rows:
        table.add_row(name, value)
    out.print(table)
