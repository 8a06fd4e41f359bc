"""The command `inphase`. Its options bear the API's names."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from inphase.errors import CancelledError, InphaseError
from inphase.retrieval.recipe import PRESETS
from service import batch, cli_jobs, work

if TYPE_CHECKING:
    from service.jobs.state import Priority
    from service.settings import Settings

app = typer.Typer(
    help="From a measured coherent diffraction pattern to the complex image of the sample.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(cli_jobs.jobs, name="jobs")
app.add_typer(cli_jobs.series, name="series")
app.command(epilog="Example: inphase key id01-wall --scope read >> keys.yaml")(cli_jobs.key)
out = Console(soft_wrap=True, highlight=False)
err = Console(stderr=True, soft_wrap=True, highlight=False)

# exit codes; 2 is typer's own for wrong usage
FAILED = 1
USAGE = 2
UNREACHABLE = 3
INTERRUPTED = 130
_IN_FLIGHT = 4  # scans that a service is given at a time


def main() -> None:
    """Entry point: every error becomes one clear message and an exit code."""
    from inphase.client import ServiceError

    try:
        app()
    except ServiceError as error:
        _fail(str(error), UNREACHABLE if error.status == 0 else FAILED)
    except CancelledError as error:
        _fail(str(error), INTERRUPTED)
    except InphaseError as error:
        _fail(str(error), FAILED)
    except ValidationError as error:
        _fail("; ".join(f"{'.'.join(map(str, e['loc'])).replace('_', '-')}: {e['msg']}" for e in error.errors()), USAGE)
    except KeyboardInterrupt:
        _fail("interrupted", INTERRUPTED)
    except OSError as error:
        _fail(f"{error.filename or 'system'}: {error.strerror or error}", FAILED)
    except MemoryError:
        _fail("this machine has no memory left: crop the detector to the region around the peak", FAILED)


def _fail(message: str, code: int) -> NoReturn:
    err.print(f"inphase: {message}", style="bold red", markup=False)
    sys.exit(code)


Model = Annotated[str | None, typer.Option(help="name or name@version of the network")]
Preprocess = Annotated[str, typer.Option(help="preprocessing preset: auto, modulus, none")]
Refine = Annotated[
    str | None,
    typer.Option(help=f"recipe such as '50*ER', a preset ({', '.join(PRESETS)}), or none for the network alone"),
]


@app.command(
    epilog="Example: inphase reconstruct scan_0054/ -o scan54.cxi --dark dark.tif --flat flat.tif --roi 0:256,0:256"
)
def reconstruct(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="SCAN...",
            help="HDF5, npy, npz, TIFF stack, a folder of frames; several, a folder of scans, or a pattern: a series",
        ),
    ],
    output: Annotated[
        str,
        typer.Option(
            "-o",
            "--output",
            help="the result: .npz, .cxi, .vti, .vts, .mat, or a folder: .cohere, name/; of several scans a folder",
        ),
    ],
    ending: Annotated[str, typer.Option(help="of several scans: the format of each result")] = ".npz",
    parallel: Annotated[
        int | None, typer.Option(min=1, max=64, help="of several scans: at a time [default: 1, with --url 4]")
    ] = None,
    fresh: Annotated[bool, typer.Option(help="with --url: compute also what the service has a result of")] = False,
    model: Model = None,
    domain: Annotated[str, typer.Option(help="what the numbers are: counts or modulus")] = "counts",
    preprocess: Preprocess = "auto",
    refine: Refine = None,
    start: Annotated[
        str, typer.Option(help="auto, network, random, or mixed: all kinds of starts side by side")
    ] = "auto",
    starts: Annotated[
        int | None, typer.Option(help="how many starts a conventional or a mixed retrieval takes")
    ] = None,
    seed: Annotated[
        int,
        typer.Option(help="the same number draws the same free voxels and random starts, and gives the same result"),
    ] = 0,
    dataset: Annotated[
        str | None, typer.Option(help="array inside a container, or beginning of the frames' names")
    ] = None,
    dark: Annotated[Path | None, typer.Option(help="bad-pixel map (TIFF, npy): above 1 is bad")] = None,
    flat: Annotated[Path | None, typer.Option(help="flat field (TIFF, npy)")] = None,
    roi: Annotated[
        str | None, typer.Option(help="rows and columns of the maps that the frames show: r0:r1,c0:c1")
    ] = None,
    beamline: Annotated[
        str | None,
        typer.Option(help="where it was measured: 34-ID-C, ID01, ID27, P10, NanoMAX, SIXS, CRISTAL, or a YAML file"),
    ] = None,
    spec: Annotated[
        Path | None, typer.Option(help="SPEC or FIO file with the motors [default: the one beside]")
    ] = None,
    scan: Annotated[int | None, typer.Option(min=0, help="number of the scan in a file of several")] = None,
    sample: Annotated[str | None, typer.Option(help="the sample's name in the beamline's paths")] = None,
    detector: Annotated[str | None, typer.Option(help="the detector's name in the beamline's paths")] = None,
    given: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="a number that the file lacks, distance=1.83 (m), energy=9 (keV), a motor (deg); repeat"
        ),
    ] = None,
    url: Annotated[
        str | None, typer.Option(envvar="INPHASE_URL", help="send it to this service instead of computing here")
    ] = None,
    api_key: Annotated[str, typer.Option(envvar="INPHASE_API_KEY", help="of that service", show_envvar=True)] = "",
    json: Annotated[bool, typer.Option("--json", help="print the job document, nothing else")] = False,
) -> None:
    """Reconstruct: clean the pattern, ask the network, refine, write the result.

    Several scans are a series: every result takes the twin, place and phase of the first good one (not with --url).
    """
    from inphase.formats import Place
    from inphase.formats.writers import writer_for
    from service.options import ImagingOptions
    from service.sources import LocalSource, parse_given

    chosen: dict[str, Any] = {
        "model": model, "domain": domain, "preprocess": preprocess, "refine": refine, "start": start, "seed": seed,
    }  # fmt: skip
    options = ImagingOptions(**chosen, **({} if starts is None else {"starts": starts})).imaging()
    place = Place(beamline, spec, scan, sample, detector, parse_given(given or ()))
    source = LocalSource(paths[0], dataset, place, dark, flat, roi)
    options.check()  # what is mistyped is told before anything is read
    scans = work.scans_of(paths, beamline)
    several = len(scans) > 1
    writer_for(f"scan{ending}" if several else output)
    if url is not None and (dark or flat):
        raise InphaseError("--dark and --flat are applied by the machine that reads the files: use them without --url")
    with ExitStack() as held:
        if url is None:
            do = work.here(options, source, _settings(), held, several)
        else:
            do = work.there(options, source, url, api_key, fresh, held)
        if not several:
            with _bars() as bars:
                document = do(0, batch.Scan(scans[0], output), _stages(bars), lambda: False)
            _print_json(document) if json else _show(document, output)
            return
        if Path(output).suffix or Path(output).is_file():
            raise InphaseError(f"{len(scans)} scans need a folder for their results: -o results/, not {output}")
        Path(output).mkdir(parents=True, exist_ok=True)
        ended = batch.run(
            batch.outputs(scans, Path(output), ending), do, parallel or (1 if url is None else _IN_FLIGHT), err
        )
    if json:
        _print_json([scan.document for scan in ended if scan.document is not None])
    else:
        out.print(batch.summary(ended))
    states = {scan.state for scan in ended}
    if states != {"succeeded"}:
        raise typer.Exit(INTERRUPTED if "cancelled" in states else FAILED)


def _print_json(content: Any) -> None:
    import json

    sys.stdout.write(json.dumps(content, indent=2) + "\n")


@app.command(epilog="Example: inphase serve --data-root /data/visitor --port 8000")
def serve(
    host: Annotated[str | None, typer.Option(help="address to listen on [default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="[default: 8000]")] = None,
    data_root: Annotated[
        list[Path] | None, typer.Option(help="folder whose files requests may name; repeat for more")
    ] = None,
    state_dir: Annotated[Path | None, typer.Option(help="where records, arrays and the embedded Redis live")] = None,
    models_dir: Annotated[Path | None, typer.Option(help="the model repository")] = None,
    redis_url: Annotated[
        str | None, typer.Option(help="an own Redis is started when none is given (REDIS_URL)")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=0, help="refinement workers to start [default: 1]")] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="of the network and the refinement [default: all cores]")
    ] = None,
    queue: Annotated[
        bool | None, typer.Option("--queue/--no-queue", help="--no-queue: predictions only, no Redis, no worker")
    ] = None,
) -> None:
    """Run the service. INPHASE_* in the environment sets what is not given here."""
    from service.app import create_app
    from service.server import Server, bind, close
    from service.telemetry import configure_logging

    given = {
        "host": host, "port": port, "data_roots": tuple(data_root) if data_root else None, "state_dir": state_dir,
        "models_dir": models_dir, "redis_url": redis_url, "workers": workers, "threads": threads, "queue": queue,
    }  # fmt: skip
    settings = _settings(**given)
    sockets = bind(settings.host, settings.port)  # first: where it fails, nothing has been written
    try:
        _preflight(settings)
        configure_logging()
        web = create_app(settings)
        if key := web.state.services.generated_key:
            out.print(f"API key of this run (INPHASE_API_KEY sets a lasting one): {key}")
        ready = "inphase is ready on {0} (documentation at {0}/docs)"
        Server(web, settings, lambda url: out.print(ready.format(url))).run(sockets)
    finally:
        close(sockets)


def _settings(**given: Any) -> "Settings":
    """The settings, with what the command line gives over the environment."""
    from service.settings import Settings

    return Settings(**{name: value for name, value in given.items() if value is not None})


def _preflight(settings: "Settings") -> None:
    """What cannot work is said in one line, before anything starts."""
    from inphase.models.repository import Repository
    from service.jobs.embedded import find_server

    repository = Repository(settings.models_dir, settings.model)
    for refusal in repository.refused:
        err.print(f"model {refusal.folder} is refused: {refusal.why}", style="yellow", markup=False)
    repository.resolve(None)
    settings.check_state()
    if settings.queue and settings.redis_url is None:
        find_server()


@app.command(
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
    settings = _settings(**given)
    url = _redis_of(settings)
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


@app.command(epilog="Example: inphase workers --redis-url redis://queue:6379")
def workers(
    redis_url: Annotated[
        str | None, typer.Option(help="the Redis of the service (REDIS_URL) [default: its embedded one]")
    ] = None,
    state_dir: Annotated[Path | None, typer.Option(help="state folder of a service on this machine")] = None,
    here: Annotated[bool, typer.Option("--here", help="this host's only, and fail where it has none")] = False,
) -> None:
    """List the workers that live, on all hosts. With --here it is the health check of a worker's container."""
    import socket

    from service.jobs.record import Records

    records = Records(_redis_of(_settings(redis_url=redis_url, state_dir=state_dir)))
    names = records.workers()
    if here:
        names = [name for name in names if name.partition(":")[0] == socket.gethostname()]
        if not names:
            raise InphaseError("no worker of this host has spoken within the last seconds")
    out.print("\n".join(names) if names else "no worker lives", markup=False)


def _redis_of(settings: "Settings") -> str:
    """The address of the Redis that a service uses: the one that is set, or the embedded one of a service on this machine."""
    from service.jobs.embedded import url_of

    url = settings.redis_address or url_of(settings.state / "redis")
    if url is None:
        raise InphaseError(f"no Redis: start `inphase serve` with the state folder {settings.state}, or set REDIS_URL")
    return url


@app.command(epilog="Example: inphase models --models-dir /srv/inphase/models")
def models(
    models_dir: Annotated[
        Path | None, typer.Option(help="the model repository [default: the one of this installation]")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """List the networks that are installed, and folders that were refused."""
    from inphase.models.repository import Repository

    settings = _settings(models_dir=models_dir)
    repository = Repository(settings.models_dir, settings.model)
    if json:
        import json as json_module

        cards = [dict(version.content) for name in repository.names() for version in repository.versions(name)]
        refused = [{"folder": refusal.folder, "why": refusal.why} for refusal in repository.refused]
        sys.stdout.write(json_module.dumps({"models": cards, "refused": refused}, indent=2) + "\n")
        return
    table = Table("model", "version", "input", "grid", "oversampling", "sha256")
    table.columns[0].no_wrap = True
    for name in repository.names():
        for version in repository.versions(name):
            card = version.card
            grid = "x".join(str(n) for n in card.grid)
            low, high = card.oversampling
            table.add_row(
                name, str(card.version), ", ".join(card.domain), grid, f"{low:g} to {high:g}", card.sha256[:12]
            )  # fmt: skip
    out.print(table if repository.names() else f"no models in {settings.models_dir}")
    for refusal in repository.refused:
        err.print(f"refused: {refusal.folder}: {refusal.why}", style="yellow", markup=False)


@contextmanager
def _bars() -> Iterator[Progress]:
    """Progress bars on standard error, gone when done; silent where nobody looks."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bars:
        yield bars


def _stages(bars: Progress | None) -> Callable[[str], Callable[[int, int], None]]:
    """A function that names the stage that begins, and gives one that says how far it is."""
    task = bars.add_task("", total=None) if bars is not None else None

    def stage(name: str) -> Callable[[int, int], None]:
        if bars is None or task is None:
            return lambda done, total: None
        bars.reset(task, description=name, total=None)
        return lambda done, total: bars.update(task, completed=done, total=total)

    return stage


def _show(document: dict[str, Any], output: str) -> None:
    """The figures of a result as a table."""
    metrics = document["metrics"]
    table = Table("", "chi2", "R", "support", "free llk")
    for name, title in (("network", "network"), ("random_start", "random starts"), ("final", "result")):
        if score := metrics[name]:
            free = "-" if score["free_llk"] is None else f"{score['free_llk']:.3g}"
            table.add_row(title, f"{score['chi2']:.3g}", f"{score['r_factor']:.3g}", str(score["support_voxels"]), free)
    out.print(table)
    if metrics["noise_chi2"] is not None:
        out.print(f"Poisson noise alone leaves chi2 {metrics['noise_chi2']:.2g}")
    after = " ".join(f"{sigma:.2f}" for sigma in document["oversampling"]["after"])
    out.print(f"oversampling {after} after binning by {document['preprocess']['binning']}", markup=False)
    out.print(f"start: {document['start']['kind']} ({document['start']['why']})", markup=False)
    if ensemble := document.get("ensemble"):
        out.print(_agreement(ensemble), markup=False)
    trust = document["trust"]
    out.print(
        f"trust: {trust['level']}" + (f" ({'; '.join(trust['reasons'])})" if trust["reasons"] else ""), markup=False
    )
    out.print("time: " + ", ".join(f"{stage} {ms / 1e3:.2f} s" for stage, ms in document["timings_ms"].items()))
    out.print(f"written: {output}", markup=False)


def _agreement(ensemble: dict[str, Any]) -> str:
    """How many starts led to the same solution, and to which resolution those agree."""
    text = f"starts: {ensemble['accepted']} of {len(ensemble['members'])} led to the same solution"
    found = (ensemble["resolutions"] or [{}])[0]
    if not found.get("q"):
        return text
    period = f"{found['voxels']:.2g} voxels" if found["metres"] is None else f"{found['metres'] * 1e9:.3g} nm"
    return f"{text}; their transfer function {'reaches 1/e at' if found['crossed'] else 'stays above 1/e to'} {period}"


if __name__ == "__main__":
    main()
