"""`inphase workers`: which workers live."""

from typing import Annotated

import typer

from inphase.errors import InphaseError
from service.cli.configuration import RedisUrl, StateDir, configured, redis_of
from service.cli.terminal import out

commands = typer.Typer()


@commands.command(epilog="Example: inphase workers --redis-url redis://queue:6379")
def workers(
    redis_url: RedisUrl = None,
    state_dir: StateDir = None,
    here: Annotated[
        bool,
        typer.Option(
            "--here", help="Only workers of this host are listed, and the command fails where there are none."
        ),
    ] = False,
) -> None:
    """List the workers that live, on all hosts. With --here it is the health check of a worker's container."""
    import socket

    from service.jobs.record import Records

    records = Records(redis_of(configured(redis_url=redis_url, state_dir=state_dir)))
    names = records.workers()
    if here:
        names = [name for name in names if name.partition(":")[0] == socket.gethostname()]
        if not names:
            raise InphaseError("no worker of this host has spoken within the last seconds")
    out.print("\n".join(names) if names else "no worker lives", markup=False)
