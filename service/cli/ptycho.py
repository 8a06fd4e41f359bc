"""`inphase ptycho`: a ptychographic scan, in this process or on a service."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.table import Table

from service.cli.configuration import configured
from service.cli.files import check, spare
from service.cli.terminal import Stage, out, print_json, progress, stages

if TYPE_CHECKING:
    from inphase.models.session import Session
    from inphase.ptycho import Options
    from inphase.ptycho.formats.contents import Given
    from inphase.ptycho.reconstruction import Report
    from service.settings import Settings

commands = typer.Typer()

_OPTIONS: Final = ("modes", "probe_start", "positions_start", "search_px", "turn", "hold_out", "seed")


@commands.command(epilog="Example: inphase ptycho scan_0054.cxi -o scan54.cxi --refine '60*EPIE' --positions-start 10")
def ptycho(
    path: Annotated[Path, typer.Argument(metavar="SCAN", help="The scan is a CXI, HDF5, ptyd or npz file.")],
    output: Annotated[str, typer.Option("-o", "--output", help="The result is written here, as .cxi or .npz.")],
    refine: Annotated[
        str, typer.Option(help="The image is found by this recipe, such as '20*RAAR+40*RPIE'.")
    ] = "60*EPIE",
    model: Annotated[
        str | None,
        typer.Option(
            help="The image is begun from that of this network of the family scan, name or name@version; "
            "with --refine none it is left as it is."
        ),
    ] = None,
    modes: Annotated[
        int | None, typer.Option(min=1, max=9, help="The probe has so many modes [default: those of its guess, or 1].")
    ] = None,
    probe_start: Annotated[int, typer.Option(min=0, help="The probe is refined from this iteration on.")] = 2,
    positions_start: Annotated[
        int | None, typer.Option(min=0, help="The positions are refined from this iteration on [default: never].")
    ] = None,
    search: Annotated[
        float,
        typer.Option(
            min=0, max=100, help="Positions are searched within so many pixels of the file's before they are refined."
        ),
    ] = 0.0,
    energy: Annotated[
        float | None, typer.Option(help="The photons have this energy in keV, whatever the file says.")
    ] = None,
    distance: Annotated[
        float | None, typer.Option(help="The detector stands so many metres behind the sample.")
    ] = None,
    pixel: Annotated[float | None, typer.Option(help="The detector's pixels have sides of so many metres.")] = None,
    focus: Annotated[
        float | None,
        typer.Option(
            help="The sample stands so many metres behind the focus, and the detector in the near field; inf is a "
            "parallel beam."
        ),
    ] = None,
    unit: Annotated[
        str | None,
        typer.Option(
            help="The positions of the file are in this unit, whatever the file says: m, mm, um or nm, or pixel, which "
            "is one of the object."
        ),
    ] = None,
    dark: Annotated[
        Path | None,
        typer.Option(help="This map (TIFF, npy) is what the detector shows without beam; it is subtracted."),
    ] = None,
    flat: Annotated[Path | None, typer.Option(help="This is the detector's flat field (TIFF, npy).")] = None,
    roi: Annotated[
        str | None, typer.Option(help="The frames show these rows and columns of the maps, r0:r1,c0:c1.")
    ] = None,
    turn: Annotated[
        bool, typer.Option(help="The eight ways in which positions can lie on the patterns are tried first.")
    ] = True,
    beam_of: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="Probe and positions are those of this reconstruction of the scan, an npz of this command.",
        ),
    ] = None,
    hold_out: Annotated[
        float, typer.Option(min=0, max=0.5, help="This share of the frames is seen by no solver.")
    ] = 0.05,
    seed: Annotated[int, typer.Option(help="The same seed gives the same result.")] = 0,
    url: Annotated[
        str | None,
        typer.Option(
            envvar="INPHASE_URL", help="The file is sent to the service at this address instead of being computed here."
        ),
    ] = None,
    api_key: Annotated[
        str, typer.Option(envvar="INPHASE_API_KEY", help="That service knows you by this key.", show_envvar=True)
    ] = "",
    json: Annotated[
        bool, typer.Option("--json", help="The command prints the report as JSON and nothing else.")
    ] = False,
) -> None:
    """Reconstruct a ptychographic scan: object and probe are found from its patterns and written.

    What was left out, altered or assumed is told, and the R factor also of frames that no solver saw.
    """
    check(path, dark, flat)
    from inphase import ptycho
    from inphase.ptycho.formats.contents import Given
    from inphase.ptycho.formats.written import check_ending

    if url is not None and beam_of is not None:
        raise typer.BadParameter("a service takes the probe of the file alone: leave --beam-of or --url out")
    if url is not None and (dark is not None or flat is not None or roi is not None):
        raise typer.BadParameter(
            "the file is sent as it is, and --dark, --flat and --roi are files and regions of this machine: put them "
            "into the npz as the arrays dark, flat and roi, or leave --url out"
        )
    check_ending(output)
    spare([output], path, beam_of, dark, flat)
    options = ptycho.Options(
        refine, modes=modes, probe_start=probe_start, positions_start=positions_start, search_px=search, turn=turn,
        hold_out=hold_out, seed=seed,
    )  # fmt: skip
    if model is None:
        options.require_steps()
    given = Given(energy, distance, pixel, focus, unit, dark, flat, roi)
    with progress() as bars, stages(bars) as stage:
        if url is None:
            found = _here(path, output, options, given, model, beam_of, stage)
        else:
            found = _there(path, output, options, given, model, url, api_key, stage)
    print_json(asdict(found.report)) if json else _show(found, output)


@dataclass(frozen=True)
class _Found:
    """What was written."""

    report: "Report"
    size: tuple[int, ...]


def _here(
    path: Path,
    output: str,
    options: "Options",
    given: "Given",
    model: str | None,
    beam_of: Path | None,
    stage: Stage,
) -> _Found:
    """In this process."""
    from inphase import ptycho
    from inphase.ptycho.formats import read_as

    settings = configured()
    network = _network(model, settings) if model else None
    stage("reading")
    measured = read_as(path, given)
    if beam_of is not None:
        measured = measured.in_beam_of(ptycho.read_reconstruction(beam_of))
    advance = stage("iterating")
    result = ptycho.reconstruct(
        measured,
        options,
        start=network,
        device=settings.device,
        progress=lambda p: advance(p.iteration + 1, p.total),
    )
    ptycho.write(result, output)
    return _Found(result.report, result.object.shape)


def _there(
    path: Path, output: str, options: "Options", given: "Given", model: str | None, url: str, api_key: str, stage: Stage
) -> _Found:
    """By a service."""
    import msgspec

    from inphase.client import Client
    from inphase.ptycho.reconstruction import Report
    from service.cli import remote

    asked: dict[str, Any] = {"refine": options.recipe, "model": model}
    asked |= {name: getattr(options, name) for name in _OPTIONS} | vars(given)
    with Client(url, api_key) as client:
        document = remote.ptychogram(path, asked, client, stage)
        stage("fetching the result")
        client.save(document["id"], output)
    found = document["ptychography"]
    return _Found(msgspec.convert(found["report"], Report), tuple(found["size"]))


def _network(reference: str, settings: "Settings") -> "Session":
    """The session of a network by name."""
    from inphase.models.repository import Repository
    from inphase.models.session import Session

    return Session(Repository(settings.models_dir, settings.model).resolve(reference), settings.threads)


def _show(found: _Found, output: str) -> None:
    """The figures as a table, and what there is to say."""
    report = found.report
    hidden = "-" if report.r_held_out is None else f"{report.r_held_out:.3g}"
    noise = "-" if report.r_noise is None else f"{report.r_noise:.3g}"
    table = Table("frames", "R", "R of held-out frames", "R of noise alone", "object", "time")
    size = " x ".join(map(str, found.size))
    table.add_row(str(report.frames), f"{report.r_factor:.3g}", hidden, noise, size, f"{report.seconds:.1f} s")
    out.print(table)
    for words in report.verdict:
        out.print(words, markup=False)
    if report.pixel_m is not None:
        out.print(f"pixel: {' x '.join(f'{side * 1e9:.3g} nm' for side in report.pixel_m)}")
    if report.position_shift_px is not None:
        out.print(f"positions moved by {report.position_shift_px:.2g} pixels (root mean square of each axis)")
    for note in report.notes:
        out.print(f"note: {note}", markup=False)
    out.print(f"written: {output}", markup=False)
