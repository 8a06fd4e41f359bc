"""HDF5 files of several programs."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from inphase.errors import DataError
from inphase.ptycho.engine import reconstruct
from inphase.ptycho.formats import read
from inphase.ptycho.optics import NearField
from inphase.ptycho.options import Options
from tests.inphase.ptycho.scenes import small

SCENE = small(frames=5)
COUNTS = SCENE.counts.astype(np.uint32)
PIXEL = 1e-10 * 2 / (32 * 50e-6)  # 1 A, 2 m, 32 pixels of 50 um
METRES = SCENE.positions * PIXEL
DETECTOR = "entry_1/instrument_1/detector_1"


def cxi(path: Path, **change: object) -> Path:
    """As CXI has it: the sample moves against the window, z comes last, energies are joules, 1 in the mask is bad."""
    mask = np.zeros((32, 32), np.uint32)
    mask[4, 5] = 1
    held: dict[str, object] = {
        f"{DETECTOR}/data": COUNTS,
        f"{DETECTOR}/distance": 2.0,
        f"{DETECTOR}/x_pixel_size": 50e-6,
        f"{DETECTOR}/y_pixel_size": 50e-6,
        f"{DETECTOR}/mask": mask,
        f"{DETECTOR}/basis_vectors": np.array([[0, 50e-6], [-50e-6, 0], [0, 0]]),
        "entry_1/instrument_1/source_1/energy": 12.39841984e3 * 1.602176634e-19,
        "entry_1/sample_1/geometry_1/translation": np.column_stack([-METRES[:, 1], METRES[:, 0], 0 * METRES[:, 0]]),
        "entry_1/instrument_1/source_1/illumination": SCENE.probe,
    }
    with h5py.File(path, "w") as file:
        for name, content in (held | {name.replace("__", "/"): content for name, content in change.items()}).items():
            if content is not None:
                file[name] = content
    return path


def test_cxi_is_read_by_its_basis_vectors(tmp_path: Path) -> None:
    """Columns against x, rows down: positions, pixel, mask and probe come out as they were."""
    found = read(cxi(tmp_path / "scan.cxi"))
    np.testing.assert_allclose(found.positions_px, SCENE.positions, rtol=1e-6)
    assert found.pixel_m == pytest.approx((PIXEL, PIXEL))
    assert (found.mask[:, 4, 5] == 1).all()
    assert np.count_nonzero(found.mask[0]) == 1
    assert found.probe is not None
    np.testing.assert_allclose(found.probe, SCENE.probe, rtol=1e-5)


def test_cxi_that_does_not_tell_how_the_detector_lies_is_turned_to_fit(tmp_path: Path) -> None:
    """What was assumed is noted, and the first frames put it right."""
    path = cxi(tmp_path / "scan.cxi", **{f"{DETECTOR}/basis_vectors": None})
    found = read(path)
    assert any("does not tell how the detector lies" in note for note in found.notes)
    result = reconstruct(found, Options("2*RPIE"))
    np.testing.assert_allclose(
        result.positions_px - result.positions_px.mean(axis=0),
        SCENE.positions - SCENE.positions.mean(axis=0),
        rtol=1e-4,
    )
    assert any("were turned" in note for note in result.report.notes)


def test_near_field_is_what_the_caller_says(tmp_path: Path) -> None:
    """Positions are counted in the pixels of the cone, 1 mm behind its focus."""
    found = read(cxi(tmp_path / "scan.cxi"), focus_m=1e-3)
    assert isinstance(found.optics, NearField)
    side = 50e-6 / (1 + 2.0 / 1e-3)
    assert found.pixel_m == pytest.approx((side, side))
    np.testing.assert_allclose(found.positions_px, METRES / side, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "unit", "factor"),
    [
        (f"{DETECTOR}/distance", "mm", 1e3),
        (f"{DETECTOR}/x_pixel_size", "um", 1e6),
        (f"{DETECTOR}/y_pixel_size", "µm", 1e6),
        ("entry_1/instrument_1/source_1/energy", "keV", 1 / 1.602176634e-16),
        ("entry_1/instrument_1/source_1/energy", b"eV", 1 / 1.602176634e-19),
        ("entry_1/sample_1/geometry_1/translation", "nm", 1e9),
        ("entry_1/sample_1/geometry_1/translation", "m", 1),
    ],
)
def test_units_of_a_file_are_read(tmp_path: Path, name: str, unit: object, factor: float) -> None:
    """As NeXus has them, beside each number: the scan is the one in the units of CXI."""
    path = cxi(tmp_path / "scan.cxi")
    with h5py.File(path, "r+") as file:
        value = file[name][()] * factor
        del file[name]
        file[name] = value
        file[name].attrs["units"] = unit
    found = read(path)
    np.testing.assert_allclose(found.positions_px, SCENE.positions, rtol=1e-6)
    assert found.pixel_m == pytest.approx((PIXEL, PIXEL))
    assert found.optics is not None
    assert found.optics.distance_m == pytest.approx(2.0)


TRANSLATION = "entry_1/sample_1/geometry_1/translation"


@pytest.mark.parametrize(("unit", "factor"), [("mm", 1e3), ("um", 1e6), ("nm", 1e9)])
def test_positions_in_another_unit_than_the_file_says(tmp_path: Path, unit: str, factor: float) -> None:
    """Numbers of which the file says nothing, or nonsense, are metres in CXI: they are refused with the unit which they
    have, and taken in it where the caller says so.
    """
    path = cxi(tmp_path / "scan.cxi")
    with h5py.File(path, "r+") as file:
        file[TRANSLATION][...] *= factor
    with pytest.raises(DataError, match=rf"Probably they are in {unit} \(a typical step of .*--unit {unit}"):
        read(path)
    found = read(path, unit=unit)
    np.testing.assert_allclose(found.positions_px, SCENE.positions, rtol=1e-6)
    assert f"taken in {unit}, as the caller says; the file has them in m" in " ".join(found.notes)
    with h5py.File(path, "r+") as file:
        file[TRANSLATION].attrs["units"] = "cm"
    np.testing.assert_allclose(read(path, unit=unit).positions_px, SCENE.positions, rtol=1e-6)
    with h5py.File(path, "r+") as file:
        file[TRANSLATION][...] /= factor
    with pytest.raises(DataError, match=r"all positions lie within .*Probably they are in m "):
        read(path, unit=unit)


def test_units_that_nobody_knows_are_refused(tmp_path: Path) -> None:
    """With the dataset."""
    path = cxi(tmp_path / "scan.cxi")
    with h5py.File(path, "r+") as file:
        file[f"{DETECTOR}/distance"].attrs["units"] = "steps"
    with pytest.raises(DataError, match="detector_1/distance': is in 'steps'"):
        read(path)


def test_ptypy_chunks_are_put_together(tmp_path: Path) -> None:
    """Ten chunks in the order of their numbers, frames by their indices; weight 0 is bad."""
    path = tmp_path / "scan.ptyd"
    weights = np.ones((32, 32))
    weights[7] = 0
    with h5py.File(path, "w") as file:
        file["meta/energy"], file["meta/distance"], file["meta/psize"] = 12.39841984, 2.0, np.array([50e-6, 50e-6])
        file["meta/weight2d"] = weights
        for number, frames in enumerate(np.array_split(np.arange(25), 12)):
            chunk = file.create_group(f"chunks/{number}")
            chunk["data"], chunk["positions"] = COUNTS[frames], METRES[frames]
            chunk["indices"], chunk["weights"] = frames + 100, np.array([])
    found = read(path)
    np.testing.assert_allclose(found.positions_px, SCENE.positions, rtol=1e-6)
    np.testing.assert_array_equal(found.ids, np.arange(100, 125))
    np.testing.assert_array_equal(found.patterns[:, 6], COUNTS[:, 6])
    assert (found.mask[:, 7] == 1).all()


def test_pair_of_ptychodus_is_one_measurement(tmp_path: Path) -> None:
    """Patterns in one file, positions, probe and pixel in the other; without it the message names what is missing."""
    with h5py.File(tmp_path / "scan_dp.hdf5", "w") as file:
        file["dp"] = COUNTS
    with pytest.raises(DataError, match=r"scan_para\.hdf5"):
        read(tmp_path / "scan_dp.hdf5")
    with h5py.File(tmp_path / "scan_para.hdf5", "w") as file:
        file["probe"], file["object"] = SCENE.probe[None], np.ones((1, 8, 8), complex)
        file["object"].attrs["pixel_height_m"] = file["object"].attrs["pixel_width_m"] = PIXEL
        file["probe_position_y_m"], file["probe_position_x_m"] = METRES.T
        file["probe_position_y_m"].attrs["units"] = "m"
    found = read(tmp_path / "scan_dp.hdf5")
    np.testing.assert_allclose(found.positions_px, SCENE.positions, rtol=1e-6)
    assert found.probe is not None
    assert found.probe.shape == (1, 32, 32)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({f"{DETECTOR}/data": None}, "no ptychographic measurement"),
        ({"entry_1/sample_1/geometry_1/translation": None}, "no positions"),
        ({"entry_1/sample_1/geometry_1/translation": np.zeros((25, 4))}, r"\(n, 3\)"),
        ({f"{DETECTOR}/distance": None}, "give energy"),
        ({f"{DETECTOR}/mask": np.ones((32, 32), np.uint32)}, "inverted"),
        ({f"{DETECTOR}/mask": np.zeros((32, 32))}, "bits in integers"),
        ({f"{DETECTOR}/mask": 1 - np.eye(32, dtype=np.uint32)}, "masks 96.9%"),
        ({f"{DETECTOR}/data": COUNTS.astype(complex)}, "real numbers"),
        ({"entry_1/sample_1/geometry_1/translation": np.zeros((25, 3), complex)}, "real numbers"),
        ({"entry_1/instrument_1/source_1/energy": 8000.0}, r"scan.cxi: a wavelength of .* Is the unit right"),
        ({f"{DETECTOR}/distance": 2000.0}, "a distance of 2e.03 m is none"),
    ],
)
def test_what_is_missing_or_does_not_fit_is_told(tmp_path: Path, change: dict[str, object], says: str) -> None:
    """In a file that is one otherwise."""
    with pytest.raises(DataError, match=says):
        read(cxi(tmp_path / "scan.cxi", **change))


@pytest.mark.parametrize(("name", "says"), [("scan.tif", "unknown file type"), ("away.cxi", "no such file")])
def test_other_files_are_refused(tmp_path: Path, name: str, says: str) -> None:
    """By their ending, or because they are not there."""
    (tmp_path / "scan.tif").write_bytes(b"II")
    with pytest.raises(DataError, match=says):
        read(tmp_path / name)


def test_real_near_field_measurement_is_reconstructed(real_data: Path) -> None:
    """A CXI of another program, 3.65 mm behind the focus: R far below that of the negated positions (0.12)."""
    path = real_data / "p25_nearfield/PETRAIII_P25_Near_Field_Ptycho.cxi"
    found = read(path, focus_m=3.65e-3)
    assert np.count_nonzero(found.mask[0]) == 5
    near = np.abs(found.positions_px - np.median(found.positions_px, axis=0)).max(axis=1) < 30
    result = reconstruct(found.only(near), Options("8*EPIE", turn=False, batch=8))
    assert result.report.pixel_m == pytest.approx((178.7e-9, 178.7e-9), rel=1e-3)
    assert result.report.r_factor < 0.095
