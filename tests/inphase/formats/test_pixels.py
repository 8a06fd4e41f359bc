"""inphase.formats.pixels: gaps, masks and saturation that a description tells of, in small files of each layout."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile

from inphase.formats import read
from inphase.formats.scan import Saturation
from inphase.pattern import MaskState
from tests.inphase.formats.layouts import SHAPE, N, frames, id01, p10


def test_gaps_of_a_detector_whose_frames_are_a_folder(tmp_path: Path) -> None:
    """What a description says of the detector holds for TIFF frames as well."""
    (tmp_path / "mine.yaml").write_text(
        "name: mine\ntitle: folder\nframes: folder\n"
        "detectors: {det: {shape: [12, 10], gap_rows: [[3, 5]], saturation: 900}}\n"
    )
    (tmp_path / "frames").mkdir()
    for index, frame in enumerate(frames(7)):
        tifffile.imwrite(tmp_path / "frames" / f"x_{index:05d}.tif", frame)
    scan = read(tmp_path / "frames", beamline=tmp_path / "mine.yaml")
    assert scan.mask is not None
    wanted = np.zeros(SHAPE, np.uint8)
    wanted[:, 3:5] = 1
    assert np.array_equal(scan.mask, wanted)
    assert scan.saturation == Saturation(900, "the description of mine")


def test_pixel_mask_and_many_data_files(tmp_path: Path) -> None:
    """P10: all data files in order, the mask's every reason masks; the voxels are masked in every frame."""
    scan = read(p10(tmp_path), beamline="P10")
    assert scan.mask is not None
    masked = np.zeros(SHAPE[1:], bool)
    masked[2, 3] = masked[:, 9] = True
    assert np.array_equal(scan.mask[3] == MaskState.MASKED, masked)
    assert "data_000001..000002" in scan.chosen
    plain = read(tmp_path / "S1_00007" / "e4m" / "S1_00007_master.h5")  # without a beamline: the same mask, no geometry
    assert plain.geometry is None
    assert np.array_equal(plain.mask, scan.mask)


def test_saturation_and_gaps_of_the_detector(tmp_path: Path) -> None:
    """A Maxipix frame of full size: its cross is masked in every frame, and a million counts is where it saturates."""
    counts = np.ones((N, 516, 516), np.uint32)
    counts[3, 100, 100] = 2_000_000
    path = id01(tmp_path)
    with h5py.File(path, "a") as file:
        del file["S1_7.1/measurement/mpx1x4"], file["S1_7.1/instrument/mpx1x4/image"]
        file["S1_7.1/measurement/mpx1x4"] = counts
    scan = read(path, beamline="ID01", scan=7)
    assert scan.mask is not None
    assert scan.mask[:, 255:261].all()
    assert scan.mask[:, :, 255:261].all()
    assert scan.mask.sum() == N * (6 * 516 * 2 - 36)
    assert scan.saturation is not None
    assert scan.saturation.level == 1e6


@pytest.mark.parametrize("shape", [SHAPE[1:], (1, *SHAPE[1:]), SHAPE])
@pytest.mark.parametrize("dtype", ["?", "i1", "u8"])
def test_a_described_mask_of_any_type_and_axes(tmp_path: Path, shape: tuple[int, ...], dtype: str) -> None:
    """Of the frames or of the scan; what is not zero is masked."""
    path = p10(tmp_path)
    bad = np.zeros(shape, dtype)
    bad[..., 4, 5] = 1
    if shape == SHAPE:
        bad[2, 6, 7] = 1
    with h5py.File(path, "a") as file:
        del file["entry/instrument/detector/detectorSpecific/pixel_mask"]
        file["entry/instrument/detector/pixel_mask"] = bad
    mask = read(path, beamline="P10").mask
    assert mask is not None
    assert np.array_equal(mask, np.broadcast_to(bad != 0, SHAPE))
