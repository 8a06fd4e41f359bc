"""`inphase worker`: a refinement worker."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inphase.errors import InphaseError
from service.cli.configuration import configured, redis_of

if TYPE_CHECKING:
    from service.jobs.state import Priority

commands = typer.Typer()


@commands.command(
    epilog="Example: REDIS_URL=redis://queue:6379 inphase worker --store /shared/inphase/store --device cuda:0 --concurrency 2"
)
def worker(
    store: Annotated[Path | None, typer.Option(help="the store of the service [default: in the state folder]")] = None,
    redis_url: Annotated[
        str | None, typer.Option(help="the Redis of the service (REDIS_URL) [default: its embedded one]")
    ] = None,
    state_dir: Annotated[Path | None, typer.Option(help="state folder of a service on this machine")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 [default: cpu]")] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="compute processes, and so jobs at a time")] = 1,
    queues: Annotated[str, typer.Option(help="priorities to serve")] = "high,normal,low",
    threads: Annotated[
        int | None, typer.Option(min=1, help="of torch in each process [default: the cores shared out]")
    ] = None,
) -> None:
    """Run a refinement worker beside a service, on this machine or another that shares its store.

    It finishes the jobs at hand on SIGTERM (INPHASE_DRAIN_S) and gives back what takes longer.
    """
    from service.jobs.connection import refuse_eviction
    from service.jobs.settings import WorkerSettings
    from service.jobs.worker import main as work
    from service.telemetry import configure_logging

    levels = _levels(queues)

    given = {"redis_url": redis_url, "state_dir": state_dir, "device": device, "threads": threads}
    settings = configured(**given)
    url = redis_of(settings)
    if store is None:
        settings.check_state()
    refuse_eviction(url)
    configure_logging()
    work(
        WorkerSettings(
            redis_url=url,
            store=(store or settings.store_dir).absolute(),
            device=settings.device,
            concurrency=concurrency,
            threads=settings.threads,
            levels=levels,
            memory_bytes=settings.bounds.job_bytes,
            time_limit_s=settings.bounds.job_s,
            drain_s=settings.drain_s,
        )
    )


def _levels(queues: str) -> "tuple[Priority, ...]":
    """The priorities of a list such as high,normal."""
    from service.jobs.state import Priority

    try:
        return tuple(Priority(name.strip()) for name in queues.split(","))
    except ValueError:
        known = ", ".join(Priority)
        raise InphaseError(f"--queues {queues!r}: expected some of {known}, separated by commas") from None
