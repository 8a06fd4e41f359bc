"""What a result may be given as, and how it becomes one with conventions of ours."""

import json
from dataclasses import replace
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inphase import ambiguity
from inphase.diffractometer import bragg_peak
from inphase.errors import DataError
from inphase.formats.cubic import ORTHOGONALISED
from inphase.formats.reconstruction import Reconstruction, of_result, read_reconstruction
from inphase.formats.result import Result
from inphase.formats.scan import RawScan
from inphase.geometry import Geometry
from inphase.imaging.reconstruction import Reconstruction as Finished
from inphase.pattern import MaskState

Given = str | PathLike[str] | Reconstruction | Finished

SUPPORT_THRESHOLD = 0.1  # of the amplitude's 99.9th percentile, where a file has no support


def taken(given: Given) -> Reconstruction:
    """A reconstruction from its file or folder, or as it is. Raises DataError."""
    if isinstance(given, Reconstruction):
        return given
    if isinstance(given, Finished):
        return of_result(given.with_document(given.report.to_json()), given.report.input.source, "inphase result")
    return read_reconstruction(Path(given))


def support_of(found: Reconstruction) -> NDArray[np.bool_]:
    """Its support, or where the amplitude is at least a tenth of its 99.9th percentile. DataError where it is empty."""
    inside = found.support
    amplitude = np.abs(found.object)
    if inside is None or not inside.any():
        lit = amplitude[amplitude > 0]
        inside = amplitude >= SUPPORT_THRESHOLD * (float(np.percentile(lit, 99.9)) if lit.size else 0.0)
    if not amplitude[inside].any():
        raise DataError(f"{found.source}: the object is empty")
    return inside


def result_of(found: Reconstruction, geometry: Geometry | None = None) -> Result:
    """A reconstruction as a result of ours. What another program has made keeps its phase; it has no pattern.

    geometry: of the pattern that the object was made from, binned as that was; it replaces what the file tells.
    """
    if found.arrays is not None:
        result = Result.of(found.arrays)
    else:
        support = support_of(found)
        flat, _ = ambiguity.flattened(np.where(support, found.object, 0))
        result = Result(
            object=found.object,
            support=support,
            phase_flat=np.where(support, np.angle(flat), 0).astype(np.float32),
            modulus=np.zeros(found.object.shape, np.float32),
            mask=np.full(found.object.shape, MaskState.PADDING, np.uint8),
            voxel_size_m=None,
            document=_document(found),
        )
    grid = found.geometry if geometry is None else _of_object(found, geometry)
    if grid is None:
        return result
    basis = grid.voxel_basis_m(found.object.shape)
    return replace(
        result,
        voxel_size_m=tuple(float(length) for length in np.linalg.norm(basis, axis=1)),
        voxel_basis_m=basis,
        q_centre=grid.q_centre,
        sample_rotation=grid.sample_rotation,
    )


def geometry_behind(found: Reconstruction, scan: RawScan, binning: tuple[int, ...] | None = None) -> Geometry:
    """The geometry of the pattern that an object was made from, by the measurement behind it.

    A result of inphase tells how its pattern lies on the measurement. Of others the Bragg peak is taken for the centre,
    and `binning` says how many measured voxels a voxel of the pattern has, by default one. Raises DataError where the
    measurement has no geometry, or the file tells another binning or another measurement.
    """
    if scan.geometry is None or scan.array.ndim != 3:
        raise DataError(f"{scan.source} says nothing of its geometry: {scan.chosen}")
    placed = found.placement
    if placed is None:
        return scan.geometry.moved(bragg_peak(scan.array, scan.mask)).binned(binning or (1, 1, 1))
    if placed.shape_in != scan.array.shape:
        raise DataError(
            f"{found.source} was made from a measurement of {placed.shape_in}, and {scan.source} has "
            f"{scan.array.shape}: give the one that it was made from, read as it was"
        )
    if binning is not None and binning != placed.bins:
        raise DataError(
            f"{found.source} tells that it was binned by {placed.bins}, and not by {binning}: leave the binning out"
        )
    return placed.geometry(scan.geometry)


def _of_object(found: Reconstruction, geometry: Geometry) -> Geometry:
    """The geometry of the object's own grid, which may be smaller than that of the pattern."""
    if not found.pattern_shape:
        raise DataError(
            f"{found.source}: its voxels were brought onto cubic ones and are no longer those of a pattern: give no "
            "measurement, or the result that it was made from"
        )
    if len(geometry.q_steps) != found.object.ndim:
        raise DataError(f"{found.source}: an object of {found.object.ndim} axes has no geometry of a rocking curve")
    basis = geometry.voxel_basis_m(found.pattern_shape)
    return Geometry.of_voxels(basis, found.object.shape, geometry.q_centre, geometry.sample_rotation)


def _document(found: Reconstruction) -> dict[str, object]:
    document: dict[str, object] = {
        "input": {"source": found.source, "chosen": f"{found.program}: {found.origin}"},
        "metrics": {"final": dict(found.figures)},
    }
    if found.frame != "laboratory":
        document[ORTHOGONALISED] = {"frame": found.frame}
    return dict(json.loads(json.dumps(document)))
