"""inphase.formats.detector: what an HDF5 file says of its pixels."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from inphase.formats import RawScan, read
from inphase.formats.scan import Saturation

VOLUME = np.random.default_rng(0).poisson(30, (12, 7, 8)).astype(np.uint32)
VOLUME[5, 3, 4] = 1000
DETECTOR = "entry/instrument/detector"
CUTOFF = "detectorSpecific/countrate_correction_count_cutoff"


def scan_with(path: Path, told: dict[str, object], volume: np.ndarray = VOLUME) -> RawScan:
    """Frames beside an Eiger's detector group that holds `told`."""
    with h5py.File(path, "w") as file:
        file["entry/data/data_000001"] = volume
        for name, value in told.items():
            file[f"{DETECTOR}/{name}"] = value
    return read(path)


@pytest.mark.parametrize("name", ["saturation_value", CUTOFF, "detectorSpecific/saturation_value", "count_cutoff"])
@pytest.mark.parametrize("value", [np.uint32(1000), np.int64(1000), 1000.0, [1000], [1000.0, 2000.0]])
def test_the_saturation_that_the_file_tells(tmp_path: Path, name: str, value: object) -> None:
    """Under the names that detectors use, in any type; of several numbers the smallest. The place is named."""
    scan = scan_with(tmp_path / "a.h5", {name: value})
    assert scan.saturation == Saturation(1000.0, f"'{DETECTOR}/{name}'")
    assert f"saturated from 1000 counts on ('{DETECTOR}/{name}')" in scan.chosen


@pytest.mark.parametrize(("name", "level"), [("bit_depth_image", 1023.0), ("bit_depth_readout", 1023.0)])
def test_a_counter_of_ten_bits(tmp_path: Path, name: str, level: float) -> None:
    """It stops at 2^10 - 1, and a voxel stands there."""
    full = VOLUME.copy()
    full[5, 3, 4] = 1023
    scan = scan_with(tmp_path / "a.h5", {name: 10}, full)
    assert scan.saturation == Saturation(level, f"'{DETECTOR}/{name}'")


def test_the_depth_of_one_readout_bounds_no_sum_of_readouts(tmp_path: Path) -> None:
    """12 bits of readout, counts above 4095: images are summed. 12 bits and far fewer counts:
    nothing stands at the end.
    """
    summed = VOLUME.copy()
    summed[5, 3, 2:5] = 4095, 6000, 9000
    assert scan_with(
        tmp_path / "a.h5", {"bit_depth_readout": 12, "bit_depth_image": 32}, summed
    ).saturation == Saturation(2.0**32 - 1, f"'{DETECTOR}/bit_depth_image'")
    assert scan_with(tmp_path / "b.h5", {"bit_depth_readout": 12}).saturation is None


def test_a_cutoff_that_the_counts_pass_is_not_that_of_the_image(tmp_path: Path) -> None:
    """A counter cannot pass where it stops: the number is of a single readout. With the number of readouts it is."""
    scan = scan_with(tmp_path / "a.h5", {CUTOFF: 400})
    assert scan.saturation is None
    assert "is 400, which the counts pass: it is not applied" in scan.chosen
    summed = scan_with(tmp_path / "b.h5", {CUTOFF: 400, "detectorSpecific/nframes_sum": 4})
    assert summed.saturation == Saturation(1600.0, f"'{DETECTOR}/{CUTOFF}' times 4 readouts")


def test_marks_of_bad_pixels_pass_no_cutoff(tmp_path: Path) -> None:
    """A pixel that is marked in every frame, by the mask, or by the type's largest number says nothing of the
    counter.
    """
    marked, mask = VOLUME.copy(), np.zeros(VOLUME.shape[1:], np.uint32)
    marked[:, 0, 0] = 123456  # some mark, in every frame
    marked[2:9, 1, 1], mask[1, 1] = 777777, 8
    marked[4, 2, 2] = 2**32 - 1
    marked[4, 2, 3] = 65535
    scan = scan_with(tmp_path / "a.h5", {CUTOFF: 1000, "pixel_mask": mask}, marked)
    assert scan.saturation is not None
    assert scan.saturation.level == 1000


def test_a_stated_limit_holds_though_values_pass_it(tmp_path: Path) -> None:
    """NXdetector: above saturation_value the data are known to be invalid. The lowest of several counts."""
    scan = scan_with(tmp_path / "a.h5", {"saturation_value": 500, CUTOFF: 1000})
    assert scan.saturation == Saturation(500.0, f"'{DETECTOR}/saturation_value'")


@pytest.mark.parametrize("value", [0, -1, 1, np.nan, np.inf, "much", [], np.zeros((99, 99))])
def test_numbers_that_say_nothing(tmp_path: Path, value: object) -> None:
    """Unset, or no number of counts."""
    for name in ("saturation_value", CUTOFF, "bit_depth_image"):
        assert scan_with(tmp_path / "a.h5", {name: value}).saturation is None


@pytest.mark.parametrize(
    ("told", "frames"),
    [
        ("1.1/instrument/mpx1x4", "1.1/measurement/mpx1x4"),  # BLISS
        ("entry/instrument/merlin", "entry/data/data"),  # NeXus: the only detector of the entry
        ("entry1/instrument/det", "entry1/instrument/det/data"),  # the frames lie in it
        ("entry/instrument/eiger/detectorSpecific", "entry/data/data"),
        ("entry_1/instrument_1/detector_1", "entry_1/data_1/data"),
    ],
)
def test_where_a_detector_is_described(tmp_path: Path, told: str, frames: str) -> None:
    """Saturation and mask are found beside the frames, in whatever group the writer keeps the detector."""
    mask = np.zeros(VOLUME.shape[1:], np.int8)
    mask[3, 4] = -128
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file[frames] = VOLUME
        file[f"{told}/saturation_value"] = 900
        file[f"{told}/pixel_mask"] = mask
        file["other/instrument/x/saturation_value"] = 5
    scan = read(tmp_path / "a.h5")
    assert scan.saturation == Saturation(900.0, f"'{told}/saturation_value'")
    assert scan.mask is not None
    assert np.array_equal(scan.mask, np.broadcast_to(mask != 0, VOLUME.shape))


def test_two_detectors_are_not_mixed_up(tmp_path: Path) -> None:
    """Each has its own level; frames that belong to neither by name or link have none."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, level in (("small", 100), ("large", 200)):
            file[f"entry/instrument/{name}/saturation_value"] = level
        file["entry/instrument/large/image"] = VOLUME
        file["entry/data/linked"] = h5py.SoftLink("/entry/instrument/large/image")
        file["entry/data/copied"] = VOLUME[:6]
    assert read(tmp_path / "a.h5", dataset="entry/data/linked").saturation == Saturation(
        200.0, "'entry/instrument/large/saturation_value'"
    )
    assert read(tmp_path / "a.h5", dataset="entry/data/copied").saturation is None


@pytest.mark.parametrize("dtype", ["?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", ">u4", ">i2"])
@pytest.mark.parametrize("shape", [(7, 8), (1, 7, 8), (12, 7, 8), (1, 12, 7, 8)])
def test_a_pixel_mask_of_any_type_and_number_of_axes(tmp_path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    """What is not zero is masked: of all frames, or of each."""
    bad = np.zeros(shape, dtype)
    bad[..., 2, 3] = 1
    scan = scan_with(tmp_path / "a.h5", {"detectorSpecific/pixel_mask": bad})
    wanted = np.zeros(VOLUME.shape, np.uint8)
    wanted[:, 2, 3] = 1
    assert scan.mask is not None
    assert np.array_equal(scan.mask, wanted)


def test_underload(tmp_path: Path) -> None:
    """Values below it are none; where zero counts would be meant they stay, but for pixels that never reach it."""
    signed = VOLUME.astype(np.int32)
    signed[:, 0, 0], signed[3, 4, 5] = -2, -1
    scan = scan_with(tmp_path / "a.h5", {"underload_value": 0}, signed)
    assert scan.mask is not None
    assert np.array_equal(np.argwhere(scan.mask.any(axis=0)), [[0, 0], [4, 5]])
    assert int(scan.mask.sum()) == len(VOLUME) + 1
    dim = np.where(VOLUME < 31, 0, VOLUME)
    assert scan_with(tmp_path / "b.h5", {"underload_value": 1}, dim).mask is None


def test_a_described_beamline_reads_the_detectors_numbers_too(tmp_path: Path) -> None:
    """ID01: the lower of the description's level and the file's."""
    for level, wanted in ((5000, 5000.0), (10**7, 1e6)):
        path = tmp_path / f"{level}.h5"
        with h5py.File(path, "w") as file:
            file["S_1.1/instrument/mpx1x4/image"] = VOLUME
            file["S_1.1/measurement/mpx1x4"] = h5py.SoftLink("/S_1.1/instrument/mpx1x4/image")
            file["S_1.1/instrument/mpx1x4/saturation_value"] = level
        scan = read(path, beamline="ID01")
        assert scan.saturation is not None
        assert scan.saturation.level == wanted
