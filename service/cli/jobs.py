"""`inphase jobs`: the jobs of a running service."""

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from inphase.client import Client
from inphase.errors import CancelledError, InphaseError
from inphase.listing import Listing
from service.cli.configuration import LOCAL, ApiKey, Json, Url
from service.cli.terminal import Lines, err, out, print_json, progress, trusted

commands = typer.Typer(
    cls=Listing,
    help="These commands list, show, cancel, delete and follow the jobs of a running service.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Id = Annotated[str, typer.Argument(metavar="ID", help="The id of a job has 32 hexadecimal digits.")]
Ids = Annotated[list[str], typer.Argument(metavar="ID...", help="The id of each job has 32 hexadecimal digits.")]


@commands.command("list", epilog="Example: inphase jobs list --state running --since 2026-05-01")
def list_jobs(
    state: Annotated[
        str | None,
        typer.Option(
            help="Only jobs in this state are listed: accepted, reading, queued, running, succeeded, failed or "
            "cancelled."
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Only jobs of this network are listed; it is given as name or name@version.")
    ] = None,
    trust: Annotated[
        str | None, typer.Option(help="Only jobs with this trust are listed: high, medium or low.")
    ] = None,
    owner: Annotated[
        str | None, typer.Option(help="Only jobs of this owner are listed; the jobs of others need an admin's key.")
    ] = None,
    of_series: Annotated[
        str | None, typer.Option("--series", help="Only the jobs of the series with this id are listed.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="Only jobs created at this time or later are listed; it is given in ISO 8601.")
    ] = None,
    most: Annotated[int, typer.Option(min=1, help="At most this many jobs are listed.")] = 20,
    url: Url = LOCAL,
    api_key: ApiKey = "",
    as_json: Json = False,
) -> None:
    """List the jobs of a service, the newest first."""
    with Client(url, api_key) as client:
        asked = {"state": state, "model": model, "trust": trust, "owner": owner, "series": of_series, "since": since}
        found = [job for job, _ in zip(client.jobs(**asked, limit=min(most, 500)), range(most), strict=False)]
    if as_json:
        print_json(found)
        return
    table = Table("job", "state", "created", "chi2", "trust", "name", box=None, pad_edge=False, collapse_padding=True)
    for column in table.columns[:5]:
        column.no_wrap = True
    for job in found:
        created = datetime.fromtimestamp(job["created"]).strftime("%m-%d %H:%M:%S")
        chi2 = "" if job["chi2"] is None else f"{job['chi2']:.3g}"
        table.add_row(
            job["id"], job["state"], created, chi2, trusted(job["trust"], job.get("probability")),
            job.get("name") or Path(job["source"] or "").name,
        )  # fmt: skip
    out.print(table)
    for job in found:
        if job["reason"]:
            out.print(f"{job['id']}: {job['reason']}", markup=False)


@commands.command(epilog="Example: inphase jobs show 4f6c2a0c9d5b4c8e8d0f3f1f2f6f7a11")
def show(job_id: Id, url: Url = LOCAL, api_key: ApiKey = "") -> None:
    """Print the document of a job as JSON."""
    with Client(url, api_key) as client:
        print_json(client.job(job_id))


@commands.command(epilog="Example: inphase jobs cancel 4f6c2a0c9d5b4c8e8d0f3f1f2f6f7a11 --reason 'the beam is down'")
def cancel(
    job_ids: Ids,
    reason: Annotated[str, typer.Option(help="This text stays with the jobs.")] = "",
    url: Url = LOCAL,
    api_key: ApiKey = "",
) -> None:
    """Cancel jobs, also those that run already."""
    with Client(url, api_key) as client:
        for job_id in job_ids:
            out.print(f"{job_id} {client.cancel(job_id, reason)['state']}")


@commands.command(epilog="Example: inphase jobs delete 4f6c2a0c9d5b4c8e8d0f3f1f2f6f7a11")
def delete(job_ids: Ids, url: Url = LOCAL, api_key: ApiKey = "") -> None:
    """Delete jobs that have ended, with their arrays."""
    with Client(url, api_key) as client:
        for job_id in job_ids:
            client.delete(job_id)
            out.print(f"{job_id} deleted")


@commands.command(epilog="Example: inphase jobs follow 4f6c2a0c9d5b4c8e8d0f3f1f2f6f7a11")
def follow(job_id: Id, url: Url = LOCAL, api_key: ApiKey = "", as_json: Json = False) -> None:
    """Watch a job to its end. With --json, and without a terminal, every event is printed as a line.

    The exit code is 1 where the job fails and 130 where it is cancelled.
    """
    state, reason = "accepted", ""
    lines = None if as_json or err.is_terminal else Lines(err)
    with (
        Client(url, api_key) as client,
        progress(silent=as_json) as bars,
    ):
        task = bars.add_task(state, total=None)
        for event in client.follow(job_id):
            if event.kind == "waiting":
                continue
            if as_json:
                sys.stdout.write(json.dumps({"event": event.kind, **event.data}) + "\n")
                sys.stdout.flush()
            if lines is not None:
                lines.tell(str(event), passing=event.kind == "progress")
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
