"""inphase.formats.described and the built-in beamlines: small files of each layout, written here, and one real scan."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from inphase.errors import DataError
from inphase.formats import Reading, read, read_as
from inphase.formats.beamline import builtin
from inphase.pattern import Domain
from tests.inphase.formats.layouts import GIVEN, WRITERS, expected, frames, id01, same_geometry


@pytest.mark.parametrize("name", WRITERS)
def test_frames_and_geometry_of_each_layout(tmp_path: Path, name: str) -> None:
    """The right scan's frames, and the q-space that its motors and detector give."""
    path = WRITERS[name](tmp_path)
    given = {} if name in ("ID01", "P10") else GIVEN
    scan = read(path, beamline=name.lower(), scan=7 if name == "ID01" else None, set=given)
    assert np.array_equal(scan.array, frames(7))
    same_geometry(scan, expected(name, (6.0 - 6, 5.0 - 5)))
    assert scan.metadata["beamline"] == name


def test_34idc_real_scan(real_data: Path) -> None:
    """The folder of scan 54, its number in the frames' names, the SPEC file beside it:
    Au (111) within the header's 1 %.
    """
    scan = read(real_data / "aps34idc_scan54" / "raw_tif", beamline="34-ID-C")
    assert scan.array.shape == (201, 256, 256)
    assert scan.geometry is not None
    assert scan.geometry.q_centre is not None
    assert 2e10 * np.pi / np.linalg.norm(scan.geometry.q_centre) == pytest.approx(2.355, rel=0.015)
    assert scan.geometry.voxel_size_m((201, 256, 256)) == pytest.approx((15.1e-9, 5.0e-9, 5.0e-9), rel=0.02)
    assert scan.metadata["scan"] == "54"
    named = real_data / "aps34idc_scan54" / "scan54.spec"
    for frames_of_it in ("raw_tif", "S0054_raw_int32.npz"):  # the folder, and an array made of it
        by_option = read(real_data / "aps34idc_scan54" / frames_of_it, spec=named, scan=54)
        assert by_option.geometry is not None
        assert np.array_equal(by_option.geometry.q_steps, scan.geometry.q_steps)


def test_two_scans_of_one_file(tmp_path: Path) -> None:
    """Without a number the error lists what there is; a wrong one too; each number gives its own frames."""
    path = id01(tmp_path)
    with pytest.raises(DataError, match=r"several scans: .*scan 7.*scan 8"):
        read(path, beamline="ID01")
    with pytest.raises(DataError, match=r"no frames of ID01 at .* with scan=9; it holds S1_7\.1"):
        read(path, beamline="ID01", scan=9)
    assert np.array_equal(read(path, beamline="ID01", scan=8).array, frames(8))


def test_a_dataset_that_is_named_brings_its_own_motors(tmp_path: Path) -> None:
    """The scan's number follows from the dataset's path; where it does not, no other scan's motors are taken."""
    path = id01(tmp_path)
    with h5py.File(path, "a") as file:
        file["copy"] = frames(7)
    scan = read(path, dataset="S1_7.1/measurement/mpx1x4", beamline="ID01")
    assert scan.metadata["scan"] == "7"
    same_geometry(scan, expected("ID01", (0.0, 0.0)))
    assert "no geometry" in read(path, dataset="copy", beamline="ID01").chosen


@pytest.mark.parametrize(
    ("reading", "word"),
    [
        (Reading(beamline="ID99"), "no beamline 'ID99': known are"),
        (Reading(beamline="ID01", set={"tth": 1.0}), "no 'tth' to set; known are mu, eta"),
        (Reading(beamline="ID01", set={"energy": float("nan")}), "energy"),
        (Reading(beamline="ID01", set={"pixel_row": 1e-6}), "given together"),
        (Reading(beamline="ID01", scan=7, sample="../../etc"), "is no name"),
        (Reading(beamline="ID01", scan=7, detector="nothing"), "detector=nothing"),
        (Reading(beamline="ID01", scan=7, spec=Path("x.spec")), "spec= has no place"),
    ],
)
def test_impossible_readings(tmp_path: Path, reading: Reading, word: str) -> None:
    """Each mistake has its own message."""
    with pytest.raises(DataError, match=word):
        read_as(id01(tmp_path), reading, Domain.COUNTS)


def test_every_builtin_is_tested() -> None:
    """A description without a file of its layout here would be a guess;
    ID27's frames are ID01's with another detector.
    """
    assert {beamline.name for beamline in builtin().values()} == {*WRITERS, "34-ID-C", "ID27"}
