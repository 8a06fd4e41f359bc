"""`inphase reconstruct`: one scan or several, in this process or on a service."""

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.table import Table

from inphase.errors import InphaseError
from inphase.formats.reading import Reading
from inphase.retrieval.recipe import PURPOSES
from service.cli import batch, local, remote
from service.cli.configuration import configured
from service.cli.files import check, check_reading, reader, spare
from service.cli.reading import reads
from service.cli.scans import scans_of
from service.cli.terminal import FAILED, INTERRUPTED, err, out, print_json, progress, stages, trusted

if TYPE_CHECKING:
    from inphase.imaging.options import Options

_IN_FLIGHT: Final = 4  # scans that a service is given at a time

commands = typer.Typer()

Model = Annotated[
    str | None, typer.Option(help="This network predicts the start; it is given as name or name@version.")
]
Domain = Annotated[
    str, typer.Option(help="The numbers of a measurement are photon counts (counts) or their square root (modulus).")
]
Preprocess = Annotated[
    str,
    typer.Option(
        help="The pattern is cleaned by this preset: auto does all that counts need, modulus centres and bins a "
        "modulus, none takes the middle of the array for that of the grid. Steps after a colon change it, such as "
        "'auto: binning(factors=4x2x2) background(off)'."
    ),
]
Grid = Annotated[
    str,
    typer.Option(
        help="The image becomes as fine as the network's grid (model), as what the measurement holds (auto), as the "
        "whole measurement (measured), or as a grid of at most so many voxels along an axis."
    ),
]
Refine = Annotated[
    str | None,
    typer.Option(
        help="The image is refined by this recipe, such as '50*ER', or by a preset: "
        + "; ".join(f"{name} {purpose}" for name, purpose in PURPOSES.items())
        + ". With none the image is that of the network alone [default: fast from a network's image, standard from "
        "random starts]."
    ),
]


@commands.command(
    epilog="Example: inphase reconstruct scan_0054/ -o scan54.cxi --dark dark.tif --flat flat.tif --roi 0:256,0:256"
)
@reads
def reconstruct(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="SCAN...",
            help="A scan is an HDF5, npy, npz or TIFF file or a folder of frames; several paths, a folder of scans or "
            "a pattern make a series.",
        ),
    ],
    output: Annotated[
        str,
        typer.Option(
            "-o",
            "--output",
            help="The result is written here: a file .npz, .cxi, .vti, .vts or .mat, or a folder name.cohere or name/; "
            "the results of several scans go into a folder.",
        ),
    ],
    ending: Annotated[
        str, typer.Option(help="The result of each of several scans gets this ending, which decides its format.")
    ] = ".npz",
    parallel: Annotated[
        int | None,
        typer.Option(
            min=1, max=64, help="So many of several scans are reconstructed at a time [default: 1, with --url 4]."
        ),
    ] = None,
    fresh: Annotated[
        bool, typer.Option(help="With --url, the service computes again even what it has a result of.")
    ] = False,
    model: Model = None,
    domain: Domain = "counts",
    preprocess: Preprocess = "auto",
    refine: Refine = None,
    start: Annotated[
        str,
        typer.Option(
            help="The refinement starts from the network's image (network), from random images (random), or from all "
            "kinds side by side (mixed); auto takes the network's image where it is sane."
        ),
    ] = "auto",
    starts: Annotated[
        int | None, typer.Option(help="A retrieval from random or mixed starts takes so many of them.")
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            help="The same seed draws the same free voxels and the same random starts, and gives the same result."
        ),
    ] = 0,
    slice: Annotated[
        str,
        typer.Option(
            help="With center the frame through the peak is taken out of a rocking curve, and the result is the image "
            "of the projection (none or center)."
        ),
    ] = "none",
    stack: Annotated[
        bool,
        typer.Option(
            "--stack", help="Every frame of the file is a pattern of its own and has its result in the folder."
        ),
    ] = False,
    grid: Grid = "auto",
    *,
    reading: Reading,
    url: Annotated[
        str | None,
        typer.Option(
            envvar="INPHASE_URL", help="The scan is sent to the service at this address instead of being computed here."
        ),
    ] = None,
    api_key: Annotated[
        str, typer.Option(envvar="INPHASE_API_KEY", help="That service knows you by this key.", show_envvar=True)
    ] = "",
    json: Annotated[bool, typer.Option("--json", help="The command prints the job document and nothing else.")] = False,
) -> None:
    """Reconstruct scans: each is cleaned, a network predicts its image, the image is refined and written.

    Several scans are a series: every result takes the twin, place and phase of the first good one (not with --url).
    """
    check(*paths)
    check_reading(reading)
    from inphase.formats.writers import writer_for
    from service.intake.options import ImagingOptions

    chosen: dict[str, Any] = {
        "model": model, "domain": domain, "preprocess": preprocess, "refine": refine, "start": start, "seed": seed,
        "slice": slice,
        "grid": grid,
    }  # fmt: skip
    options = ImagingOptions(**chosen, **({} if starts is None else {"starts": starts})).imaging()
    options.check()  # what is mistyped is told before anything is read
    scans = scans_of(paths, reading.beamline)
    if stack and len(scans) > 1:
        raise InphaseError(f"--stack takes one file, whose frames are the patterns, not {len(scans)}")
    several = len(scans) > 1 or stack
    writer_for(f"scan{ending}" if several else output)
    maps = (reading.dark, reading.flat, reading.mask)
    if not several:
        spare([output], *scans, *maps)
    with ExitStack() as held:
        if url is None:
            do = local.reconstructor(options, reading, configured(), held, len(scans) > 1)
        else:
            do = remote.reconstructor(options, reading, url, api_key, fresh, held)
        if not several:
            with progress() as bars, stages(bars) as stage:
                document = do(0, batch.Scan(scans[0], output), stage, lambda: False)
            print_json(document) if json else _show(document, output)
            return
        if Path(output).suffix or Path(output).is_file():
            what = "the frames of a stack" if stack else f"{len(scans)} scans"
            raise InphaseError(f"{what} need a folder for their results: -o results/, not {output}")
        if stack:
            jobs = batch.frames(scans[0], _count(scans[0], reading, options, held), Path(output), ending)
        else:
            jobs = batch.outputs(scans, Path(output), ending)
        spare((job.output for job in jobs), *scans, *maps)
        Path(output).mkdir(parents=True, exist_ok=True)
        ended = batch.run(jobs, do, parallel or (1 if url is None else _IN_FLIGHT), err)
    if json:
        print_json([scan.document for scan in ended if scan.document is not None])
    else:
        out.print(batch.summary(ended))
    states = {scan.state for scan in ended}
    if states != {"succeeded"}:
        raise typer.Exit(INTERRUPTED if "cancelled" in states else FAILED)


def _count(path: Path, reading: Reading, options: "Options", held: ExitStack) -> int:
    """Frames of a stack."""
    from inphase.formats import Limits
    from service.sandbox.order import FileOrder

    return len(reader(held).frames(FileOrder(path, reading, options.domain, Limits())))


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
    if grid := document.get("grid"):
        told = "; ".join(filter(None, (grid["why"], grid["stopped"])))
        out.print(f"grid: {' x '.join(str(n) for n in document['preprocess']['shape'])} ({told})", markup=False)
        if any(level["kept"] for level in grid["levels"]):
            out.print(
                "the figures of the result, the noise and the oversampling are those of this finer grid, and cannot be "
                "compared with those of the network's grid"
            )
    out.print(f"start: {document['start']['kind']} ({document['start']['why']})", markup=False)
    if ensemble := document.get("ensemble"):
        out.print(_agreement(ensemble), markup=False)
    trust = document["trust"]
    said = trusted(trust["level"], trust.get("probability"))
    out.print(f"trust: {said}" + (f" ({'; '.join(trust['reasons'])})" if trust["reasons"] else ""), markup=False)
    if unknown := trust.get("probability_reason"):
        out.print(unknown, markup=False)
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
