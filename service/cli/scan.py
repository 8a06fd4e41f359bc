"""`inphase scan`: measurements that are imaged while they are still being taken, on a running service."""

import threading
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.table import Table

from inphase.client import Client
from inphase.errors import InphaseError
from inphase.formats.reading import Reading
from inphase.listing import Listing
from service.cli.configuration import LOCAL, ApiKey, Json, Url
from service.cli.reading import reads
from service.cli.terminal import out, print_json

if TYPE_CHECKING:
    from inphase.formats import RawScan
    from inphase.live.replay import Replayed
    from inphase.ptycho import Measurement
    from inphase.ptycho.formats.contents import Given

commands = typer.Typer(
    cls=Listing,
    help="These commands replay, show, finish and abort live scans on a running service.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Id = Annotated[str, typer.Argument(metavar="ID", help="The id of a scan has 32 hexadecimal digits.")]
Reason = Annotated[str, typer.Option(help="Why: it becomes the scan's reason.")]


@commands.command(
    epilog="Example: inphase scan replay scan_0054/ --dark dark.tif --flat flat.tif --roi 0:256,0:256 --rate 200"
)
@reads
def replay(
    path: Annotated[Path, typer.Argument(help="This file or folder holds the finished scan.")],
    kind: Annotated[
        Literal["rocking", "ptycho"],
        typer.Option(help="The file holds a rocking curve, or a ptychographic scan as `inphase ptycho` reads it."),
    ] = "rocking",
    rate: Annotated[float, typer.Option(help="So many frames are sent per second.")] = 200.0,
    shuffle: Annotated[bool, typer.Option("--shuffle", help="The frames are sent in any order.")] = False,
    drop: Annotated[float, typer.Option(help="This share of the frames is never sent.")] = 0.0,
    duplicate: Annotated[float, typer.Option(help="This share of the frames is sent twice.")] = 0.0,
    seed: Annotated[int, typer.Option(help="The same seed chooses the same frames.")] = 0,
    name: Annotated[str, typer.Option(help="People know the scan by this name.")] = "",
    refine: Annotated[
        str | None,
        typer.Option(
            help="The last image is refined by this recipe or preset; none leaves the network's. Of a ptychographic "
            "scan it is a recipe of `inphase ptycho`."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="This network predicts the starts; it is given as name or name@version. Of a ptychographic scan it is "
            "one of the family scan, from which the first look and the last image begin."
        ),
    ] = None,
    grid: Annotated[
        str,
        typer.Option(
            help="Of a rocking curve: the last image becomes as fine as the network's grid (model), as what the "
            "measurement holds (auto), as the whole measurement (measured), or as a grid of at most so many voxels "
            "along an axis."
        ),
    ] = "auto",
    energy: Annotated[
        float | None, typer.Option(help="Of a ptychographic scan: the photons have this energy in keV.")
    ] = None,
    distance: Annotated[
        float | None,
        typer.Option(help="Of a ptychographic scan: the detector stands so many metres behind the sample."),
    ] = None,
    pixel: Annotated[
        float | None,
        typer.Option(help="Of a ptychographic scan: the detector's pixels have sides of so many metres."),
    ] = None,
    focus: Annotated[
        float | None,
        typer.Option(
            help="Of a ptychographic scan: the sample stands so many metres behind the focus, and the detector in the "
            "near field; inf is a parallel beam."
        ),
    ] = None,
    unit: Annotated[
        str | None,
        typer.Option(
            help="Of a ptychographic scan: the positions of the file are in this unit, whatever the file says: m, mm, "
            "um or nm, or pixel, which is one of the object."
        ),
    ] = None,
    *,
    reading: Reading,
    url: Url = LOCAL,
    api_key: ApiKey = "",
    json: Json = False,
) -> None:
    """Send a finished scan to a service frame by frame, as if it were being measured.

    The command prints what comes meanwhile: frames, advice, and looks with their likeness to the look before. The
    figures come last. A file of a ptychographic scan is read in the command's own process, not in the sandbox.
    """
    from inphase.live.replay import Plan
    from inphase.live.replay import replay as replayed
    from inphase.ptycho.formats.contents import Given

    plan = Plan(rate, shuffle, drop, duplicate, seed)
    beam = Given(energy, distance, pixel, focus, unit)
    options: dict[str, Any] = {"name": name, "refine": refine, "model": model}
    with ExitStack() as held:
        scan: RawScan | Measurement
        if kind == "ptycho":
            others = replace(reading, dark=None, flat=None, roi=None)
            _refuse(vars(others) | {"grid": grid}, vars(Reading()) | {"grid": "auto"}, "a ptychographic scan")
            scan = _ptychogram(path, replace(beam, dark=reading.dark, flat=reading.flat, roi=reading.roi))
        else:
            _refuse(vars(beam), vars(Given()), "a rocking curve")
            scan = _curve(path, reading, held)
            options["grid"] = grid
        client = held.enter_context(Client(url, api_key))
        told = None if json else held.enter_context(_Teller(url, api_key))
        done = replayed(
            client, scan, plan, opened=lambda document: None if told is None else told.follow(document["id"]), **options
        )
    if json:
        print_json({**{key: value for key, value in vars(done).items() if key != "sent"}, "sent": len(done.sent)})
    else:
        _show(done)


def _curve(path: Path, reading: Reading, held: ExitStack) -> "RawScan":
    from inphase.formats import Limits
    from service.cli.files import reader
    from service.sandbox.order import FileOrder

    return reader(held)(FileOrder(path, reading, limits=Limits()))


def _ptychogram(path: Path, given: "Given") -> "Measurement":
    from inphase import ptycho

    return ptycho.read(path, **vars(given))


def _refuse(given: Mapping[str, object], nothing: Mapping[str, object], what: str) -> None:
    """Options that would be of no effect. Raises InphaseError, which names them."""
    if strange := [name for name, value in given.items() if value != nothing[name]]:
        raise InphaseError(f"{', '.join(strange)}: no option of {what}; --kind says what the file holds")


@commands.command("show", epilog="Example: inphase scan show 4f6c2a0c9d5b4c8e8d0f3f1f2f6f7a11")
def show_scan(scan_id: Id, url: Url = LOCAL, api_key: ApiKey = "", as_json: Json = False) -> None:
    """Show what of a scan has come, what it says, and the looks at it."""
    with Client(url, api_key) as client:
        found = client.scan(scan_id)
    if as_json:
        print_json(found)
        return
    looks = [_row(look) for look in found["looks"]]
    table = Table(box=None, pad_edge=False, collapse_padding=True)
    for name in [name for name in _COLUMNS if any(look[name] for look in looks)]:
        table.add_column(name, no_wrap=name == "job")
    for look in looks:
        table.add_row(*(look[str(column.header)] for column in table.columns))
    out.print(table)
    for look in found["looks"]:
        if look["reason"]:
            out.print(f"look {look['number']}: {look['reason']}", markup=False)
    out.print(f"{found['state']}{': ' + found['reason'] if found['reason'] else ''}", markup=False)
    for words in found["words"]:
        out.print(words, markup=False)


_COLUMNS = ("job", "look", "state", "frames", "likeness", "start", "chi2", "R", "trust")


def _row(look: dict[str, Any]) -> dict[str, str]:
    """A look by column; empty where it has no such figure."""
    return {
        "job": look["job"],
        "look": f"{look['number']}{' final' if look['final'] else ''}",
        "state": look["state"],
        "frames": str(look["frames"]),
        "likeness": "" if look["similarity"] is None else f"{look['similarity']:.3f}",
        "start": look["start"] or "",
        "chi2": "" if look["chi2"] is None else f"{look['chi2']:.3g}",
        "R": "" if look["r_factor"] is None else f"{look['r_factor']:.3g}",
        "trust": look["trust"] or "",
    }


@commands.command("finish", epilog="Example: inphase scan finish 4f6c2a0c9d5b4c8e8d0f3f1f2f6f7a11")
def finish_scan(scan_id: Id, reason: Reason = "", url: Url = LOCAL, api_key: ApiKey = "") -> None:
    """Say that no frame follows. The command prints the id of the job that makes the last image."""
    with Client(url, api_key) as client:
        out.print(
            client.finish_scan(scan_id, reason)["final"] or "the last image is made when there is room for its job"
        )


@commands.command("abort", epilog="Example: inphase scan abort 4f6c2a0c9d5b4c8e8d0f3f1f2f6f7a11 --reason 'beam lost'")
def abort_scan(scan_id: Id, reason: Reason = "", url: Url = LOCAL, api_key: ApiKey = "") -> None:
    """Say that no frame follows, and that no image is to be made any more."""
    with Client(url, api_key) as client:
        out.print(client.abort_scan(scan_id, reason)["state"])


class _Teller:
    """Prints what happens to a scan while another thread sends its frames."""

    def __init__(self, url: str, key: str) -> None:
        self._client = Client(url, key)
        self._thread: threading.Thread | None = None

    def __enter__(self) -> "_Teller":
        return self

    def __exit__(self, *error: object) -> None:
        if self._thread is not None and error[0] is None:
            self._thread.join()
        self._client.close()

    def follow(self, scan_id: str) -> None:
        """Begin."""
        out.print(f"scan {scan_id}", markup=False)
        self._thread = threading.Thread(target=self._run, args=(scan_id,), daemon=True)
        self._thread.start()

    def _run(self, scan_id: str) -> None:
        said: list[str] = []
        for event in self._client.follow_scan(scan_id):
            data = event.data
            if event.kind == "frames":
                for words in data["words"]:
                    if words not in said:
                        out.print(words, markup=False)
                said = data["words"]
            elif event.kind == "look":
                out.print(_looked(data), markup=False)
            elif event.kind == "state":
                out.print(f"{data['state']}{': ' + data['reason'] if data['reason'] else ''}", markup=False)


def _looked(look: dict[str, Any]) -> str:
    what = f"look {look['number']}{' (final)' if look['final'] else ''} of {look['frames']} frames: {look['state']}"
    if look["state"] != "succeeded":
        return f"{what}: {look['reason']}"
    like = "" if look["similarity"] is None else f", likeness to the one before {look['similarity']:.3f}"
    if look["r_factor"] is not None:
        return f"{what}, R {look['r_factor']:.3g}{like} (job {look['job']})"
    return f"{what}, chi2 {look['chi2']:.3g}, trust {look['trust']}{like} (job {look['job']})"


def _show(done: "Replayed") -> None:
    """The figures."""
    frames = done.scan["frames"]
    out.print(
        f"{len(done.sent)} frames sent in {done.sending_s:.1f} s: {frames['received']} received, {done.lost} lost, "
        f"{frames['duplicate']} came twice, {frames['missing']} missing between them, "
        f"{frames['out_of_range']['count']} out of range"
    )
    after = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in _images(done) if seconds is not None)
    out.print(f"from the last frame to the images: {after or 'none was made'}")
    out.print(f"job of the last image: {done.final}")


def _images(done: "Replayed") -> Iterable[tuple[str, float | None]]:
    """What a scan of its kind has at its end, and after how many seconds."""
    if done.scan["kind"] == "ptycho":
        return [("object", done.whole_s)]
    return [("network", done.network_s), ("network's grid", done.model_s), ("whole", done.whole_s)]
