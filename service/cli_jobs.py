"""The commands that talk to a running service: `inphase jobs ...`, `inphase series ...`, and `inphase key`."""

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from inphase.client import Client
from inphase.errors import CancelledError, InphaseError

out = Console(soft_wrap=True, highlight=False)
err = Console(stderr=True, soft_wrap=True, highlight=False)
_LOCAL: Final = "http://127.0.0.1:8000"

jobs = typer.Typer(help="Jobs of a running service.", no_args_is_help=True, rich_markup_mode=None)
series = typer.Typer(help="Series of scans on a running service.", no_args_is_help=True, rich_markup_mode=None)

Url = Annotated[str, typer.Option(envvar="INPHASE_URL", help="of the service")]
ApiKey = Annotated[str, typer.Option("--api-key", envvar="INPHASE_API_KEY", help="of the service")]
Json = Annotated[bool, typer.Option("--json", help="print JSON")]
Id = Annotated[str, typer.Argument(metavar="ID", help="32 hexadecimal digits")]
Ids = Annotated[list[str], typer.Argument(metavar="ID...", help="32 hexadecimal digits each")]


@jobs.command("list", epilog="Example: inphase jobs list --state running --since 2026-05-01")
def list_jobs(
    state: Annotated[
        str | None, typer.Option(help="accepted, reading, queued, running, succeeded, failed, cancelled")
    ] = None,
    model: Annotated[str | None, typer.Option(help="name or name@version")] = None,
    trust: Annotated[str | None, typer.Option(help="high, medium, low")] = None,
    owner: Annotated[str | None, typer.Option(help="of others: with an admin's key")] = None,
    of_series: Annotated[str | None, typer.Option("--series", help="id of a series")] = None,
    since: Annotated[str | None, typer.Option(help="created at or after, ISO 8601")] = None,
    most: Annotated[int, typer.Option(min=1, help="how many, newest first")] = 20,
    url: Url = _LOCAL,
    api_key: ApiKey = "",
    as_json: Json = False,
) -> None:
    """List jobs, newest first."""
    with Client(url, api_key) as client:
        asked = {"state": state, "model": model, "trust": trust, "owner": owner, "series": of_series, "since": since}
        found = [job for job, _ in zip(client.jobs(**asked, limit=min(most, 500)), range(most), strict=False)]
    if as_json:
        _print(found)
        return
    table = Table("job", "state", "created", "chi2", "trust", "source", "reason", box=None)
    for column in table.columns[:5]:
        column.no_wrap = True
    for job in found:
        created = datetime.fromtimestamp(job["created"]).strftime("%m-%d %H:%M:%S")
        chi2 = "" if job["chi2"] is None else f"{job['chi2']:.3g}"
        table.add_row(
            job["id"], job["state"], created, chi2, job["trust"] or "", Path(job["source"] or "").name, job["reason"],
        )  # fmt: skip
    out.print(table)


@jobs.command(epilog="Example: inphase jobs show 4f6c2a0c9d5b4c8e8d0f3f1f2f6f7a11")
def show(job_id: Id, url: Url = _LOCAL, api_key: ApiKey = "") -> None:
    """Print the job document."""
    with Client(url, api_key) as client:
        _print(client.job(job_id))


@jobs.command(epilog="Example: inphase jobs cancel 4f6c2a0c9d5b4c8e8d0f3f1f2f6f7a11")
def cancel(job_ids: Ids, url: Url = _LOCAL, api_key: ApiKey = "") -> None:
    """Cancel jobs, also while they run."""
    with Client(url, api_key) as client:
        for job_id in job_ids:
            out.print(f"{job_id} {client.cancel(job_id)['state']}")


@jobs.command(epilog="Example: inphase jobs follow 4f6c2a0c9d5b4c8e8d0f3f1f2f6f7a11")
def follow(job_id: Id, url: Url = _LOCAL, api_key: ApiKey = "", as_json: Json = False) -> None:
    """Watch a job to its end; --json prints every event as a line. Exit code 1 where it fails, 130 where it is cancelled."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    state, reason = "accepted", ""
    with (
        Client(url, api_key) as client,
        Progress(*columns, console=err, transient=True, disable=as_json or not err.is_terminal) as bars,
    ):
        task = bars.add_task(state, total=None)
        for event in client.follow(job_id):
            if event.kind == "waiting":
                continue
            if as_json:
                sys.stdout.write(json.dumps({"event": event.kind, **event.data}) + "\n")
                sys.stdout.flush()
            if event.kind == "progress":
                told = event.data
                chi2 = "" if told["chi2"] is None else f" chi2 {told['chi2']:.3g}"
                bars.update(
                    task, completed=told["iteration"] + 1, total=told["total"],
                    description=f"{told['stage']}{chi2} support {told['support_voxels']}",
                )  # fmt: skip
            elif event.kind == "state":
                state, reason = event.data["state"], event.data["reason"]
                bars.update(task, description=state)
    if not as_json:
        out.print(f"{job_id} {state} {reason}".rstrip(), markup=False)
    if state == "cancelled":
        raise CancelledError(f"job {job_id} was cancelled")
    if state == "failed":
        raise InphaseError(f"job {job_id} has failed: {reason}")


@series.command(epilog="Example: inphase series submit 'hc5001/scan_*.h5' --refine standard --name 'heating'")
def submit(
    scans: Annotated[
        list[str], typer.Argument(metavar="SCAN...", help="paths or patterns below the service's data roots")
    ],
    name: Annotated[str, typer.Option(help="what people call it")] = "",
    refine: Annotated[str | None, typer.Option(help="recipe, preset, or none")] = None,
    model: Annotated[str | None, typer.Option(help="name or name@version")] = None,
    dataset: Annotated[str | None, typer.Option(help="array inside each container")] = None,
    beamline: Annotated[str | None, typer.Option(help="where they were measured, as of reconstruct")] = None,
    priority: Annotated[str, typer.Option(help="high, normal, low")] = "low",
    url: Url = _LOCAL,
    api_key: ApiKey = "",
) -> None:
    """Let a service reconstruct files that it can see, in one frame; prints the id of the series."""
    with Client(url, api_key) as client:
        made = client.submit_series(
            scans,
            name=name,
            refine=refine,
            model=model,
            priority=priority,
            reading={part: given for part, given in (("dataset", dataset), ("beamline", beamline)) if given},
        )
    out.print(made["id"])


@series.command("show", epilog="Example: inphase series show 4f6c2a0c9d5b4c8e8d0f3f1f2f6f7a11")
def show_series(series_id: Id, url: Url = _LOCAL, api_key: ApiKey = "", as_json: Json = False) -> None:
    """What became of every scan."""
    with Client(url, api_key) as client:
        found = client.series(series_id)
    if as_json:
        _print(found)
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
            scan["trust"] or "",
            "the frame" if scan["frame"] else f"{alignment['score']:.3f}" if alignment else scan["alignment_why"],
            scan["job"] or "",
        )
    out.print(table)
    out.print(", ".join(f"{count} {state}" for state, count in found["states"].items() if count))


@series.command(epilog="Example: inphase series save 4f6c2a0c9d5b4c8e8d0f3f1f2f6f7a11 heating.html")
def save(series_id: Id, path: Path, url: Url = _LOCAL, api_key: ApiKey = "") -> None:
    """Write the table (.csv) or the page with pictures (.html)."""
    form = path.suffix.lower().removeprefix(".")
    if form not in ("csv", "html"):
        raise InphaseError(f"{path}: a series is saved as .csv or .html")
    with Client(url, api_key) as client:
        path.write_bytes(client.series_file(series_id, form))


@series.command("cancel", epilog="Example: inphase series cancel 4f6c2a0c9d5b4c8e8d0f3f1f2f6f7a11")
def cancel_series(series_id: Id, url: Url = _LOCAL, api_key: ApiKey = "") -> None:
    """Cancel what has not ended."""
    with Client(url, api_key) as client:
        states = client.cancel_series(series_id)["states"]
    out.print(", ".join(f"{count} {state}" for state, count in states.items() if count))


def key(
    owner: Annotated[str, typer.Argument(help="to whom jobs with this key belong")],
    scope: Annotated[str, typer.Option(help="read, submit, or admin (sees and cancels everybody's jobs)")] = "submit",
) -> None:
    """Make an API key. Only its hash goes into the file that INPHASE_KEYS_FILE names; the key itself is shown once."""
    from service.security import Key, Scope
    from service.settings import new_key

    made = new_key()
    line = Key.of(made, owner, Scope(scope)) if scope in tuple(Scope) else None
    if line is None:
        raise InphaseError(f"scope {scope!r} is not known: read, submit or admin")
    err.print(f"key of {owner}: {made}", markup=False)
    sys.stdout.write(f"- {{owner: {line.owner}, scope: {line.scope}, sha256: {line.sha256}}}\n")


def _print(content: Any) -> None:
    sys.stdout.write(json.dumps(content, indent=2) + "\n")
