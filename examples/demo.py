"""`make demo`: a raw rocking curve becomes a 3D image, over HTTP, with figures to believe.

Simulates a measurement with the faults of a real one (or takes yours with --file), starts the service with its own
Redis and worker in a temporary folder, reconstructs through the Python client, compares with the known truth, draws a
figure, and stops everything again. The address of the page that shows it all is printed at the beginning; `--keep`
leaves it up.
"""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import httpx
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from inphase.client import FINAL, Client
from inphase.errors import InphaseError
from inphase.formats.npz import read_result
from inphase.formats.result import Result

if TYPE_CHECKING:
    from comparison import Agreement

    from training.simulate.scan import SimulatedScan

START_S = 120.0  # the first start compiles and loads; a warm one takes seconds
STOP_S = 30.0
JOB_S = 900.0

console = Console(highlight=False, soft_wrap=True)
Document = dict[str, Any]


class DemoError(Exception):
    """The demo cannot go on; the message says why."""


@dataclass(frozen=True)
class Service:
    """A service that was started. log: what it writes."""

    url: str
    key: str
    log: Path
    process: "subprocess.Popen[bytes]"

    @property
    def page(self) -> str:
        """The address of the page, with the key: the part after # stays in the browser."""
        return f"{self.url}/#key={self.key}"

    def wait_until_ready(self) -> None:
        """Returns when it answers and its worker is warm.
        Raises DemoError with the end of its log where it does not.
        """
        end = time.monotonic() + START_S
        headers = {"Authorization": f"Apikey {self.key}"}
        with console.status("starting the service: model, Redis, one worker"):
            while time.monotonic() < end and self.process.poll() is None:
                with contextlib.suppress(httpx.TransportError):
                    answer = httpx.get(f"{self.url}/v1/status", headers=headers)
                    if answer.raise_for_status().json()["queue"]["workers"]:
                        console.print(f"serving    {self.url} (log: {self.log})")
                        console.print(f"watch it   {self.page}")
                        return
                time.sleep(0.1)
        lines = self.log.read_text(errors="replace").splitlines()[-15:]
        raise DemoError("the service did not start. The end of its log:\n" + "\n".join(lines))


@dataclass(frozen=True)
class Answer:
    """One reconstruction: its job document, its arrays, the file that holds both,
    and the seconds it took for the caller.
    """

    document: Document
    result: Result
    path: Path
    seconds: float


def main(
    file: Annotated[
        Path | None,
        typer.Option(
            help="This measurement is reconstructed: HDF5, npy, npz, a TIFF stack or a folder of TIFF frames."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Another seed simulates another crystal and its measurement.")] = 7,
    refine: Annotated[str, typer.Option(help="The image is refined by this recipe or preset.")] = "fast",
    domain: Annotated[
        str, typer.Option(help="The numbers of your file are photon counts (counts) or their square root (modulus).")
    ] = "counts",
    out: Annotated[Path, typer.Option(help="Everything that is written goes into this folder.")] = Path("demo-out"),
    keep: Annotated[bool, typer.Option(help="The page stays up with its jobs, until you press Ctrl-C.")] = False,
) -> None:
    """See a diffraction pattern become a 3D image."""
    if file is not None and not file.exists():
        raise DemoError(f"{file}: no such file or folder")
    out.mkdir(parents=True, exist_ok=True)
    measurement = (file or out / f"scan_{seed}.h5").resolve()
    scan = None
    with running_service(measurement.parent, out / "service.log") as service:
        if file is None:  # while the service starts
            scan = simulated(seed, measurement)
        service.wait_until_ready()
        name = measurement.name.split(".")[0] or "scan"
        with Client(service.url, service.key) as client:
            network = reconstruct(client, measurement, out / f"{name}_network.npz", refine="none", domain=domain)
            final = reconstruct(client, measurement, out / f"{name}_result.npz", refine=refine, domain=domain)
        what = f"Simulated crystal, seed {seed}" if scan is not None else measurement.name
        shape = " x ".join(map(str, final.document["input"]["shape"]))
        report(network, final, scan, out / f"{name}.png", f"{what}: from {shape} raw voxels")
        if keep:
            console.print(f"The page stays up at {service.page} until you press Ctrl-C.")
            service.process.wait()


def simulated(seed: int, path: Path) -> "SimulatedScan":
    """A rocking curve with known truth, written where the service reads it."""
    with console.status("simulating a rocking curve") as status:
        from training.simulate.scan import simulate_scan, write

        scan = simulate_scan(seed, progress=lambda stage: status.update(f"simulating a rocking curve: {stage}"))
        write(scan, path)
    settings = scan.settings
    console.print(
        f"simulated  {' x '.join(map(str, settings.shape))} voxels, {settings.photons:.0e} photons, oversampling "
        f"{' x '.join(f'{s:g}' for s in settings.oversampling)}, peak {', '.join(f'{p:+g}' for p in settings.peak)} "
        f"voxels off centre,\n           a detector gap, {settings.hot_pixels} hot and {settings.dead_pixels} dead "
        f"pixels, {settings.spikes} cosmic rays, background"
    )
    return scan


@contextlib.contextmanager
def running_service(data_root: Path, log: Path) -> Iterator[Service]:
    """`inphase serve` with its own Redis and one worker, in a state folder that goes when it goes."""
    key, port = secrets.token_hex(20), free_port()
    command = [
        str(Path(sys.executable).with_name("inphase")),
        "serve",
        "--port",
        str(port),
        "--data-root",
        str(data_root),
    ]
    with tempfile.TemporaryDirectory(prefix="inphase-demo-") as state, log.open("w") as stream:
        environment = os.environ | {"INPHASE_API_KEY": key, "INPHASE_STATE_DIR": state}
        # a session of its own: Ctrl-C reaches the demo alone, which then stops the service in good order
        process = subprocess.Popen(
            command, stdout=stream, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )
        try:
            yield Service(f"http://127.0.0.1:{port}", key, log, process)
        finally:
            stop(process)


def stop(process: "subprocess.Popen[bytes]") -> None:
    """Ask the service to leave, with its worker and its Redis; kill the session only if it does not."""
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def reconstruct(client: Client, file: Path, output: Path, *, refine: str, domain: str) -> Answer:
    """One reconstruction over HTTP, followed to its end, its result fetched."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    begin = time.monotonic()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task("asking the network" if refine == "none" else f"refining ({refine})", total=None)
        document = client.reconstruct_file(str(file.resolve()), wait=1.0, refine=refine, domain=domain, grid="model")
        if document["state"] not in FINAL:
            for event in client.follow(document["id"]):
                if event.kind == "progress":
                    bars.update(task, completed=event.data["iteration"], total=event.data["total"])
                if time.monotonic() - begin > JOB_S:
                    client.cancel(document["id"])
                    raise DemoError(f"the refinement took more than {JOB_S:.0f} s; it is cancelled")
            document = client.job(document["id"])
    seconds = time.monotonic() - begin
    if document["state"] != "succeeded":
        raise DemoError(f"the job has {document['state']}: {document['reason']}")
    client.save(document["id"], output)
    result = read_result(output)
    if result.document["recipe"]["refine"] != "none" or refine == "none":
        return Answer(document, result, output, seconds)
    raise DemoError(f"the result was not refined: {document['reason']}")


def report(network: Answer, final: Answer, scan: "SimulatedScan | None", picture: Path, title: str) -> None:
    """Figures on the terminal, and the figure."""
    with console.status("comparing and drawing"):
        import comparison
        import figure

        objects = {"network": network.result, "refined": final.result}
        views, agreements = comparison.compare(objects, None if scan is None else scan.truth)
        figure.draw(views, final.result, picture, title)
    console.print(prepared(final.document))
    console.print(quality((network, final), agreements))
    console.print(verdict(final.document))
    console.print(timings((network, final)))
    console.print(
        f"result     {final.path}  (object, support, modulus, mask, ... and the job document; network alone: "
        f"{network.path.name})"
    )
    console.print(f"figure     {picture}")


def prepared(document: Document) -> str:
    """What preprocessing found and did, in two lines."""
    part = document["preprocess"]
    sigma = document["oversampling"]
    size = part["voxel_size_m"]
    voxel = (
        f"voxels of {' x '.join(f'{1e9 * s:.1f}' for s in size)} nm"
        if size
        else "voxel size unknown (no geometry in the file)"
    )
    return (
        f"prepared   oversampling {' x '.join(f'{s:.1f}' for s in sigma['measured'])}, binned by "
        f"{' x '.join(map(str, part['binning']))} to {' x '.join(f'{s:.1f}' for s in sigma['after'])} on "
        f"{' x '.join(map(str, part['shape']))} voxels\n           {part['valid_fraction']:.1%} of the measured range "
        f"valid, {part['counts_inside']:.1%} of the counts inside, {voxel}"
    )


def quality(answers: tuple[Answer, Answer], agreements: "list[Agreement]") -> Table:
    """The network alone beside the refined result."""
    table = Table("", "network alone", "refined", box=None, pad_edge=False, title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    scores = [answer.document["metrics"]["final"] for answer in answers]
    noise = answers[1].document["metrics"]["noise_chi2"]
    remark = "" if noise is None else f" (Poisson noise alone: {noise:.4f})"
    table.add_row(f"chi2{remark}", *(f"{score['chi2']:.4f}" for score in scores))
    table.add_row("R", *(f"{score['r_factor']:.3f}" for score in scores))
    table.add_row("support (voxels)", *(str(score["support_voxels"]) for score in scores))
    if all(score["free_llk"] is not None for score in scores):
        table.add_row(
            "free log-likelihood per voxel (lower is better)", *(f"{score['free_llk']:.3f}" for score in scores)
        )
    if agreements:
        table.add_row(
            "amplitude SSIM with the truth (1 is equal)", *(f"{agreement.ssim:.3f}" for agreement in agreements)
        )
        table.add_row(
            "phase error against the truth (rad rms)", *(f"{agreement.phase_error:.3f}" for agreement in agreements)
        )
    return table


def verdict(document: Document) -> str:
    """Start and trust, with their reasons."""
    trust, start = document["trust"], document["start"]
    reasons = f": {'; '.join(trust['reasons'])}" if trust["reasons"] else ""
    likely = "" if trust["probability"] is None else f", right with a probability of {trust['probability']:.0%}"
    return (
        f"start      {start['kind']} ({start['why']})\n"
        f"recipe     {document['recipe']['refine']}\n"
        f"trust      {trust['level']}{likely}{reasons}"
    )


def timings(answers: tuple[Answer, Answer]) -> Table:
    """Milliseconds per stage as the service reports them, and what the caller waited."""
    stages = list(dict.fromkeys(stage for answer in reversed(answers) for stage in answer.document["timings_ms"]))
    table = Table("time (ms)", "network alone", "refined", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for stage in stages:
        spent = [answer.document["timings_ms"].get(stage) for answer in answers]
        table.add_row(f"  {stage}", *("" if ms is None else f"{ms:.0f}" for ms in spent))
    table.add_row("until the caller had the answer", *(f"{1e3 * answer.seconds:.0f}" for answer in answers))
    return table


def _leave(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _leave)
    try:
        typer.run(main)
    except KeyboardInterrupt:
        console.print("stopped")
        sys.exit(130)
    except (DemoError, InphaseError) as error:
        console.print(f"demo: {error}", style="bold red", markup=False)
        sys.exit(1)
