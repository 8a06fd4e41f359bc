"""`inphase orthogonalise`: a reconstruction on cubic voxels."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from inphase.formats.reading import Reading
from service.cli.files import check, spare
from service.cli.measured import Binning, Measured, geometry
from service.cli.reading import reads
from service.cli.terminal import out

if TYPE_CHECKING:
    from inphase.orthogonal import Frame

_FRAMES: Final[dict[str, "Frame"]] = {"lab": "laboratory", "sample": "sample", "crystal": "crystal"}

commands = typer.Typer()


@commands.command(epilog="Example: inphase orthogonalise mine.npz -o crystal.cxi --frame crystal")
@reads
def orthogonalise(
    result: Annotated[
        Path,
        typer.Argument(
            help="This is a result of inphase (.npz, .cxi), PyNX or cdiutils (.cxi), or a folder of cohere."
        ),
    ],
    output: Annotated[str, typer.Option("-o", "--output", help="It is written here; the ending decides the format.")],
    frame: Annotated[
        Literal["lab", "sample", "crystal"],
        typer.Option(
            help="The axes are those of the laboratory (x outboard, y up, z along the beam), of the sample with its "
            "circles at zero, or of the crystal (Q along y)."
        ),
    ] = "lab",
    voxel: Annotated[
        float | None,
        typer.Option(min=1e-3, help="A voxel is so many nanometres long [default: as fine as the finest axis]."),
    ] = None,
    measured: Measured = None,
    binning: Binning = None,
    *,
    reading: Reading,
) -> None:
    """Bring a reconstruction from its sheared grid onto cubic voxels; its phase is interpolated and not changed."""
    check(result)
    spare([output], result, measured)
    from inphase.results.conversion import orthogonalise as made
    from inphase.results.source import taken

    given = taken(result)
    found = made(
        given,
        output,
        frame=_FRAMES[frame],
        voxel_m=None if voxel is None else voxel * 1e-9,
        geometry=geometry(given, measured, reading, binning),
    )
    sides = " x ".join(str(side) for side in found.object.shape)
    assert found.voxel_size_m is not None
    out.print(f"{sides} voxels of {1e9 * found.voxel_size_m[0]:.3g} nm; written: {output}", markup=False)
