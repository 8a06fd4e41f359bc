"""inphase.formats.extension: what a surface at 0.2 of the amplitude meets."""

from pathlib import Path

import numpy as np
import pytest
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkFiltersCore import vtkContourFilter
from vtkmodules.vtkIOXML import vtkXMLStructuredGridReader

from inphase.formats.extension import MEASURED, extended
from inphase.formats.result import Result
from inphase.formats.writers import write_result

BASIS = np.array([[0.2e-9, 0.1e-9, 8e-9], [0, -6e-9, 0.3e-9], [7e-9, 0, 0.4e-9]])
SLOPE = 1e-3 / 100e-9  # of the strain along x: 1e-3 in 100 nm


@pytest.fixture
def soft() -> dict[str, np.ndarray]:
    """A ball whose amplitude falls to zero over four voxels; its strain grows along x and ends at 0.3 of it."""
    shape = (28, 30, 26)
    index = np.stack(np.meshgrid(*(np.arange(n) - n // 2 for n in shape), indexing="ij"), axis=-1)
    amplitude = np.clip((10 - np.linalg.norm(index, axis=-1)) / 4, 0, 1).astype(np.float32)
    inside = amplitude >= 0.3
    strain = np.where(inside, SLOPE * (index @ BASIS)[..., 0], np.nan).astype(np.float32)
    return {
        "object": amplitude.astype(np.complex64), "amplitude": amplitude, "phase": np.zeros(shape, np.float32),
        "phase_flat": np.zeros(shape, np.float32), "support": amplitude > 0.05, "strain": strain,
        "displacement": np.where(inside, np.float32(1e-11), np.nan).astype(np.float32),
        "modulus": np.zeros(shape, np.float32), "mask": np.zeros(shape, np.uint8), "voxel_basis_m": BASIS,
        "voxel_size_m": np.linalg.norm(BASIS, axis=1), "document": np.array("{}"),
    }  # fmt: skip


@pytest.mark.parametrize("level", [0.2, 0.3, 0.5])
def test_every_point_of_a_surface_has_a_colour(soft: dict[str, np.ndarray], tmp_path: Path, level: float) -> None:
    """VTK's own surfaces from 0.2 up meet no NaN, and the strain there is the analytic one to a voxel or two."""
    write_result(tmp_path / "r.vts", soft)
    reader = vtkXMLStructuredGridReader()
    reader.SetFileName(str(tmp_path / "r.vts"))
    reader.Update()
    data = reader.GetOutput()
    data.GetPointData().SetActiveScalars("amplitude")
    surface = vtkContourFilter()
    surface.SetInputData(data)
    surface.SetValue(0, level)
    surface.Update()
    made = surface.GetOutput()
    strain = vtk_to_numpy(made.GetPointData().GetArray("strain"))
    assert len(strain) > 500
    assert np.isfinite(strain).all()
    assert np.isfinite(vtk_to_numpy(made.GetPointData().GetArray("displacement"))).all()
    x = vtk_to_numpy(made.GetPoints().GetData())[:, 0] * 1e-9
    assert np.abs(strain - SLOPE * x).max() < SLOPE * 2 * 8e-9


def test_measured_values_stay_and_are_told(soft: dict[str, np.ndarray]) -> None:
    """The flag is one exactly where the map was known; there nothing has changed, and far away there is nothing."""
    before = Result.of(soft)
    after = extended(before)
    known = np.isfinite(soft["strain"])
    assert np.array_equal(after.derived[MEASURED] != 0, known)
    assert np.array_equal(after.derived["strain"][known], soft["strain"][known])
    assert np.isfinite(after.derived["strain"]).sum() > known.sum()
    assert np.isnan(after.derived["strain"][0, 0, 0])


def test_what_has_no_crystal_stays_as_it_is(soft: dict[str, np.ndarray]) -> None:
    """An empty support: no map, no flag."""
    soft["support"] = np.zeros_like(soft["support"])
    result = Result.of(soft)
    assert extended(result) is result
