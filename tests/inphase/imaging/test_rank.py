"""Patterns of two axes take the same way as rocking curves: read, prepared, refined, judged, written."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
import tifffile
from numpy.typing import NDArray

import inphase
from inphase.ambiguity import align, flattened
from inphase.errors import DataError
from inphase.formats.npz import read_result
from inphase.formats.reconstruction import read_reconstruction
from inphase.geometry import Geometry
from inphase.imaging.reconstruct import RawScan
from inphase.metrics import phase_error
from inphase.models.repository import Repository
from inphase.models.session import Sessions
from tests.flat import counts, crystal

RECIPE = "100*RAAR+60*HIO+40*ER | SW(every=10,threshold=0.2,sigma=2..1)"


@pytest.fixture(scope="module")
def frame() -> NDArray[np.int32]:
    """One detector frame of odd sides, the peak off its centre."""
    return counts()


def saved(folder: Path, frame: NDArray[np.int32]) -> dict[str, Path]:
    """The frame in every kind of file."""
    paths = {name: folder / name for name in ("f.npy", "stack.npy", "f.npz", "f.tif", "f.h5", "f.cxi", "f.mat")}
    np.save(paths["f.npy"], frame)
    np.save(paths["stack.npy"], frame[None])
    np.savez(paths["f.npz"], data=frame)
    tifffile.imwrite(paths["f.tif"], frame)
    with h5py.File(paths["f.h5"], "w") as file:
        file["entry/data/data"] = frame
    with h5py.File(paths["f.cxi"], "w") as file:
        file["entry_1/instrument_1/detector_1/data"] = frame
    scipy.io.savemat(paths["f.mat"], {"data": frame})
    return paths


def test_every_file_gives_the_frame(tmp_path: Path, frame: NDArray[np.int32]) -> None:
    """npy, a stack of one frame, npz, TIFF, HDF5, CXI, MATLAB: the same voxels."""
    for name, path in saved(tmp_path, frame).items():
        np.testing.assert_array_equal(inphase.read(path).array.squeeze(), frame, err_msg=name)


def test_a_frame_becomes_the_image_of_the_projection(frame: NDArray[np.int32]) -> None:
    """From random starts: the object of the simulation in amplitude and phase. A stack of one frame is the same."""
    result = inphase.reconstruct(frame, start="random", starts=6, refine=RECIPE)
    report = result.report
    assert result.object.shape == (64, 64)
    assert (report.input.shape, len(report.preprocess.binning)) == (frame.shape, 2)
    assert report.trust is not None
    assert report.trust.level == "high", report.trust
    scale = tuple(64 * b / n for n, b in zip(frame.shape, report.preprocess.binning, strict=True))
    # a peak that lies between voxels is a ramp of the object's phase
    expected, _ = flattened(crystal((64, 64), scale))
    aligned, found = align(flattened(result.object)[0], expected)
    # sharp edges drawn on voxels of another size: what twice the photons do not improve
    assert found.score > 0.97
    assert phase_error(aligned, expected, np.abs(expected) > 0.5) < 0.15
    again = inphase.reconstruct(frame[None], start="random", starts=6, refine=RECIPE)
    np.testing.assert_array_equal(again.object, result.object)


def test_a_frame_has_voxels_and_no_strain(frame: NDArray[np.int32]) -> None:
    """Two steps of q are two steps of the projection, 2 pi / (N dq) long, in the plane of the frame."""
    steps = np.array([[0.0, 2e5, 0.0], [3e5, 0.0, 0.0]])
    scan = RawScan(frame, Geometry(steps, np.array([0.0, 2.7e10, 0.0])), "test", "")
    result = inphase.reconstruct(scan, start="random", starts=1, refine="5*ER")
    report = result.report
    assert report.preprocess.voxel_size_m is not None
    bins = report.preprocess.binning
    np.testing.assert_allclose(report.preprocess.voxel_size_m, 2 * np.pi / (64 * np.array([2e5, 3e5]) * bins))
    assert result.arrays["voxel_basis_m"].shape == (2, 3)
    assert report.strain is None
    assert "projection" in str(report.strain_reason)


@pytest.mark.parametrize("ending", ["npz", "cxi", "vts", "vti", "mat", "cohere"])
def test_an_image_is_written_in_every_format(tmp_path: Path, frame: NDArray[np.int32], ending: str) -> None:
    """And read back with the same object, by ours where we read it and by vtk and scipy."""
    result = inphase.reconstruct(frame, start="random", starts=1, refine="5*ER")
    path = tmp_path / f"image.{ending}"
    inphase.write(result, path)
    if ending == "npz":
        np.testing.assert_array_equal(read_result(path).object, result.object)
    elif ending in ("vts", "vti"):
        vtk = pytest.importorskip("vtk")
        reader = vtk.vtkXMLStructuredGridReader() if ending == "vts" else vtk.vtkXMLImageDataReader()
        reader.SetFileName(str(path))
        reader.Update()
        assert reader.GetOutput().GetExtent() == (0, 63, 0, 63, 0, 0)
        values = np.array(reader.GetOutput().GetPointData().GetArray("amplitude")).reshape(64, 64)
        np.testing.assert_array_equal(values, result.amplitude)
    elif ending == "mat":
        np.testing.assert_array_equal(scipy.io.loadmat(path)["object"], result.object)
    elif ending == "cxi":
        with h5py.File(path) as file:
            np.testing.assert_array_equal(file["entry_1/image_1/data"][()], result.object)
            assert file["entry_1/image_1/dimensionality"][()] == 2
    else:
        shape = result.object / np.abs(result.object).max()
        np.testing.assert_allclose(read_reconstruction(path).object, shape, atol=1e-6)


def test_a_network_for_volumes_takes_no_frame(models_dir: Path, frame: NDArray[np.int32]) -> None:
    """It is said, with what to do, before anything is computed."""
    with pytest.raises(DataError, match=r"2 axes .* start=random"):
        inphase.reconstruct(frame, models=Sessions(Repository(models_dir), threads=1))
