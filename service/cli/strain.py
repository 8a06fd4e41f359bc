"""`inphase strain`: displacement, strain and lattice of a result."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from inphase.errors import DataError
from inphase.formats.reading import Reading
from service.cli.files import check, spare
from service.cli.measured import Binning, Measured, check_measured, geometry
from service.cli.reading import reads
from service.cli.terminal import out, print_json

if TYPE_CHECKING:
    from inphase.imaging.report import Statistics
    from inphase.results.strain_maps import StrainMaps

commands = typer.Typer()


@commands.command(epilog="Example: inphase strain mine.npz -o strain.vts --hkl 1,1,1 --material Au")
@reads
def strain(
    result: Annotated[
        Path,
        typer.Argument(
            help="This is a result of inphase (.npz, .cxi), PyNX or cdiutils (.cxi), or a folder of cohere."
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", help="The result with its maps is written here; the ending decides the format."),
    ] = None,
    hkl: Annotated[
        str | None, typer.Option(help="The reflection has these Miller indices, such as 1,1,1: the lattice follows.")
    ] = None,
    material: Annotated[
        str | None,
        typer.Option(help="The crystal is of this cubic element, such as Au: it has a spacing to compare with."),
    ] = None,
    energy: Annotated[
        float | None,
        typer.Option(min=0.1, help="The photons have this energy in keV, where the result does not tell it."),
    ] = None,
    refraction: Annotated[
        bool, typer.Option(help="The phase that the crystal itself gives the light is taken off; it needs a material.")
    ] = False,
    beta: Annotated[
        float, typer.Option(min=0, help="With refraction, the loss of this absorption index is taken off as well.")
    ] = 0.0,
    isosurface: Annotated[
        float, typer.Option(min=0, max=0.99, help="A voxel counts with this share of the largest amplitude.")
    ] = 0.3,
    measured: Measured = None,
    binning: Binning = None,
    json: Annotated[
        bool, typer.Option("--json", help="The command prints the figures as JSON and nothing else.")
    ] = False,
    *,
    reading: Reading,
) -> None:
    """Make displacement, strain and d-spacing of a result; tell their statistics, residues and dislocations."""
    check(result)
    check_measured(measured, reading)
    spare([output], result, measured)
    from inphase.results.source import taken
    from inphase.results.strain_maps import strain_maps

    given = taken(result)
    found = strain_maps(
        given,
        output,
        hkl=None if hkl is None else _indices(hkl),
        of=material,
        energy_kev=energy,
        refraction=refraction,
        beta=beta,
        isosurface=isosurface,
        geometry=geometry(given, measured, reading, binning),
    )
    print_json(found.to_builtins()) if json else _show(found, output)


def _indices(text: str) -> tuple[int, int, int]:
    try:
        h, k, l = (int(part) for part in text.split(","))  # noqa: E741  # the field's name for it
    except ValueError:
        raise DataError(f"hkl is three whole numbers, such as 1,1,1 or 2,-1,0, not {text!r}") from None
    return h, k, l


def _show(found: "StrainMaps", output: str | None) -> None:
    told, table = found.strain, Table("", "mean", "rms", "surface", "bulk", box=None)
    rows: list[tuple[str, Statistics, float]] = [("strain", told.statistics["strain"], 1.0)]
    rows.append(("displacement (nm)", told.statistics["displacement"], 1e9))
    if found.lattice is not None:
        rows.append(("lattice parameter (angstrom)", found.lattice, 1e10))
    for name, part, unit in rows:
        cells = [f"{unit * part.crystal.mean:.6g}", f"{unit * part.crystal.rms:.3g}"]
        cells += [
            "" if some is None else f"{unit * some.mean:.6g} ± {unit * some.rms:.3g}"
            for some in (part.surface, part.bulk)
        ]
        table.add_row(name, *cells)
    out.print(table)
    out.print(f"mean d-spacing {1e10 * told.d_spacing_m:.6g} angstrom, {told.voxels} voxels")
    if found.mean_strain is not None and found.relaxed_m is not None:
        out.print(f"{found.mean_strain:+.3g} against the material's {1e10 * found.relaxed_m:.6g} angstrom")
    out.print(f"residues: {told.residues}; three phase offsets disagree in {told.offsets_disagree:.2%} of the voxels")
    for number, line in enumerate(told.dislocations, 1):
        direction = " ".join(f"{part:.2f}" for part in line.laboratory.direction)
        out.print(
            f"dislocation {number}: {line.residues} residues along ({direction}) of the laboratory, b along Q "
            f"{1e10 * line.burgers_along_q_m:.4g} angstrom",
            markup=False,
        )
    for note in found.notes:
        out.print(note, markup=False)
    if output is not None:
        out.print(f"written: {output}", markup=False)
