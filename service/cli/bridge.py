"""`inphase bridge`: streams of detectors become live scans on a running service."""

import math
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inphase.client import Client
from inphase.errors import InphaseError
from inphase.listing import Listing
from service.cli.configuration import LOCAL, ApiKey, Url
from service.cli.files import check
from service.cli.reconstruct import Grid, Model, Refine
from service.cli.terminal import err, out

if TYPE_CHECKING:
    from inphase.bridges.feed import Axis, Feed, Stage
    from inphase.ptycho.formats.contents import Given

commands = typer.Typer(
    cls=Listing,
    help="These commands carry what detectors stream into live scans on a running service.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Roi = Annotated[
    str | None, typer.Option(help="Only these rows and columns of the chip are sent, written as 0:256,0:256.")
]
Dark = Annotated[Path | None, typer.Option(help="This TIFF or npy file of the whole chip marks bad pixels.")]
First = Annotated[float | None, typer.Option(help="The axis reads so much at the first frame of a curve.")]
Step = Annotated[float | None, typer.Option(help="The axis moves by so much from frame to frame.")]
Rows = Annotated[
    str | None,
    typer.Option(help="The scan is a ptychographic one, and this field or attribute tells the row of each position."),
]
Columns = Annotated[
    str | None, typer.Option(help="This one tells the column of each position of a ptychographic scan.")
]
Unit = Annotated[
    str | None,
    typer.Option(help="Both are in this unit: m, mm, um or nm, or pixel, which is one of the object [default: m]."),
]
Scale = Annotated[
    float | None,
    typer.Option(help="Both are multiplied by this number to be in that unit, as where they are steps of an encoder "
    "[default: 1]."),
]  # fmt: skip
Energy = Annotated[float | None, typer.Option(help="Of a ptychographic scan: the photons have this energy in keV.")]
Distance = Annotated[
    float | None,
    typer.Option(help="Of a ptychographic scan: the detector stands so many metres behind the sample."),
]
Pixel = Annotated[
    float | None, typer.Option(help="Of a ptychographic scan: the detector's pixels have sides of so many metres.")
]
Focus = Annotated[
    float | None,
    typer.Option(
        help="Of a ptychographic scan: the sample stands so many metres behind the focus, and the detector in the near "
        "field; inf is a parallel beam."
    ),
]
Flat = Annotated[Path | None, typer.Option(help="This TIFF or npy file of the whole chip is the flat field.")]


@commands.command(
    epilog="Example: inphase bridge dectris tcp://eiger:31001 --panda tcp://panda:5556 --motor INENC1.VAL.Mean "
    "--first 0.04 --step 0.005"
)
def dectris(
    address: Annotated[str, typer.Argument(help="The detector streams here: port 9999 (V1) or 31001 (V2).")],
    channel: Annotated[
        str, typer.Option(help="Of a detector with several thresholds this one is meant, such as threshold_1.")
    ] = "",
    roi: Roi = None,
    dark: Dark = None,
    flat: Flat = None,
    panda: Annotated[
        str | None, typer.Option(help="A PandA box tells here where on the rocking axis each frame was taken.")
    ] = None,
    motor: Annotated[str | None, typer.Option(help="This field of the PandA box is the rocking axis.")] = None,
    first: First = None,
    step: Step = None,
    rows: Rows = None,
    columns: Columns = None,
    unit: Unit = None,
    scale: Scale = None,
    energy: Energy = None,
    distance: Distance = None,
    pixel: Pixel = None,
    focus: Focus = None,
    refine: Refine = None,
    model: Model = None,
    grid: Grid = "auto",
    url: Url = LOCAL,
    api_key: ApiKey = "",
) -> None:
    """Carry the stream of a Dectris detector, one live scan for each series. Ctrl-C ends it.

    Messages of both versions are understood. Without a PandA box the number of a frame is its place on the rocking
    axis. With --rows and --columns the box tells the positions of a ptychographic scan.
    """
    check(dark, flat)
    with _spoken():
        from inphase.bridges import dectris as detector
        from inphase.bridges import panda as encoder
        from inphase.bridges.carriage import Line, carry
        from inphase.bridges.zeromq import Source, wait
    from inphase.ptycho.formats.contents import Given

    curve = {"--motor": motor, "--first": first, "--step": step}
    stage, given = _stage(rows, columns, scale, Given(energy, distance, pixel, focus, unit))
    if stage is not None:
        _refuse(curve | {"--model": model, "--grid": None if grid == "auto" else grid})
        if panda is None:
            raise InphaseError("--panda, --rows and --columns belong together: a PandA box tells the positions")
    moving = stage or _axis({"--panda": panda, **curve}, motor, first, step)
    options = given if stage else {"model": model, "grid": grid}
    with ExitStack() as held:
        client = held.enter_context(Client(url, api_key))
        feed = _feed(client, f"stream of {address}", roi=roi, dark=dark, flat=flat, moving=moving, refine=refine,
                     **options)  # fmt: skip
        images = held.enter_context(closing(Source(address, "PULL", _tell)))
        lines, sources = [Line(images, lambda parts: [detector.decode(parts, channel)])], [images]
        if panda is not None:
            readings = held.enter_context(closing(Source(panda, "SUB", _tell)))
            lines.append(Line(readings, lambda parts: [encoder.decode(parts)]))
            sources.append(readings)
        carry(lines, lambda seconds: wait(sources, seconds), feed, _complain, threading.Event())


@commands.command(
    epilog="Example: inphase bridge pva 13SIM1:Pva1:Image --frames 201 --motor Theta --first 0.04 --step 0.005"
)
def pva(
    name: Annotated[
        str, typer.Argument(help="The PVA plugin of the IOC serves its images by this name, as in 13SIM1:Pva1:Image.")
    ],
    frames: Annotated[
        int | None, typer.Option(min=1, help="A curve has so many frames. Without it a curve ends by a pause.")
    ] = None,
    first_id: Annotated[
        int | None,
        typer.Option(
            help="The first frame of each curve has this uniqueId. Without it that is the first one which comes."
        ),
    ] = None,
    pause: Annotated[
        float, typer.Option(min=0.1, help="A curve has ended when no frame has come for so many seconds.")
    ] = 10.0,
    roi: Roi = None,
    dark: Dark = None,
    flat: Flat = None,
    motor: Annotated[str | None, typer.Option(help="This attribute of the images is the rocking axis.")] = None,
    first: First = None,
    step: Step = None,
    rows: Rows = None,
    columns: Columns = None,
    unit: Unit = None,
    scale: Scale = None,
    energy: Energy = None,
    distance: Distance = None,
    pixel: Pixel = None,
    focus: Focus = None,
    refine: Refine = None,
    model: Model = None,
    grid: Grid = "auto",
    url: Url = LOCAL,
    api_key: ApiKey = "",
) -> None:
    """Carry the images of an areaDetector over EPICS PVAccess, one live scan for each curve. Ctrl-C ends it.

    The uniqueId of an image says its number in its curve; where there is a motor among its attributes, that says its
    place on the rocking axis. With --rows and --columns, two attributes, the scan is a ptychographic one.
    """
    check(dark, flat)
    with _spoken():
        from inphase.bridges.carriage import Line, carry
        from inphase.bridges.pva import Curves
        from inphase.bridges.pvaccess import Source
    from inphase.ptycho.formats.contents import Given

    curve = {"--motor": motor, "--first": first, "--step": step}
    stage, given = _stage(rows, columns, scale, Given(energy, distance, pixel, focus, unit))
    if stage is not None:
        _refuse(curve | {"--model": model, "--grid": None if grid == "auto" else grid})
    moving = stage or _axis(curve, motor, first, step)
    options = given if stage else {"model": model, "grid": grid}
    curves = Curves(frames, first_id, () if moving is None else moving.names)
    with ExitStack() as held:
        client = held.enter_context(Client(url, api_key))
        feed = _feed(client, f"images of {name}", roi=roi, dark=dark, flat=flat, moving=moving, refine=refine,
                     **options)  # fmt: skip
        source = held.enter_context(closing(Source(name, _tell, pause)))
        carry([Line(source, curves.take)], source.wait, feed, _complain, threading.Event())


def _complain(line: str) -> None:
    err.print(line, style="red", markup=False)


def _tell(line: str) -> None:
    out.print(f"{time.strftime('%H:%M:%S')} {line}", markup=False)


def _feed(client: Client, source: str, **options: Any) -> "Feed":
    """A feed of a service that answers. Raises ServiceError, DataError for its maps."""
    from inphase.bridges.feed import Feed

    version = client.status()["version"]
    _tell(f"connected to inphase {version}")
    return Feed(client, _tell, source, **options)


def _axis(together: Mapping[str, object], motor: str | None, first: float | None, step: float | None) -> "Axis | None":
    """together: the options that say where the axis is, by their names."""
    from inphase.bridges.feed import Axis

    if all(part is None for part in together.values()):
        return None
    if None in together.values() or motor is None or first is None or not step:
        *names, last = together
        raise InphaseError(f"{', '.join(names)} and {last} belong together, and a step is not 0")
    return Axis(motor, first, step)


def _stage(
    rows: str | None, columns: str | None, scale: float | None, given: "Given"
) -> "tuple[Stage | None, dict[str, Any]]":
    """The stage of a ptychographic scan with the options that the scan is opened with; None of a rocking curve.

    given: the optics, and the unit of the positions. Raises InphaseError for a part of what belongs together.
    """
    from inphase.bridges.feed import Stage
    from inphase.ptycho.formats.contents import Given

    if rows is None and columns is None:
        if scale is not None or given != Given():
            raise InphaseError(
                "--unit, --scale, --energy, --distance, --pixel and --focus are those of a ptychographic scan: "
                "--rows and --columns say where its positions are"
            )
        return None, {}
    if rows is None or columns is None or given.optics() is None:
        raise InphaseError("--rows and --columns, --energy, --distance and --pixel belong together")
    if scale is not None and not 0 < abs(scale) < math.inf:
        raise InphaseError("a scale is a number, and not 0")
    told = {"kind": "ptycho", "unit": "m"} | {name: value for name, value in vars(given).items() if value is not None}
    return Stage(rows, columns, 1.0 if scale is None else scale), told


def _refuse(curves: Mapping[str, object]) -> None:
    """Raises InphaseError for options, by their names, that are of rocking curves alone."""
    if strange := [name for name, value in curves.items() if value is not None]:
        raise InphaseError(f"{', '.join(strange)}: no option of a ptychographic scan, which --rows and --columns make")


@contextmanager
def _spoken() -> Iterator[None]:
    """Says which extra brings what a bridge needs."""
    try:
        yield
    except ModuleNotFoundError as error:
        package, _, _ = str(error.name).partition(".")
        raise InphaseError(f"a bridge needs {package}: pip install 'inphase[bridges]'") from error
