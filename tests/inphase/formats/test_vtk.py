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
    for name in VOLUMES:
        assert np.array_equal(volume(data, name, shape), arrays[name]), name
    assert np.allclose(volume(data, "displacement", shape), arrays["displacement"] * 1e9, equal_nan=True)
    assert text(data, "length_unit") == "nm"
    assert "exp(-i q.r)" in text(data, "phase_sign")


def test_vti_of_an_orthogonal_grid(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Image data with spacing and direction puts every voxel where the basis puts it."""
    write_result(tmp_path / "r.vti", arrays)
    data = opened(vtkXMLImageDataReader(), tmp_path / "r.vti")
    shape = arrays["object"].shape
    assert data.GetDimensions() == (6, 8, 10)
    assert data.GetSpacing() == pytest.approx((3, 2, 1))
    for name in VOLUMES:
        assert np.array_equal(volume(data, name, shape), arrays[name]), name
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


def test_vti_refuses_what_it_cannot_hold(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    """A sheared grid as image data would be wrong by many voxels; nothing is written."""
    arrays["voxel_basis_m"] = SHEARED
    with pytest.raises(DataError, match="write VTS"):
        write_result(tmp_path / "r.vti", arrays)
    assert not list(tmp_path.iterdir())
