"""`inphase serve`: the service."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.configuration import configured
from service.cli.terminal import err, out

if TYPE_CHECKING:
    from service.settings import Settings

commands = typer.Typer()


@commands.command(epilog="Example: inphase serve --data-root /data/visitor --port 8000")
def serve(
    host: Annotated[str | None, typer.Option(help="The service listens on this address [default: 127.0.0.1].")] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="The service listens on this port; 0 takes a free one [default: 8000]."),
    ] = None,
    data_root: Annotated[
        list[Path] | None,
        typer.Option(help="Requests may name the files of this folder; repeat the option for more folders."),
    ] = None,
    state_dir: Annotated[
        Path | None,
        typer.Option(
            help="Records, arrays and the embedded Redis live in this folder [default: ~/.local/state/inphase]."
        ),
    ] = None,
    models_dir: Annotated[
        Path | None,
        typer.Option(help="The networks are read from this model repository [default: the one of this installation]."),
    ] = None,
    redis_url: Annotated[
        str | None,
        typer.Option(help="The queue is in this Redis; the service starts its own where none is given (REDIS_URL)."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=0, help="The service starts so many refinement workers [default: 1].")
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="The network and the refinement each use so many threads [default: all cores]."),
    ] = None,
    queue: Annotated[
        bool | None,
        typer.Option(
            "--queue/--no-queue", help="With --no-queue the service only predicts, and needs neither Redis nor worker."
        ),
    ] = None,
) -> None:
    """Run the service. Variables INPHASE_* of the environment set what is not given here."""
    from service.app import create_app
    from service.door.server import Server, bind, close
    from service.logs import configure_logging

    given = {
        "host": host, "port": port, "data_roots": tuple(data_root) if data_root else None, "state_dir": state_dir,
        "models_dir": models_dir, "redis_url": redis_url, "workers": workers, "threads": threads, "queue": queue,
    }  # fmt: skip
    settings = configured(**given)
    sockets = bind(settings.host, settings.port)
    try:
        _preflight(settings)
        configure_logging("api")
        web = create_app(settings)
        if key := web.state.services.generated_key:
            out.print(f"API key of this run (INPHASE_API_KEY sets a lasting one): {key}")
        ready = "inphase is ready on {0} (open it in a browser; documentation at {0}/docs)"
        Server(web, settings, lambda url: out.print(ready.format(url))).run(sockets)
    finally:
        close(sockets)


def _preflight(settings: "Settings") -> None:
    """What cannot work is said in one line, before anything starts."""
    from inphase.models.repository import Repository
    from service.jobs.embedded import find_server

    repository = Repository(settings.models_dir, settings.model)
    for refusal in repository.refused:
        err.print(f"model {refusal.folder} is refused: {refusal.why}", style="yellow", markup=False)
    for reference in (None, *settings.warm_models):
        repository.resolve(reference)
    settings.check_state()
    if settings.queue and settings.redis_url is None:
        find_server()
