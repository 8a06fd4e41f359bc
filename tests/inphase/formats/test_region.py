"""inphase.formats.region: a part of every frame is read as if the file held no more."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest
import scipy.io
import tifffile
from numpy.typing import NDArray

from inphase.errors import DataError, TooLargeError
from inphase.formats import Limits, RawScan, read
from inphase.formats.region import Region, parsed
from inphase.geometry import Geometry
from inphase.imaging.clock import Clock
from inphase.imaging.options import Options
from inphase.imaging.way import prepare
from tests import eiger

SMALL = Limits(whole_voxels=10**6)
ASKED = "60:170,150:262"
BOX = (slice(None), slice(60, 170), slice(150, 262))
STEPS = np.diag([1e5, 2e5, 3e5])
CENTRE = np.array([1e9, 2e9, 3e9])


def of_npy(folder: Path, frames: NDArray[np.uint16]) -> Path:
    """One array."""
    np.save(folder / "a.npy", frames)
    return folder / "a.npy"


def of_npz(folder: Path, frames: NDArray[np.uint16]) -> Path:
    """An archive with a mask of the frames."""
    mask = np.zeros(frames.shape[1:], np.uint8)
    mask[100, 200] = 1
    np.savez(folder / "a.npz", data=frames, mask=mask)
    return folder / "a.npz"


def of_tiff(folder: Path, frames: NDArray[np.uint16]) -> Path:
    """A stack of pages."""
    tifffile.imwrite(folder / "a.tif", frames)
    return folder / "a.tif"


def of_tiffs(folder: Path, frames: NDArray[np.uint16]) -> Path:
    """A file for each frame."""
    (folder / "tiffs").mkdir()
    for number, frame in enumerate(frames):
        tifffile.imwrite(folder / "tiffs" / f"scan_{number:05d}.tif", frame)
    return folder / "tiffs"


def of_images(folder: Path, frames: NDArray[np.uint16]) -> Path:
    """An HDF5 file for each frame."""
    (folder / "images").mkdir()
    for number, frame in enumerate(frames):
        with h5py.File(folder / "images" / f"scan_{number:05d}.h5", "w") as file:
            file["entry/image"] = frame
    return folder / "images"


def of_matlab(folder: Path, frames: NDArray[np.uint16]) -> Path:
    """(row, column, frame)."""
    scipy.io.savemat(folder / "a.mat", {"data": np.moveaxis(frames, 0, -1)})
    return folder / "a.mat"


def of_cxi(folder: Path, frames: NDArray[np.uint16]) -> Path:
    """With a mask of the frames."""
    mask = np.zeros(frames.shape[1:], np.uint32)
    mask[100, 200] = 1
    with h5py.File(folder / "a.cxi", "w") as file:
        detector = file.create_group("entry_1/instrument_1/detector_1")
        detector["data"], detector["mask"] = frames, mask
    return folder / "a.cxi"


def of_eiger(folder: Path, frames: NDArray[np.uint16]) -> Path:
    """Linked files."""
    mask = np.zeros(frames.shape[1:], np.uint8)
    mask[100, 200] = 1
    return eiger.write(folder, frames, mask=mask)


def of_virtual(folder: Path, frames: NDArray[np.uint16]) -> Path:
    """A virtual dataset."""
    return eiger.write(folder, frames, virtual=True)


def of_deep_chunks(folder: Path, frames: NDArray[np.uint16]) -> Path:
    """Many frames in a chunk."""
    eiger.store(folder / "a.h5", frames, chunks=(10, 100, 100), compression="gzip")
    return folder / "a.h5"


def of_modules(folder: Path, frames: NDArray[np.uint16]) -> Path:
    """A virtual dataset of two modules, with nothing between them."""
    layout = h5py.VirtualLayout(frames.shape, frames.dtype)
    for number, rows in enumerate((slice(0, 150), slice(158, 300))):
        eiger.store(folder / f"{number}.h5", frames[:, rows])
        layout[:, rows] = h5py.VirtualSource(f"{number}.h5", "entry/data/data", frames[:, rows].shape)
    with h5py.File(folder / "a.h5", "w") as file:
        file.create_virtual_dataset("entry/data/data", layout)
    return folder / "a.h5"


KINDS = [
    of_npy, of_npz, of_tiff, of_tiffs, of_images, of_matlab, of_cxi, of_eiger, of_virtual, of_deep_chunks, of_modules,
]  # fmt: skip
Kind = Callable[[Path, NDArray[np.uint16]], Path]


def alike(part: RawScan, whole: RawScan, box: tuple[slice, ...]) -> None:
    """Array, mask and saturation are those of the whole measurement."""
    assert np.array_equal(part.array, whole.array[box])
    assert (part.mask is None) == (whole.mask is None)
    if part.mask is not None and whole.mask is not None:
        assert np.array_equal(part.mask, whole.mask[box])
    assert part.saturation == whole.saturation


@pytest.mark.parametrize("kind", KINDS)
def test_the_part_of_every_frame_that_is_asked_for(tmp_path: Path, kind: Kind) -> None:
    """In every format, with its mask."""
    path = kind(tmp_path, eiger.measurement())
    part = read(path, region=ASKED)
    alike(part, read(path), BOX)
    assert part.region == Region((60, 170), (150, 262), (300, 320))
    assert "rows 60:170, columns 150:262 of 300 x 320 pixels, as requested" in part.chosen


@pytest.mark.parametrize("kind", KINDS)
def test_the_region_of_a_large_measurement_is_found(tmp_path: Path, kind: Kind) -> None:
    """In every format the same; whole frames for who asks."""
    path = kind(tmp_path, eiger.measurement())
    part, whole = read(path, limits=SMALL), read(path, limits=SMALL, region="whole")
    assert whole.array.shape == eiger.SHAPE
    assert whole.region is None
    assert part.region is not None
    assert (part.region.rows, part.region.columns) == ((24, 192), (120, 288))
    alike(part, whole, (slice(None), slice(24, 192), slice(120, 288)))
    assert "found around the Bragg peak" in part.chosen


@pytest.mark.parametrize(
    ("region", "why"),
    [
        ("0:10", "is not understood"),
        ("0:301,0:300", "rows 0:301 of frames of 300 x 320"),
        ("0:100,0:321", "columns 0:321 of frames of 300 x 320"),
        ("10:17,0:100", "at least 8 are needed"),
        ("20:10,0:100", "at least 8 are needed"),
        ("all", "is not understood"),
    ],
)
@pytest.mark.parametrize("kind", [of_eiger, of_npy])
def test_a_region_that_is_none(tmp_path: Path, kind: Kind, region: str, why: str) -> None:
    """Told before anything is read."""
    with pytest.raises(DataError, match=why):
        read(kind(tmp_path, eiger.measurement()), region=region)


def test_boxes_and_mask_files_are_those_of_whole_frames(tmp_path: Path) -> None:
    """Whoever names a pixel need not know what is read."""
    path = of_eiger(tmp_path, eiger.measurement())
    bad = np.zeros(eiger.SHAPE[1:], np.uint8)
    bad[100:104, 155:158] = bad[5, 5] = 1
    np.save(tmp_path / "bad.npy", bad)
    how = {"mask": tmp_path / "bad.npy", "masked": "0:50,:; 3:5,80:90,200:210; :,0:3"}
    part, whole = read(path, region=ASKED, **how), read(path, **how)  # type: ignore[arg-type]
    assert whole.mask is not None
    assert whole.mask[BOX].any()
    alike(part, whole, BOX)


HOT = (slice(235, 250), slice(35, 50))  # too large to be told from light, and brighter than the peak
DESCRIPTION = """
name: mine
title: mine
frames: entry/data/data
masks: [entry/bad]
detectors:
  eiger: {shape: [300, 320], gap_rows: [[150, 158]]}
"""


def shining() -> tuple[NDArray[np.uint16], NDArray[np.bool_]]:
    """A measurement with a cluster of hot pixels, and where it is."""
    frames = eiger.measurement()
    frames[:, *HOT] = 20_000
    bad = np.zeros(eiger.SHAPE[1:], bool)
    bad[HOT] = True
    return frames, bad


def by_mask(folder: Path) -> dict[str, Any]:
    """A mask of the frames."""
    np.save(folder / "bad.npy", shining()[1])
    return {"mask": folder / "bad.npy"}


def by_mask_of_each(folder: Path) -> dict[str, Any]:
    """A mask of every frame."""
    np.save(folder / "bad.npy", np.broadcast_to(shining()[1], eiger.SHAPE))
    return {"mask": folder / "bad.npy"}


def by_boxes(folder: Path) -> dict[str, Any]:
    """Boxes in words."""
    return {"masked": "235:250,35:42; 235:250,42:50; 0:4,:,0:3"}


def by_dark(folder: Path) -> dict[str, Any]:
    """A dark map."""
    np.save(folder / "dark.npy", np.where(shining()[1], 9.0, 0.1))
    return {"dark": folder / "dark.npy"}


def by_flat(folder: Path) -> dict[str, Any]:
    """A flat field of the whole chip."""
    flat = np.ones((400, 400))
    flat[50:350, 40:360][HOT] = 0.0
    np.save(folder / "flat.npy", flat)
    return {"flat": folder / "flat.npy", "roi": "50:350,40:360"}


def by_description(folder: Path) -> dict[str, Any]:
    """A dataset that the beamline's description names."""
    with h5py.File(folder / "a.h5", "r+") as file:
        file["entry/bad"] = shining()[1].astype(np.uint8)
    (folder / "mine.yaml").write_text(DESCRIPTION)
    return {"beamline": folder / "mine.yaml"}


def by_gap(folder: Path) -> dict[str, Any]:
    """Gaps that the beamline's description names."""
    text = DESCRIPTION.replace("masks: [entry/bad]\n", "").replace("[[150, 158]]", "[[150, 158], [235, 250]]")
    (folder / "mine.yaml").write_text(text)
    return {"beamline": folder / "mine.yaml"}


def by_pixel_mask(folder: Path) -> dict[str, Any]:
    """The detector's own pixel mask, of every frame."""
    with h5py.File(folder / "a.h5", "r+") as file:
        file["entry/instrument/detector/pixel_mask"] = np.broadcast_to(shining()[1], eiger.SHAPE).astype(np.uint32)
    return {}


NAMED = [by_mask, by_mask_of_each, by_boxes, by_dark, by_flat, by_description, by_gap, by_pixel_mask]


@pytest.mark.parametrize("named", NAMED)
def test_the_region_is_not_looked_for_where_somebody_names_the_pixels_bad(
    tmp_path: Path, named: Callable[[Path], dict[str, Any]]
) -> None:
    """Whoever names them: caller, beamline or file."""
    eiger.store(tmp_path / "a.h5", shining()[0])
    lured = read(tmp_path / "a.h5", limits=SMALL)
    assert lured.region is not None
    assert lured.region.rows[1] > 250  # around the cluster
    found = read(tmp_path / "a.h5", limits=SMALL, **named(tmp_path))
    assert found.region is not None
    assert (found.region.rows, found.region.columns) == ((24, 192), (120, 288))


@pytest.mark.parametrize("deep", [False, True])
def test_the_region_is_not_looked_for_where_the_mask_of_a_cxi_file_is(tmp_path: Path, deep: bool) -> None:
    """One of a frame, and one of every frame."""
    frames, bad = shining()
    with h5py.File(tmp_path / "a.cxi", "w") as file:
        detector = file.create_group("entry_1/instrument_1/detector_1")
        detector["data"] = frames
        detector["mask"] = (np.broadcast_to(bad, frames.shape) if deep else bad).astype(np.uint32)
    found = read(tmp_path / "a.cxi", limits=SMALL)
    assert found.region is not None
    assert (found.region.rows, found.region.columns) == ((24, 192), (120, 288))


def test_a_mask_that_does_not_fit_a_large_measurement(tmp_path: Path) -> None:
    """It is told as for a small one."""
    eiger.store(tmp_path / "a.h5", eiger.measurement())
    np.save(tmp_path / "bad.npy", np.zeros((300, 300), np.uint8))
    for limits in (SMALL, Limits()):
        with pytest.raises(DataError, match=r"bad\.npy: the mask \(300, 300\) fits neither"):
            read(tmp_path / "a.h5", limits=limits, mask=tmp_path / "bad.npy")


def test_frames_in_datasets_of_their_own(tmp_path: Path) -> None:
    """One compressed image each, which a virtual dataset puts together."""
    frames = eiger.measurement()
    layout = h5py.VirtualLayout(frames.shape, frames.dtype)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for number, frame in enumerate(frames):
            name, packed = f"frames/{number:04d}", hdf5plugin.Bitshuffle(cname="lz4")
            file.create_dataset(name, data=frame, chunks=frame.shape, compression=packed)
            layout[number] = h5py.VirtualSource(file[name])
        file.create_virtual_dataset("entry/data/data", layout)
    part = read(tmp_path / "a.h5", limits=SMALL)
    assert part.region is not None
    assert (part.region.rows, part.region.columns) == ((24, 192), (120, 288))
    assert np.array_equal(part.array, part.region.of(frames))


def test_maps_are_those_of_whole_frames_or_of_the_chip(tmp_path: Path) -> None:
    """Dark and flat are cut as the frames are."""
    path = of_eiger(tmp_path, eiger.measurement())
    flat = np.random.default_rng(0).uniform(0.9, 1.1, (400, 400)).astype(np.float32)
    np.save(tmp_path / "flat.npy", flat)
    part = read(path, region=ASKED, flat=tmp_path / "flat.npy", roi="50:350,40:360")
    assert part.corrections is not None
    assert part.corrections.flat is not None
    assert np.array_equal(part.corrections.flat, flat[50:350, 40:360][BOX[1:]])
    with pytest.raises(DataError, match="the flat map is"):
        read(path, region=ASKED, flat=tmp_path / "flat.npy")


def test_the_geometry_is_that_of_the_regions_middle(tmp_path: Path) -> None:
    """Q at any voxel is what it is for whole frames."""
    path = of_eiger(tmp_path, eiger.measurement())
    with h5py.File(path, "r+") as file:
        file["q_steps"], file["q_centre"] = STEPS, CENTRE
    for region in (read(path, region=ASKED), read(path, limits=SMALL)):
        assert region.region is not None
        assert region.geometry is not None
        corner = np.array([0, region.region.rows[0], region.region.columns[0]])
        voxel = np.array([3, 20, 30])
        in_part = voxel - np.array(region.array.shape) // 2
        in_whole = voxel + corner - np.array(eiger.SHAPE) // 2
        expected = Geometry(STEPS, CENTRE).q(in_whole[None])
        np.testing.assert_allclose(region.geometry.q(in_part[None]), expected, rtol=1e-12)


@pytest.mark.parametrize("virtual", [False, True])
def test_a_linked_file_that_is_missing(tmp_path: Path, virtual: bool) -> None:
    """At the end it is what was measured before; at the beginning an error that names it."""
    frames = eiger.measurement()
    path = eiger.write(tmp_path, frames, pieces=4, virtual=virtual)
    (tmp_path / "scan_data_000004.h5").unlink()
    scan = read(path, limits=SMALL)
    assert scan.region is not None
    assert np.array_equal(scan.array, scan.region.of(frames[:30]))
    assert "scan_data_000004.h5" in scan.chosen
    (tmp_path / "scan_data_000001.h5").unlink()
    with pytest.raises(DataError, match=r"scan_data_000001\.h5"):
        read(path, limits=SMALL)


def test_a_chunk_that_is_cut_off(tmp_path: Path) -> None:
    """The file and the frame are named, whether the region is found or asked for."""
    path = eiger.write(tmp_path, eiger.measurement())
    with h5py.File(tmp_path / "scan_data_000002.h5", "r+") as file:
        data = file["entry/data/data"]
        _, stored = data.id.read_direct_chunk((7, 0, 0))
        data.id.write_direct_chunk((7, 0, 0), bytes(stored)[: len(stored) // 8])
    for asked in (None, ASKED):
        with pytest.raises(DataError, match=r"scan_data_000002\.h5.* truncated or damaged: the chunk of frame 7"):
            read(path, limits=SMALL, region=asked)


def test_a_file_that_is_cut_off(tmp_path: Path) -> None:
    """As whole frames are."""
    path = eiger.write(tmp_path, eiger.measurement())
    piece = tmp_path / "scan_data_000002.h5"
    piece.write_bytes(piece.read_bytes()[:-5000])
    with pytest.raises(DataError, match=r"truncated|damaged"):
        read(path, limits=SMALL)


def test_frames_and_tiles_that_were_never_written(tmp_path: Path) -> None:
    """Masked and cut as in whole frames."""
    frames = eiger.measurement()
    with h5py.File(tmp_path / "a.h5", "w") as file:
        data = file.create_dataset(
            "entry/data/data", eiger.SHAPE, "u2", chunks=(1, 100, 320), **hdf5plugin.Bitshuffle(cname="lz4")
        )
        for number in (*range(7), *range(8, 36)):
            for first in range(0, 300, 100):
                if (number, first) != (12, 100):
                    data[number, first : first + 100] = frames[number, first : first + 100]
    whole = read(tmp_path / "a.h5", region="whole", limits=SMALL)
    assert whole.array.shape == (36, 300, 320)
    alike(read(tmp_path / "a.h5", region=ASKED), whole, BOX)
    found = read(tmp_path / "a.h5", limits=SMALL)
    assert found.region is not None
    alike(found, whole, found.region.box_in(whole.array.shape))


def test_bytes_are_bounded_by_what_is_kept(tmp_path: Path) -> None:
    """A region fits where whole frames do not."""
    path = eiger.write(tmp_path, eiger.measurement())
    limits = Limits(max_bytes=3 * 10**6, whole_voxels=10**6)
    assert read(path, limits=limits).array.nbytes < limits.max_bytes
    assert read(path, limits=limits, region=ASKED).array.nbytes < limits.max_bytes
    with pytest.raises(TooLargeError, match="above the limit"):
        read(path, limits=limits, region="whole")


def test_what_is_declared_is_what_is_worked_on(tmp_path: Path) -> None:
    """A bound on memory asks for no more than a region takes."""
    path = eiger.write(tmp_path, eiger.measurement())
    told: list[tuple[int, int]] = []
    limits = Limits(declared=lambda voxels, nbytes: told.append((voxels, nbytes)))
    read(path, limits=limits, region=ASKED)
    assert told == [(40 * 110 * 112, 2 * 40 * 110 * 112)]
    told.clear()
    read(of_npy(tmp_path, eiger.measurement()), limits=limits, region=ASKED)
    assert told == [(40 * 110 * 112, eiger.measurement().nbytes)]  # it is read whole, and then cut


def test_the_image_is_that_of_the_region_cut_by_hand(tmp_path: Path) -> None:
    """Every voxel that a network or a refinement sees; and the light that was left out is known."""
    frames = eiger.measurement()
    eiger.add(frames, eiger.crystal(5e5, seed=1), (30, 240, 90))
    scan = read(of_eiger(tmp_path, frames), limits=SMALL)
    assert scan.region is not None
    by_hand = RawScan(scan.region.of(frames).copy(), None, "", "", mask=scan.mask)
    options = Options(refine="none", start="random")
    found, cut = prepare(scan, options, None, Clock()), prepare(by_hand, options, None, Clock())
    assert np.array_equal(found.prepared.problem.modulus, cut.prepared.problem.modulus)
    assert np.array_equal(found.prepared.problem.mask, cut.prepared.problem.mask)
    told = found.report.preprocess
    assert told.steps[0].name == "region"
    assert told.steps[1:] == cut.report.preprocess.steps
    assert "a second peak" in told.steps[0].doubts[0]
    assert told.counts_inside == pytest.approx(0.8 * cut.report.preprocess.counts_inside, abs=0.05)


def test_what_is_not_understood() -> None:
    """No more than needed of it is repeated."""
    with pytest.raises(DataError) as error:
        parsed("x" * 5000, (10, 10))
    assert len(str(error.value)) < 300
