"""`inphase compare`: how alike two reconstructions are."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from service.cli.files import check, spare
from service.cli.terminal import out, print_json

if TYPE_CHECKING:
    from inphase.results.comparison import Comparison

commands = typer.Typer()


@commands.command(epilog="Example: inphase compare mine.cxi Run0001.cxi -o difference.png")
def compare(
    a: Annotated[Path, typer.Argument(help="This reconstruction is the reference.")],
    b: Annotated[
        Path,
        typer.Argument(
            help="This one is brought onto it; either is a result of inphase (.npz, .cxi), PyNX or cdiutils (.cxi), or "
            "a folder of cohere."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="A figure of both and their differences is written here (.png)."),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="The command prints the figures as JSON and nothing else.")
    ] = False,
) -> None:
    """Compare two reconstructions of one crystal, whatever their twin, place, global phase, ramp and voxels are."""
    check(a, b)
    spare([output], a, b)
    from inphase.results.comparison import compare as compared
    from inphase.results.page import draw_comparison

    found = compared(a, b)
    if output is not None:
        draw_comparison(found, output)
    print_json(found.to_builtins()) if json else _show(found, output)


def _show(found: "Comparison", output: Path | None) -> None:
    from inphase.results.page import resolution_in_words

    table = Table("B compared with A", "", box=None)
    alignment = found.alignment
    twin = f"{'the twin' if alignment.twin else 'the same hand'} ({alignment.score_other:.4f} the other way)"
    rows = [
        ("complex correlation", f"{found.correlation:.4f}"),
        ("enantiomorph", twin + (", undecided" if alignment.undecided else "")),
        ("structural similarity", f"{found.ssim:.4f}"),
        ("supports in common", f"{found.overlap:.1%}"),
        ("phase difference", f"{found.phase.rms:.3g} rad rms"),
        ("strain difference", found.strain_reason or (f"{found.strain.rms:.3g} rms" if found.strain else "")),
        ("ramp beyond that of A", " ".join(f"{slope:.4f}" for slope in found.ramp) + " rad per voxel"),
        ("half a bit in common", resolution_in_words(found.resolution)),
    ]
    if found.lattice is not None:
        rows.append(("mean d-spacing", f"differs by {found.lattice:.3g}"))
    for name, value in rows:
        table.add_row(name, value)
    out.print(table)
    for note in found.notes:
        out.print(note, markup=False)
    if output is not None:
        out.print(f"written: {output}", markup=False)
