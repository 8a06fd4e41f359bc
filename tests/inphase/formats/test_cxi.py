"""inphase.formats.cxi"""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from inphase import fourier
from inphase.errors import DataError
from inphase.formats import read
from inphase.formats.reconstruction import read_reconstruction
from inphase.formats.scan import Saturation
from inphase.formats.writers import write_result
from inphase.pattern import MaskState
from inphase.preprocess.validate import pattern_from_array

VOLUME = np.random.default_rng(0).poisson(3, (9, 10, 11)).astype(np.uint32)
REAL = ("strain", "displacement")  # NaN outside the crystal
RAW = "entry_1/instrument_1/detector_1"


def raw_file(path: Path, mask: np.ndarray | None = None) -> Path:
    """A raw CXI as PyNX and cdiutils write it: data, mask, SI units, a soft link in data_1."""
    with h5py.File(path, "w") as file:
        file["cxi_version"] = 150
        file[f"{RAW}/data"] = VOLUME
        if mask is not None:
            file[f"{RAW}/mask"] = mask
        file[f"{RAW}/distance"] = 1.2
        file[f"{RAW}/x_pixel_size"] = 55e-6
        file[f"{RAW}/y_pixel_size"] = 55e-6
        file["entry_1/instrument_1/source_1/energy"] = 9000 * 1.602176634e-19
        file["entry_1/data_1/data"] = h5py.SoftLink(f"/{RAW}/data")
    return path


def test_raw_scan_with_its_numbers(tmp_path: Path) -> None:
    """Counts come back as they are; the energy, joules in the file, is told in keV."""
    scan = read(raw_file(tmp_path / "a.cxi"))
    assert np.array_equal(scan.array, VOLUME)
    assert scan.mask is None
    assert float(scan.metadata["energy_kev"]) == pytest.approx(9.0, rel=1e-5)
    assert scan.metadata["distance_m"] == "1.2"
    assert scan.metadata["pixel_row_m"] == "5.5e-05"


def test_units_beside_the_numbers_are_read(tmp_path: Path) -> None:
    """As NeXus has them."""
    path = raw_file(tmp_path / "a.cxi")
    with h5py.File(path, "r+") as file:
        for name, value, unit in (
            (f"{RAW}/distance", 1200.0, "mm"),
            (f"{RAW}/x_pixel_size", 55.0, "um"),
            ("entry_1/instrument_1/source_1/energy", 9.0, "keV"),
        ):
            file[name][()] = value
            file[name].attrs["units"] = unit
    told = read(path).metadata
    assert [float(told[key]) for key in ("energy_kev", "distance_m", "pixel_column_m", "pixel_row_m")] == [
        9.0, 1.2, 5.5e-5, 5.5e-5,
    ]  # fmt: skip


@pytest.mark.parametrize("bit", [0x1, 0x2, 0x4, 0x8, 0x10, 0x80, 0x200, 0x400])
def test_bits_that_say_the_value_is_unknown(tmp_path: Path, bit: int) -> None:
    """Invalid, saturated, hot, dead, shadowed, bad, missing and noisy pixels are masked, alone or with other bits."""
    frame = np.zeros(VOLUME.shape[1:], np.uint32)
    frame[3, 4], frame[5, 6] = bit, bit | 0x1000
    mask = read(raw_file(tmp_path / "a.cxi", frame)).mask
    assert mask is not None
    assert mask.shape == VOLUME.shape
    assert np.array_equal(np.argwhere(mask[7] == MaskState.MASKED), [[3, 4], [5, 6]])
    assert int(mask.sum()) == 2 * len(VOLUME)


@pytest.mark.parametrize("bit", [0x1000, 0x10000])
def test_bits_that_praise_a_pixel_mask_nothing(tmp_path: Path, bit: int) -> None:
    """`has signal` and `inside the support` are no faults."""
    mask = read(raw_file(tmp_path / "a.cxi", np.full(VOLUME.shape, bit, np.uint32))).mask
    assert mask is not None
    assert not mask.any()


@pytest.mark.parametrize("dtype", ["?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", ">u2", ">i4"])
def test_a_mask_of_any_width(tmp_path: Path, dtype: str) -> None:
    """PyNX writes int8 with 0 and 1: what is 1 is invalid, whatever the type has room for."""
    bits = np.zeros(VOLUME.shape, dtype)
    bits[2, 3, 4] = bits[:, :, 7] = 1
    mask = read(raw_file(tmp_path / "a.cxi", bits)).mask
    assert mask is not None
    assert np.array_equal(mask, (bits != 0).astype(np.uint8))


@pytest.mark.parametrize(
    ("dtype", "highest"), [("i1", -128), ("u1", 0x80), ("i2", 0x400), ("i4", 0x400), ("i8", 0x200)]
)
def test_the_highest_bits_of_narrow_and_signed_types(tmp_path: Path, dtype: str, highest: int) -> None:
    """Bad is bit 7: of int8 the sign. A value of -1 has all bits set. Bits that praise do not mask."""
    bits = np.zeros(VOLUME.shape[1:], dtype)
    bits[1, 2], bits[3, 4], bits[5, 6] = highest, -1 if dtype[0] == "i" else 0xFF, 0x20
    mask = read(raw_file(tmp_path / "a.cxi", bits)).mask
    assert mask is not None
    assert np.array_equal(np.argwhere(mask[0] == MaskState.MASKED), [[1, 2], [3, 4]])


@pytest.mark.parametrize("dtype", ["i4", "u4", "i8", "u8"])
def test_padding_in_types_that_have_room_for_it(tmp_path: Path, dtype: str) -> None:
    """The bit 0x01000000 of our own files."""
    bits = np.zeros(VOLUME.shape, dtype)
    bits[0, 1, 2], bits[3, 4, 5] = 0x01000000, 0x01000001
    mask = read(raw_file(tmp_path / "a.cxi", bits)).mask
    assert mask is not None
    assert (mask[0, 1, 2], mask[3, 4, 5]) == (MaskState.PADDING, MaskState.MASKED)


@pytest.mark.parametrize("name", [f"{RAW}/data", f"/{RAW}/data", "entry_1/data_1/data"])
def test_the_raw_scan_by_its_name_keeps_its_mask(tmp_path: Path, name: str) -> None:
    """Naming what would be read anyway, or a link to it, loses nothing."""
    bits = (VOLUME > 5).astype(np.int8)
    scan = read(raw_file(tmp_path / "a.cxi", bits), dataset=name)
    assert scan.mask is not None
    assert np.array_equal(scan.mask, bits)
    assert scan.metadata["distance_m"] == "1.2"


def test_a_cxi_detector_tells_its_saturation(tmp_path: Path) -> None:
    """Like any NXdetector."""
    with h5py.File(raw_file(tmp_path / "a.cxi"), "a") as file:
        file[f"{RAW}/saturation_value"] = 65000
    assert read(tmp_path / "a.cxi").saturation == Saturation(65000.0, f"'{RAW}/saturation_value'")


def test_frames_cut_from_a_cxi_are_cut_from_its_mask(tmp_path: Path) -> None:
    """Laid out for nine frames, written to for six: the mask of nine loses its tail, too."""
    bits = np.zeros(VOLUME.shape, np.uint8)
    bits[4, 5, 6] = bits[8] = 1
    with h5py.File(raw_file(tmp_path / "a.cxi", bits), "a") as file:
        del file[f"{RAW}/data"]
        file.create_dataset(f"{RAW}/data", VOLUME.shape, "u4", chunks=(1, 10, 11))[:6] = VOLUME[:6]
    scan = read(tmp_path / "a.cxi")
    assert np.array_equal(scan.array, VOLUME[:6])
    assert scan.mask is not None
    assert np.array_equal(np.argwhere(scan.mask), [[4, 5, 6]])


def test_the_mask_reaches_the_pattern(tmp_path: Path) -> None:
    """A masked voxel's value is neither counted nor looked at, even where it could be no measurement."""
    volume, bits = VOLUME.astype(np.float32), np.zeros(VOLUME.shape, np.uint32)
    volume[2, 3, 4], bits[2, 3, 4] = -1e9, 0x200
    with h5py.File(raw_file(tmp_path / "a.cxi", bits), "a") as file:
        del file[f"{RAW}/data"]
        file[f"{RAW}/data"] = volume
    scan = read(tmp_path / "a.cxi")
    pattern = pattern_from_array(scan.array, mask=scan.mask)
    assert np.array_equal(np.argwhere(pattern.mask), [[2, 3, 4]])
    assert pattern.intensity[2, 3, 4] == 0
    assert pattern.intensity.sum() == np.delete(VOLUME.ravel(), np.ravel_multi_index((2, 3, 4), VOLUME.shape)).sum()


@pytest.mark.parametrize("mask", [np.zeros((3, 3), np.uint32), np.zeros(VOLUME.shape, np.float32)])
def test_a_mask_that_does_not_fit(tmp_path: Path, mask: np.ndarray) -> None:
    """A mask of another shape or of floats is told, not ignored."""
    with pytest.raises(DataError, match=r"detector_1/mask"):
        read(raw_file(tmp_path / "a.cxi", mask))


def test_a_reconstruction_is_no_measurement(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    """A file with an image and no raw scan says so."""
    write_result(tmp_path / "r.cxi", arrays)
    with h5py.File(tmp_path / "r.cxi", "a") as file:
        del file["entry_1/instrument_1"]
    with pytest.raises(DataError, match="holds a reconstruction and no raw scan"):
        read(tmp_path / "r.cxi")


def test_exact_paths_of_a_result(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    """The paths that h5py users, PyNX and cdiutils open: object, support, links, metrics, SI sizes, the document."""
    write_result(tmp_path / "r.cxi", arrays)
    with h5py.File(tmp_path / "r.cxi") as file:
        assert file["cxi_version"][()] == 160
        for path in ("entry_1/image_1/data", "entry_1/data_1/data", "entry_last/image_1/data"):
            assert file[path].dtype.kind == "c"
            assert np.array_equal(file[path][()], arrays["object"])
        compound = file["entry_1/image_1/data"].id.get_type()
        assert [compound.get_member_name(i) for i in range(compound.get_nmembers())] == [b"r", b"i"]
        assert isinstance(file.get("entry_1/data_1/data", getlink=True), h5py.SoftLink)
        assert np.array_equal(file["entry_1/image_1/support"][()] != 0, arrays["support"])
        assert np.array_equal(file["entry_1/image_1/mask"][()] & 0x10000 != 0, arrays["support"])
        assert file["entry_1/image_1/data_space"].asstr()[()] == "real"
        assert file["entry_1/image_1/data_type"].asstr()[()] == "electron density"
        assert file["entry_1/image_1/is_fft_shifted"][()] == 0
        assert np.array_equal(file["entry_1/image_1/image_center"], [3, 4, 5])  # x, y, z: the last axis first
        assert np.allclose(file["entry_1/image_1/image_size"], [6 * 3e-9, 8 * 2e-9, 10 * 1e-9])
        results = file["entry_1/image_1/process_1/results"]
        assert results["llk_poisson"][()] == 1.5
        assert results["chi2"][()] == 0.01
        assert "free_llk_poisson" not in results  # null in the document
        assert json.loads(file["entry_1/image_1/process_1/note_1/data"].asstr()[()])["id"] == "x"
        assert "exp(-i q.r)" in file["entry_1/image_1/process_1/comments"].asstr()[()]
        # cdiutils looks for groups of these names
        for name in ("amplitude", "phase", "phase_flat", "strain", "support"):
            assert file[f"entry_1/{name}"].attrs["NX_class"] == "NXdata"
            kept = arrays["support"] if name in ("phase_flat", "strain") else np.ones_like(arrays["support"])
            assert np.array_equal(file[f"entry_1/{name}/data"][()][kept], arrays[name][kept])


def test_far_field_of_the_file_is_the_measurement(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    """With numpy's transform and its sign, as PyNX has them, the object gives the measured intensity of the same
    file.
    """
    write_result(tmp_path / "r.cxi", arrays)
    with h5py.File(tmp_path / "r.cxi") as file:
        far = np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(file["entry_1/image_1/data"][()]), norm="ortho"))
        measured = file[f"{RAW}/data"][()]
    assert np.allclose(np.abs(far) ** 2, measured, rtol=1e-4, atol=1e-4)


def test_round_trip_as_reconstruction_and_as_measurement(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Object and support come back bit for bit; the intensity comes back with all three states of its mask."""
    write_result(tmp_path / "r.cxi", arrays)
    back = read_reconstruction(tmp_path / "r.cxi")
    assert back.support is not None
    assert np.array_equal(back.object, arrays["object"])
    assert np.array_equal(back.support, arrays["support"])
    scan = read(tmp_path / "r.cxi")
    assert scan.mask is not None
    assert np.array_equal(scan.mask, arrays["mask"])
    assert np.allclose(np.sqrt(scan.array), np.abs(fourier.forward(arrays["object"])), rtol=1e-4, atol=1e-4)


def test_a_result_carries_its_instrument_and_units(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Energy in joules, the wavelength of 9 keV, the distance, and pixels as large as their bins are."""
    document = json.loads(str(arrays["document"]))
    told = {"energy_kev": "9", "distance_m": "0.5", "pixel_row_m": "5.5e-05", "pixel_column_m": "7.5e-05"}
    document |= {"input": {"metadata": told}, "preprocess": {"binning": [4, 2, 3]}}
    write_result(tmp_path / "r.cxi", arrays | {"document": np.array(json.dumps(document))})
    with h5py.File(tmp_path / "r.cxi") as file:
        instrument = file["entry_1/instrument_1"]
        expected = {
            "source_1/energy": (9000 * 1.602176634e-19, "J"),
            "beam_1/incident_energy": (9000 * 1.602176634e-19, "J"),
            "beam_1/incident_wavelength": (1.3776e-10, "m"),
            "detector_1/distance": (0.5, "m"),
            "detector_1/x_pixel_size": (3 * 75e-6, "m"),
            "detector_1/y_pixel_size": (2 * 55e-6, "m"),
        }
        for name, (value, unit) in expected.items():
            assert instrument[name][()] == pytest.approx(value, rel=1e-4), name
            assert instrument[name].attrs["units"] == unit
        assert file["entry_1/displacement/data"].attrs["units"] == "m"
        assert file["entry_1/phase/data"].attrs["units"] == "rad"
        assert file["entry_1/image_1/image_size"].attrs["units"] == "m"
    back = read(tmp_path / "r.cxi")
    assert float(back.metadata["energy_kev"]) == pytest.approx(9)
    assert float(back.metadata["pixel_column_m"]) == pytest.approx(225e-6)


def test_a_result_is_read_back_whole(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Every array but the modulus comes back bit for bit; that one was squared, and is the same to rounding."""
    arrays["sample_rotation"] = np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]])
    write_result(tmp_path / "r.cxi", arrays)
    back = read_reconstruction(tmp_path / "r.cxi").arrays
    assert back is not None
    assert back.keys() == arrays.keys()
    assert np.allclose(back["modulus"], arrays["modulus"], rtol=1e-6)
    exact = arrays.keys() - {"modulus", "voxel_size_m"}
    assert not [name for name in exact if not np.array_equal(back[name], arrays[name], equal_nan=name in REAL)]
    assert back["voxel_size_m"] == pytest.approx(arrays["voxel_size_m"])


def test_a_result_without_a_pattern_has_no_detector_data(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    """What another program has reconstructed comes without its measurement: none is invented."""
    arrays["mask"] = np.full_like(arrays["mask"], MaskState.PADDING)
    write_result(tmp_path / "r.cxi", arrays)
    with h5py.File(tmp_path / "r.cxi") as file:
        assert "data" not in file["entry_1/instrument_1/detector_1"]
        assert "data_2" not in file["entry_1"]
    back = read_reconstruction(tmp_path / "r.cxi")
    assert back.arrays is not None
    assert (back.arrays["mask"] == MaskState.PADDING).all()
