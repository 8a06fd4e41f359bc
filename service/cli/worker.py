"""`inphase worker`: a refinement worker."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inphase.errors import InphaseError
from service.cli.configuration import RedisUrl, StateDir, configured, redis_of

if TYPE_CHECKING:
    from service.jobs.state import Priority

commands = typer.Typer()


@commands.command(
    epilog="Example: REDIS_URL=redis://queue:6379 inphase worker --store /shared/inphase/store --device cuda:0 "
    "--concurrency 2"
)
def worker(
    store: Annotated[
        Path | None,
        typer.Option(help="The service keeps its arrays in this store [default: in the state folder]."),
    ] = None,
    redis_url: RedisUrl = None,
    state_dir: StateDir = None,
    device: Annotated[
        str | None, typer.Option(help="The refinement runs on this device: cpu, cuda or cuda:1 [default: cpu].")
    ] = None,
    concurrency: Annotated[
        int, typer.Option(min=1, help="The worker has so many compute processes, each with one job at a time.")
    ] = 1,
    queues: Annotated[
        str, typer.Option(help="The worker serves jobs of these priorities, separated by commas.")
    ] = "high,normal,low",
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="PyTorch uses so many threads in each process [default: the cores, shared out]."),
    ] = None,
    metrics_port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Prometheus finds the worker's own metrics on this port [default: none]."),
    ] = None,
) -> None:
    """Run a refinement worker beside a service, on this machine or another that shares its store.

    On SIGTERM it finishes the jobs at hand within INPHASE_DRAIN_S seconds, and gives back those that take longer.
    """
    from service.jobs.connection import refuse_eviction
    from service.jobs.settings import WorkerSettings
    from service.jobs.worker import main as work
    from service.logs import configure_logging

    levels = _levels(queues)

    given = {
        "redis_url": redis_url, "state_dir": state_dir, "device": device, "threads": threads,
        "metrics_port": metrics_port,
    }  # fmt: skip
    settings = configured(**given)
    url = redis_of(settings)
    if store is None:
        settings.check_state()
    refuse_eviction(url)
    configure_logging("worker")
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
            metrics_port=settings.metrics_port,
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
