"""What is written can be read."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from inphase.errors import DataError
from inphase.ptycho.arrays import NAMES
from inphase.ptycho.engine import reconstruct
from inphase.ptycho.formats.written import read_reconstruction, write
from inphase.ptycho.optics import FarField
from inphase.ptycho.options import Options
from inphase.ptycho.reconstruction import Reconstruction
from tests.inphase.ptycho.scenes import measured, small


@pytest.fixture(scope="module")
def result() -> Reconstruction:
    """With pixels that are not square, and two modes."""
    from dataclasses import replace

    whole = replace(measured(small(frames=4)), optics=FarField(1e-10, 1.0, (50e-6, 100e-6)))
    return reconstruct(whole, Options("2*RPIE", modes=2, turn=False))


def test_npz_holds_everything(tmp_path: Path, result: Reconstruction) -> None:
    """Arrays and the report as JSON, without a pickle."""
    write(result, tmp_path / "scan.npz")
    with np.load(tmp_path / "scan.npz") as held:
        for name in ("object", "probe", "coverage", "positions_px", "origin_px", "ids"):
            np.testing.assert_array_equal(held[name], getattr(result, name))
        assert json.loads(str(held["document"]))["r_factor"] == result.report.r_factor


def test_cxi_holds_everything(tmp_path: Path, result: Reconstruction) -> None:
    """Object and modes as images, whose size is in metres, x first."""
    write(result, tmp_path / "scan.cxi")
    with h5py.File(tmp_path / "scan.cxi") as file:
        np.testing.assert_array_equal(file["entry_1/data_1/data"], result.object)
        np.testing.assert_array_equal(file["entry_1/image_3/data"], result.probe[1])
        np.testing.assert_array_equal(file["entry_1/sample_1/geometry_1/positions_px"], result.positions_px)
        rows, columns = result.object.shape
        expected = [columns * 1e-10 / (32 * 100e-6), rows * 1e-10 / (32 * 50e-6)]
        np.testing.assert_allclose(file["entry_1/image_1/image_size"], expected)
        document = json.loads(file["entry_1/image_1/process_1/note_1/data"][()])
    assert document["modes"] == list(result.report.modes)


@pytest.mark.parametrize("name", ["scan.tif", "scan", "no/folder/scan.cxi"])
def test_other_outputs_are_refused(tmp_path: Path, result: Reconstruction, name: str) -> None:
    """Endings, and folders that are not there."""
    with pytest.raises(DataError):
        write(result, tmp_path / name)


def test_npz_is_read_back(tmp_path: Path, result: Reconstruction) -> None:
    """All of it, the report too."""
    write(result, tmp_path / "scan.npz")
    found = read_reconstruction(tmp_path / "scan.npz")
    assert found.report == result.report
    for name in NAMES:
        np.testing.assert_array_equal(getattr(found, name), getattr(result, name))


def test_what_is_no_reconstruction_is_told_apart(tmp_path: Path, result: Reconstruction) -> None:
    """A scan, a report of something else, a file that is not there."""
    scan, other = tmp_path / "scan.npz", tmp_path / "other.npz"
    np.savez(scan, probe=result.probe, diff3d=np.ones((4, 8, 8)))
    with pytest.raises(DataError, match="lacks coverage, document, ids, object"):
        read_reconstruction(scan)
    np.savez(other, **{name: getattr(result, name) for name in NAMES}, document='{"chi2": 1}')
    with pytest.raises(DataError, match="its report is none"):
        read_reconstruction(other)
    with pytest.raises(DataError, match="no such file"):
        read_reconstruction(tmp_path / "nothing.npz")
