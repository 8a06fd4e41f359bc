"""inphase.formats.entries: several scans in one file."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from inphase.errors import DataError
from inphase.formats import read

FRAMES = np.random.default_rng(0).poisson(3, (20, 7, 8)).astype(np.uint32)
CURVE = "ascan eta 17.9 18.1 15 0.5"
MESH = "amesh pix -1 1 4 piy -1 1 3 0.1"


def bliss(path: Path, entries: dict[str, tuple[str, int, dict[str, np.ndarray]]]) -> Path:
    """Entries by name: title, frames (from FRAMES, the number of the entry added), positions."""
    with h5py.File(path, "w") as file:
        for number, (name, (title, count, motors)) in enumerate(entries.items()):
            group = file.create_group(name)
            group.attrs["NX_class"] = "NXentry"
            if title:
                group["title"] = title
            group["instrument/mpx1x4/data"] = FRAMES[:count] + number
            group["measurement/mpx1x4"] = h5py.SoftLink(f"/{name}/instrument/mpx1x4/data")
            group["instrument/positioners/mu"] = 0.0
            for motor, positions in motors.items():
                group[f"instrument/positioners/{motor}"] = positions
                group[f"measurement/{motor}"] = h5py.SoftLink(f"/{name}/instrument/positioners/{motor}")
    return path


def turning(count: int) -> dict[str, np.ndarray]:
    """A circle's positions."""
    return {"eta": 18 + 0.01 * np.arange(count)}


@pytest.mark.parametrize(("mesh", "curve"), [("1.1", "2.1"), ("S1_1.1", "S1_2.1"), ("3.1", "12.1")])
def test_the_rocking_curve_is_taken_and_not_the_larger_mesh(tmp_path: Path, mesh: str, curve: str) -> None:
    """By the titles, whatever the entries are called; what was taken and what was passed over is said."""
    path = bliss(tmp_path / "a.h5", {mesh: (MESH, 20, {}), curve: (CURVE, 16, turning(16))})
    scan = read(path)
    assert np.array_equal(scan.array, FRAMES[:16] + 1)
    assert (
        f"the only rocking curve: {curve} ({CURVE}), 16 frames; passed over {mesh} ({MESH}), 20 frames" in scan.chosen
    )


@pytest.mark.parametrize(
    ("title", "motors"),
    [
        ("dscan eta -0.1 0.1 15 0.5", {}),
        ("fscan mu 0 0.01 16 0.1", {}),
        ("7 ascan  th 0 1 15 1", {}),
        ("", turning(16)),
        ("my very own scan", {"om": np.arange(16.0)}),
    ],
)
def test_what_makes_a_rocking_curve(tmp_path: Path, title: str, motors: dict[str, np.ndarray]) -> None:
    """A command that turns a circle, or a circle that has a position for each frame."""
    others = {"2.1": ("timescan 0.1", 20, {}), "3.1": ("ascan piz -1 1 19 1", 20, {"piz": np.arange(20.0)})}
    path = bliss(tmp_path / "a.h5", {"1.1": (title, 16, motors), **others})
    assert np.array_equal(read(path).array, FRAMES[:16])


def test_several_rocking_curves_are_listed(tmp_path: Path) -> None:
    """None is guessed; a number takes each."""
    path = bliss(
        tmp_path / "a.h5", {"1.1": (MESH, 20, {}), "2.1": (CURVE, 16, turning(16)), "5.1": (CURVE, 12, turning(12))}
    )
    with pytest.raises(DataError, match=r"several rocking curves: 2\.1 \(ascan eta .*\), 16 frames; 5\.1 .*--scan 2"):
        read(path)
    assert np.array_equal(read(path, scan=5).array, FRAMES[:12] + 2)
    assert np.array_equal(read(path, scan=1).array, FRAMES)
    with pytest.raises(DataError, match=r"no frames of scan 9; there are 1\.1, 2\.1, 5\.1"):
        read(path, scan=9)


def test_only_meshes(tmp_path: Path) -> None:
    """Titles that say that there is no rocking curve are believed."""
    path = bliss(tmp_path / "a.h5", {"1.1": (MESH, 20, {}), "2.1": (MESH, 12, {})})
    with pytest.raises(DataError, match=r"none of them a rocking curve by its title: 1\.1 \(amesh"):
        read(path)


def test_scan_sample_and_detector_pick(tmp_path: Path) -> None:
    """Entries of two samples with the same number, parts of one scan, two detectors."""
    path = bliss(
        tmp_path / "a.h5",
        {name: (CURVE, 16, turning(16)) for name in ("S1_2.1", "S2_2.1", "S2_2.2", "S2_12.1")},
    )
    with h5py.File(path, "a") as file:
        file["S2_2.1/measurement/eiger"] = FRAMES[:16] + 50
    picked = read(path, scan=2, sample="S2", detector="mpx1x4")
    assert np.array_equal(picked.array, FRAMES[:16] + 1)
    assert np.array_equal(read(path, scan=2, sample="S2", detector="eiger").array, FRAMES[:16] + 50)
    with pytest.raises(DataError, match="no frames of detector=andor; it has S1_2"):
        read(path, scan=2, sample="S1", detector="andor")


def test_a_number_is_no_matter_where_entries_have_none(tmp_path: Path) -> None:
    """--scan may be meant for the text file beside an Eiger's master, whose entry is called `entry`."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["entry/data/data"] = FRAMES
    assert np.array_equal(read(tmp_path / "a.h5", scan=7).array, FRAMES)


@pytest.mark.parametrize("names", [("1.1", "2.1"), ("S1_1.1", "S1_2.1")])
def test_id01_reads_entries_with_and_without_the_samples_name(tmp_path: Path, names: tuple[str, str]) -> None:
    """The dataset file and the sample's master: the rocking curve with its motors, also where a mesh is beside it."""
    path = bliss(tmp_path / "a.h5", {names[0]: (MESH, 20, {}), names[1]: (CURVE, 16, turning(16))})
    with h5py.File(path, "a") as file:
        for motor, position in {"phi": 3.0, "nu": 0.2, "delta": 36.0, "mononrj": 9.0}.items():
            file[f"{names[1]}/instrument/positioners/{motor}"] = position
        for key, value in {"distance": 0.8, "x_pixel_size": 55e-6, "y_pixel_size": 55e-6}.items():
            file[f"{names[1]}/instrument/mpx1x4/{key}"] = value
    for number in (None, 2):
        scan = read(path, beamline="ID01", scan=number)
        assert np.array_equal(scan.array, FRAMES[:16] + 1)
        assert scan.geometry is not None
        assert scan.metadata["scanned"] == "eta, 0.01 deg per frame"
        # the longest side of a voxel in q: a step of the curve turns Q by 0.01 degrees
        q = np.linalg.norm(scan.geometry.q_centre)
        assert np.linalg.norm(scan.geometry.q_steps[0]) == pytest.approx(q * np.radians(0.01), rel=1e-3)
