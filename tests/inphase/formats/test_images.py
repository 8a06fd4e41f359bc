"""Images that lie apart: in one HDF5 file, in files that a master links, in a folder of files."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from inphase.errors import DataError, TooLargeError
from inphase.formats import Limits, holds_frames, read
from inphase.formats.scan import Saturation

VOLUME = np.random.default_rng(0).poisson(3, (12, 7, 8)).astype(np.uint16)


def folder_of(folder: Path, image: str = "entry/data/image", axis: bool = False, name: str = "img_{}.h5") -> Path:
    """One image per file, numbers without leading zeros."""
    folder.mkdir()
    for number, frame in enumerate(VOLUME, 95):
        with h5py.File(folder / name.format(number), "w") as file:
            file[image] = frame[None] if axis else frame
            file["entry/instrument/detector/saturation_value"] = 900
            file["entry/instrument/detector/pixel_mask"] = np.eye(7, 8, dtype=np.uint8)
    return folder


@pytest.mark.parametrize("axis", [False, True])
def test_a_folder_of_files_with_one_image_each(tmp_path: Path, axis: bool) -> None:
    """In the order of their numbers (95 ... 106), with what the first one says of the detector."""
    folder = folder_of(tmp_path / "Größe 1", axis=axis)
    (folder / "notes.txt").write_text("x")
    assert holds_frames(folder)
    scan = read(folder)
    assert np.array_equal(scan.array, VOLUME)
    assert "12 frames img_95.h5 to img_106.h5; passed over 1 other file, dataset 'entry/data/image'" in scan.chosen
    assert scan.saturation == Saturation(900.0, "'entry/instrument/detector/saturation_value'")
    assert scan.mask is not None
    assert np.array_equal(scan.mask[5], np.eye(7, 8))


def test_a_folder_of_scans_is_no_sequence(tmp_path: Path) -> None:
    """Files with a volume each are scans."""
    for number in (1, 2, 3):
        with h5py.File(tmp_path / f"scan_{number}.h5", "w") as file:
            file["data"] = VOLUME
    assert not holds_frames(tmp_path)
    with pytest.raises(DataError, match="holds no numbered TIFF frames"):
        read(tmp_path)


def test_what_is_wrong_with_one_of_the_files(tmp_path: Path) -> None:
    """A missing, a damaged, a differently shaped, an unwritten image: each is named, or masked and said."""
    folder = folder_of(tmp_path / "a")
    with h5py.File(folder / "img_99.h5", "w") as file:
        file.create_dataset("entry/data/image", (7, 8), "u2", chunks=(7, 8))
    scan = read(folder)
    assert scan.mask is not None
    assert scan.mask[4].all()
    assert "1 images were never written and are masked, the first is frame 4" in scan.chosen
    with h5py.File(folder / "img_99.h5", "w") as file:
        file["entry/data/image"] = VOLUME[0][:5]
    with pytest.raises(DataError, match=r"img_99\.h5: its image .* is \(5, 8\) uint16, but that of the first"):
        read(folder)
    (folder / "img_99.h5").write_bytes(b"x" * 100)
    with pytest.raises(DataError, match=r"img_99\.h5: not an HDF5 file"):
        read(folder)
    (folder / "img_99.h5").unlink()
    with pytest.raises(DataError, match=r"frame 99 is missing, between img_98\.h5 and img_100\.h5"):
        read(folder)
    with pytest.raises(TooLargeError):
        read(folder_of(tmp_path / "b"), limits=Limits(max_bytes=VOLUME.nbytes - 1))


@pytest.mark.parametrize("place", ["entry/data/data_{:06d}", "scan/frame_{}/image", "entry_{:04d}/detector/data"])
@pytest.mark.parametrize("linked", [False, True])
def test_images_of_one_file_are_put_together(tmp_path: Path, place: str, linked: bool) -> None:
    """By the one number in which their paths differ; in the file itself or behind links to a file for each."""
    with h5py.File(tmp_path / "master.h5", "w") as file:
        for number, frame in enumerate(VOLUME, 1):
            if not linked:
                file[place.format(number)] = frame
                continue
            file[place.format(number)] = h5py.ExternalLink(f"image_{number}.h5", "/image")
            with h5py.File(tmp_path / f"image_{number}.h5", "w") as other:
                other["image"] = frame
    assert np.array_equal(read(tmp_path / "master.h5").array, VOLUME)


def test_a_missing_image_is_named(tmp_path: Path) -> None:
    """A curve needs every step."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for number, frame in enumerate(VOLUME, 1):
            if number != 5:
                file[f"entry/image_{number}"] = frame
    with pytest.raises(DataError, match=r"a\.h5: image 5 is missing, after 'entry/image_4'"):
        read(tmp_path / "a.h5")


def test_files_of_images_that_are_missing(tmp_path: Path) -> None:
    """At the end: the run was stopped, the others are the scan. Before it: named."""
    with h5py.File(tmp_path / "master.h5", "w") as file:
        for number, frame in enumerate(VOLUME, 1):
            file[f"entry/data/data_{number:06d}"] = h5py.ExternalLink(f"image_{number}.h5", "/image")
            with h5py.File(tmp_path / f"image_{number}.h5", "w") as other:
                other["image"] = frame
    for number in (11, 12):
        (tmp_path / f"image_{number}.h5").unlink()
    scan = read(tmp_path / "master.h5")
    assert np.array_equal(scan.array, VOLUME[:10])
    assert "data_000011' lies in the file image_11.h5, which is missing and 1 more: stopped early" in scan.chosen
    for number in (4, 1):
        (tmp_path / f"image_{number}.h5").unlink()
        with pytest.raises(
            DataError, match=rf"data_00000{number}' lies in the file image_{number}\.h5, which is missing"
        ):
            read(tmp_path / "master.h5")


@pytest.mark.parametrize("shape", [(1, 12, 7, 8), (12, 1, 7, 8), (12, 7, 8, 1), (1, 12, 1, 7, 8)])
@pytest.mark.parametrize("suffix", [".h5", ".cxi"])
def test_further_axes_of_length_one(tmp_path: Path, shape: tuple[int, ...], suffix: str) -> None:
    """They are dropped, wherever they stand; of a mask as well."""
    bad = np.zeros(VOLUME.shape, np.uint8)
    bad[3, 4, 5] = 1
    path = tmp_path / f"a{suffix}"
    with h5py.File(path, "w") as file:
        group = file.create_group("entry_1/instrument_1/detector_1")
        group.create_dataset("data", data=VOLUME.reshape(shape), compression="gzip")
        group["mask" if suffix == ".cxi" else "pixel_mask"] = bad.reshape(shape)
    scan = read(path)
    assert np.array_equal(scan.array, VOLUME)
    assert scan.mask is not None
    assert np.array_equal(scan.mask, bad)
