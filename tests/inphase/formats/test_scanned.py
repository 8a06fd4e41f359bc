"""A ptychographic scan is not taken for a rocking curve, and no rocking curve for a scan."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from inphase import ptycho
from inphase.errors import DataError
from inphase.formats import read

N = 5
FRAMES = np.ones((N, 8, 10), np.uint16)
PLACES = np.arange(2.0 * N).reshape(N, 2)
ROWS, COLUMNS = PLACES.T
DETECTOR = "entry_1/instrument_1/detector_1"


def written(path: Path, held: dict[str, Any]) -> Path:
    """An archive, or an HDF5 file."""
    if path.suffix == ".npz":
        np.savez(path, **held)
        return path
    with h5py.File(path, "w") as file:
        for name, content in held.items():
            file[name] = content
    return path


MOVES = np.column_stack([PLACES, np.zeros(N)])
SCANS = {
    "PtychoPINN.npz": {"diff3d": FRAMES, "ycoords": ROWS, "xcoords": COLUMNS},
    "last.npz": {"diffraction": np.ones((8, 8, N)), "ycoords": ROWS, "xcoords": COLUMNS},
    "tike.npz": {"data": FRAMES[None], "scan": PLACES[None]},
    "PtychoNN.npz": {"reciprocal": FRAMES, "position": PLACES},
    "ptychodus.npz": {"patterns": FRAMES, "probe_position_y_m": ROWS, "probe_position_x_m": COLUMNS},
    "scan.cxi": {f"{DETECTOR}/data": FRAMES, "entry_1/sample_1/geometry_1/translation": MOVES},
    "data.cxi": {"entry_1/data_1/data": FRAMES, "entry_1/data_1/translation": MOVES},
    "lost.cxi": {
        f"{DETECTOR}/data": FRAMES, "entry_1/data_1/translation": np.where(MOVES == 2, np.nan, MOVES),
    },
    "scan.nxs": {f"{DETECTOR}/data": FRAMES, f"{DETECTOR}/translation": PLACES},
    "ptypy.h5": {"chunks/0/data": FRAMES, "chunks/0/positions": PLACES, "chunks/0/indices": np.arange(N)},
    "dp.hdf5": {"dp": FRAMES, "probe_position_y_m": ROWS, "probe_position_x_m": COLUMNS},
}  # fmt: skip
CURVES = {
    "curve.npz": {"data": FRAMES, "scan": np.array(54), "positions": np.arange(float(N))},
    "other.npz": {"data": FRAMES, "positions": np.ones((3, 2))},
    "still.cxi": {f"{DETECTOR}/data": FRAMES, "entry_1/sample_1/geometry_1/translation": np.ones((N, 3))},
    "mended.cxi": {
        f"{DETECTOR}/data": FRAMES, "entry_1/sample_1/geometry_1/translation": MOVES[[0, 0, 0, 1, 1]],
    },
    "trembling.cxi": {f"{DETECTOR}/data": FRAMES, "entry_1/sample_1/geometry_1/translation": 1e-8 * MOVES},
    "one.cxi": {f"{DETECTOR}/data": FRAMES, "entry_1/sample_1/geometry_1/translation": np.ones(3)},
    "dp.h5": {"dp": FRAMES},
}  # fmt: skip


@pytest.mark.parametrize("name", SCANS)
def test_a_scan_is_no_rocking_curve(tmp_path: Path, name: str) -> None:
    """In every layout that `inphase.ptycho` reads; who names the array means it."""
    path = written(tmp_path / name, SCANS[name])
    with pytest.raises(DataError, match=r"ptychographic scan, patterns with 5 positions in .*ptychograms"):
        read(path)
    frames = next(iter(SCANS[name]))
    assert read(path, dataset=frames).array.size == SCANS[name][frames].size


@pytest.mark.parametrize("name", CURVES)
def test_a_rocking_curve_stays_one(tmp_path: Path, name: str) -> None:
    """Also with a sample that stands still, trembles, or is moved back now and then; ptychography says what it is."""
    path = written(tmp_path / name, CURVES[name])
    np.testing.assert_array_equal(read(path).array, FRAMES)
    if name not in ("still.cxi", "mended.cxi", "trembling.cxi"):
        with pytest.raises(DataError, match=r"positions|translations"):
            ptycho.read(path)


def test_ptychography_names_the_door_of_a_rocking_curve(tmp_path: Path) -> None:
    """Whatever lacks: positions, or patterns under a known name."""
    for name, held in (
        ("a.npz", {"data": FRAMES}),
        ("b.npz", {"frames": FRAMES}),
        ("c.cxi", {f"{DETECTOR}/data": FRAMES}),
        ("d.h5", {"entry/data/data": FRAMES}),
    ):
        with pytest.raises(DataError, match=r"inphase reconstruct.*v1/reconstructions"):
            ptycho.read(written(tmp_path / name, held))
