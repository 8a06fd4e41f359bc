"""From a reconstruction in one program's file to one that another program opens, and onto cubic voxels."""

from os import PathLike

from inphase.errors import DataError
from inphase.formats.cubic import on_cubic_voxels
from inphase.formats.result import Result
from inphase.formats.writers import write_result, writer_for
from inphase.geometry import Geometry
from inphase.orthogonal import Frame
from inphase.results.source import Given, result_of, taken


def convert(given: Given, output: str | PathLike[str], *, geometry: Geometry | None = None) -> None:
    """Write a reconstruction in the format that the output's ending asks for.

    What another program has made keeps its phase.

    given: a file or folder that `read_reconstruction` takes, or a reconstruction. geometry: of the pattern that it was
    made from, binned as that was (`Geometry.binned`), where the file does not tell. Raises DataError, OSError.
    """
    name = str(output)
    writer_for(name)
    found = taken(given)
    if found.arrays is not None and geometry is None:
        write_result(name, found.arrays)
    else:
        write_result(name, result_of(found, geometry).arrays())


def orthogonalise(
    given: Given,
    output: str | PathLike[str],
    *,
    frame: Frame = "laboratory",
    voxel_m: float | None = None,
    geometry: Geometry | None = None,
) -> Result:
    """Bring a reconstruction onto cubic voxels of a frame (`inphase.orthogonal`), write it, and give it.

    The phase is only interpolated, as part of the complex field: it is neither unwrapped nor freed of its ramp, nor
    turned. Arguments as in `convert`; without geometry in the file or here a DataError says what to give.
    """
    name = str(output)
    writer_for(name)
    found = taken(given)
    result = result_of(found, geometry)
    if result.geometry is None:
        raise DataError(
            f"{found.source}: says nothing of its geometry: give the measurement that it was made from, with its "
            "geometry and the binning (geometry=, or --measured FILE --binning 1,2,2)"
        )
    made = on_cubic_voxels(result, frame, voxel_m)
    write_result(name, made.arrays())
    return made
