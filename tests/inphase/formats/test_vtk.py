"""inphase.formats.vtk, read back by VTK's own readers: the ones that ParaView uses."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkIOXML import vtkXMLImageDataReader, vtkXMLStructuredGridReader

from inphase.errors import DataError
from inphase.formats.writers import write_result

SHEARED = np.array([[0.2e-9, 0.1e-9, 1e-9], [0, -2e-9, 0.3e-9], [3e-9, 0, 0.4e-9]])
VOLUMES = ("amplitude", "phase", "phase_flat", "support", "strain")


def opened(reader: Any, path: Path) -> Any:
    """What a reader makes of a file."""
    reader.SetFileName(str(path))
    reader.Update()
    assert reader.GetErrorCode() == 0
    return reader.GetOutput()


def volume(data: Any, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A point array in our axes: VTK's first index runs fastest, which is our last."""
    return vtk_to_numpy(data.GetPointData().GetArray(name)).reshape(shape)


def text(data: Any, name: str) -> str:
    """A string of the field data."""
    return str(data.GetFieldData().GetAbstractArray(name).GetValue(0))


def test_vts_keeps_the_sheared_grid(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Every value is where index @ voxel_basis_m puts it, in nanometres around the array's centre."""
    arrays["voxel_basis_m"] = SHEARED
    write_result(tmp_path / "r.vts", arrays)
    data = opened(vtkXMLStructuredGridReader(), tmp_path / "r.vts")
    shape = arrays["object"].shape
    index = np.stack(np.meshgrid(*(np.arange(n) - n // 2 for n in shape), indexing="ij"), axis=-1)
    points = vtk_to_numpy(data.GetPoints().GetData()).reshape(*shape, 3)
    assert np.allclose(points, index @ SHEARED * 1e9, atol=1e-5)
    known = np.isfinite(arrays["strain"])  # elsewhere the maps are continued
    assert np.array_equal(volume(data, "measured", shape) != 0, known)
    for name in VOLUMES:
        kept = known if name in ("phase_flat", "strain") else np.ones(shape, bool)
        assert np.array_equal(volume(data, name, shape)[kept], arrays[name][kept]), name
    assert np.allclose(volume(data, "displacement", shape)[known], arrays["displacement"][known] * 1e9)
    assert text(data, "length_unit") == "nm"
    assert "exp(-i q.r)" in text(data, "phase_sign")


def test_vti_of_an_orthogonal_grid(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Image data with spacing and direction puts every voxel where the basis puts it."""
    write_result(tmp_path / "r.vti", arrays)
    data = opened(vtkXMLImageDataReader(), tmp_path / "r.vti")
    shape = arrays["object"].shape
    assert data.GetDimensions() == (6, 8, 10)
    assert data.GetSpacing() == pytest.approx((3, 2, 1))
    known = np.isfinite(arrays["strain"])  # elsewhere the maps are continued
    assert np.array_equal(volume(data, "measured", shape) != 0, known)
    for name in VOLUMES:
        kept = known if name in ("phase_flat", "strain") else np.ones(shape, bool)
        assert np.array_equal(volume(data, name, shape)[kept], arrays[name][kept]), name
    place = [0.0] * 3
    for index in ((0, 0, 0), (1, 2, 3), (9, 7, 5)):
        data.TransformIndexToPhysicalPoint(*reversed(index), place)
        expected = (np.array(index) - np.array(shape) // 2) @ arrays["voxel_basis_m"] * 1e9
        assert place == pytest.approx(list(expected), abs=1e-6)


@pytest.mark.parametrize("ending", ["vti", "vts"])
def test_without_geometry_a_voxel_is_the_unit(tmp_path: Path, arrays: dict[str, np.ndarray], ending: str) -> None:
    """No invented lengths: unit voxels, and the file says so."""
    arrays["voxel_size_m"] = np.full(3, np.nan)
    arrays["voxel_basis_m"] = np.full((3, 3), np.nan)
    write_result(tmp_path / f"r.{ending}", arrays)
    reader = vtkXMLImageDataReader() if ending == "vti" else vtkXMLStructuredGridReader()
    data = opened(reader, tmp_path / f"r.{ending}")
    assert text(data, "length_unit") == "voxel"
    assert data.GetBounds() == pytest.approx((-3, 2, -4, 3, -5, 4))


def ball(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A Gaussian density of 6 nm around a point off the centre, with a phase that grows along x,
    on the sheared grid.
    """
    shape = (40, 36, 32)
    index = np.stack(np.meshgrid(*(np.arange(n) - n // 2 for n in shape), indexing="ij"), axis=-1)
    r = index @ SHEARED * 1e9
    field = (density(r) * np.exp(0.05j * r[..., 0])).astype(np.complex64)
    zero = np.zeros(shape, np.float32)
    return arrays | {
        "object": field, "amplitude": np.abs(field), "phase": np.angle(field), "phase_flat": zero, "strain": zero,
        "displacement": zero, "modulus": zero, "mask": zero.astype(np.uint8), "support": density(r) > 0.05,
        "voxel_basis_m": SHEARED, "voxel_size_m": np.linalg.norm(SHEARED, axis=1),
    }  # fmt: skip


def density(r: np.ndarray) -> np.ndarray:
    """At places (..., 3) in nanometres."""
    return np.exp(-(((r - [4.0, -3.0, 2.0]) / 6.0) ** 2).sum(axis=-1))


def test_vti_of_a_sheared_grid_is_where_it_belongs(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Brought onto cubic voxels, the density at every place VTK gives is the analytic one;
    so is the phase's gradient.
    """
    write_result(tmp_path / "r.vti", ball(arrays))
    data = opened(vtkXMLImageDataReader(), tmp_path / "r.vti")
    shape = data.GetDimensions()[::-1]
    spacing = data.GetSpacing()
    assert np.ptp(spacing) < 1e-6
    places = np.array([data.GetPoint(i) for i in range(data.GetNumberOfPoints())]).reshape(*shape, 3)
    found = volume(data, "amplitude", shape)
    inside = volume(data, "support", shape) != 0
    assert inside.sum() > 1000
    # cubic splines at 6 voxels a width: 1 % of the maximum
    assert np.abs(found - density(places))[inside].max() < 0.01
    step = np.angle(np.exp(1j * np.diff(volume(data, "phase", shape), axis=2)))[inside[:, :, 1:]]
    assert np.median(step) == pytest.approx(0.05 * spacing[0], rel=0.02)
    assert "cubic" in text(data, "grid")
    assert {"strain", "displacement", "d_spacing"} <= {
        data.GetPointData().GetArrayName(i) for i in range(data.GetPointData().GetNumberOfArrays())
    }


def test_vti_without_a_support(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Nothing to bring onto another grid: an error, and nothing is written."""
    with pytest.raises(DataError, match="support is empty"):
        write_result(tmp_path / "r.vti", ball(arrays) | {"support": np.zeros((40, 36, 32), bool)})
    assert not list(tmp_path.iterdir())
