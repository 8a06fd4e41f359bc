"""inphase.formats.written: what HDF5 fills in is no measurement."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from inphase.errors import DataError
from inphase.formats import RawScan, read
from inphase.pattern import MaskState

VOLUME = np.random.default_rng(0).poisson(3, (12, 7, 8)).astype(np.uint32) + 1


def masked_frames(scan: RawScan) -> list[int]:
    """Frames that are masked as a whole; no other voxel may be."""
    if scan.mask is None:
        return []
    whole = (scan.mask == MaskState.MASKED).all(axis=(1, 2))
    assert (scan.mask[~whole] == MaskState.VALID).all()
    return [int(number) for number in np.flatnonzero(whole)]


@pytest.mark.parametrize("chunk", [(1, 7, 8), (1, 3, 5), (3, 7, 8)])
@pytest.mark.parametrize("extra", [{}, {"compression": "gzip"}, {"fillvalue": 77}])
def test_frames_that_were_never_written(tmp_path: Path, chunk: tuple[int, int, int], extra: dict[str, object]) -> None:
    """Laid out for twelve frames: three in the middle were lost, and the run was stopped after nine.
    The tail is cut.
    """
    with h5py.File(tmp_path / "a.h5", "w") as file:
        data = file.create_dataset("data", VOLUME.shape, "u4", chunks=chunk, **extra)
        data[:3], data[6:9] = VOLUME[:3], VOLUME[6:9]
    scan = read(tmp_path / "a.h5")
    assert scan.array.shape == (9, 7, 8)
    assert masked_frames(scan) == [3, 4, 5]
    assert np.array_equal(scan.array[[0, 1, 2, 6, 7, 8]], VOLUME[[0, 1, 2, 6, 7, 8]])
    assert "frames 9 to 11 of 12 never written and left out" in scan.chosen
    assert "frames 3, 4, 5 were never written and masked" in scan.chosen


def test_dark_frames_that_were_written_are_measured(tmp_path: Path) -> None:
    """Zeros at the wings of a curve are counts like others."""
    dark = VOLUME.copy()
    dark[:4] = dark[9:] = 0
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("data", data=dark, chunks=(1, 7, 8), compression="gzip")
    scan = read(tmp_path / "a.h5")
    assert np.array_equal(scan.array, dark)
    assert scan.mask is None
    assert "never" not in scan.chosen


@pytest.mark.parametrize("chunks", [None, (1, 7, 8)])
def test_nothing_written_at_all(tmp_path: Path, chunks: tuple[int, ...] | None) -> None:
    """A file that waits for its first frame is no scan of zeros."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("data", VOLUME.shape, "u4", chunks=chunks)
    with pytest.raises(DataError, match="none of its 12 frames has been written yet"):
        read(tmp_path / "a.h5")


def virtual(
    folder: Path, sources: list[np.ndarray], places: list[object], shape: tuple[int, ...] = VOLUME.shape
) -> Path:
    """A virtual dataset of `shape` over files beside it; fill value 5."""
    layout = h5py.VirtualLayout(shape, np.uint32)
    for number, (source, place) in enumerate(zip(sources, places, strict=True)):
        with h5py.File(folder / f"part{number}.h5", "w") as file:
            file["entry/data"] = source
        layout[place] = h5py.VirtualSource(f"part{number}.h5", "entry/data", source.shape)
    with h5py.File(folder / "a.h5", "w") as file:
        file.create_virtual_dataset("data", layout, fillvalue=5)
    return folder / "a.h5"


def test_interleaved_virtual_sources(tmp_path: Path) -> None:
    """Two writers take every second frame; the second one was stopped early,
    so that its last frames were never written.
    """
    path = virtual(tmp_path, [VOLUME[0::2], VOLUME[1::2]], [np.s_[0::2], np.s_[1::2]])
    scan = read(path)
    assert np.array_equal(scan.array, VOLUME)
    assert scan.mask is None
    with h5py.File(tmp_path / "part1.h5", "w") as file:
        file["entry/data"] = VOLUME[1::2][:4]
    scan = read(path)
    assert len(scan.array) == 11  # frame 11 was the second writer's last
    assert masked_frames(scan) == [9]
    assert np.array_equal(np.delete(scan.array, 9, axis=0), np.delete(VOLUME[:11], 9, axis=0))


def test_a_frame_that_a_virtual_source_lacks(tmp_path: Path) -> None:
    """The source itself was laid out and not written to everywhere; the same through two levels."""
    with h5py.File(tmp_path / "inner.h5", "w") as file:
        data = file.create_dataset("raw", VOLUME.shape, "u4", chunks=(1, 7, 8))
        data[:4], data[5:] = VOLUME[:4], VOLUME[5:]
    for name, source, path in (("middle.h5", "inner.h5", "raw"), ("a.h5", "middle.h5", "data")):
        layout = h5py.VirtualLayout(VOLUME.shape, np.uint32)
        layout[:] = h5py.VirtualSource(source, path, VOLUME.shape)
        with h5py.File(tmp_path / name, "w") as file:
            file.create_virtual_dataset("data", layout)
    assert masked_frames(read(tmp_path / "a.h5")) == [4]


def test_the_gap_between_virtual_modules(tmp_path: Path) -> None:
    """Two modules with a gap of two columns that no source gives: fill values are no counts, the gap is masked."""
    path = virtual(tmp_path, [VOLUME[:, :, :3], VOLUME[:, :, 5:]], [np.s_[:, :, :3], np.s_[:, :, 5:]])
    scan = read(path)
    gap = np.zeros(VOLUME.shape, np.uint8)
    gap[:, :, 3:5] = MaskState.MASKED
    assert scan.mask is not None
    assert np.array_equal(scan.mask, gap)
    assert np.array_equal(scan.array[gap == 0], VOLUME[gap == 0])


def test_virtual_sources_without_an_end(tmp_path: Path) -> None:
    """A writer of no stated number of frames: what it has is read, whole."""
    with h5py.File(tmp_path / "part.h5", "w") as file:
        file.create_dataset("data", data=VOLUME, maxshape=(None, 7, 8), chunks=(1, 7, 8))
        layout = h5py.VirtualLayout(VOLUME.shape, np.uint32, maxshape=(None, 7, 8))
        layout[: h5py.h5s.UNLIMITED] = h5py.VirtualSource(file["data"])[: h5py.h5s.UNLIMITED]
    with h5py.File(tmp_path / "a.h5", "w", libver="latest") as file:
        file.create_virtual_dataset("data", layout)
    scan = read(tmp_path / "a.h5")
    assert np.array_equal(scan.array, VOLUME)
    assert scan.mask is None


def test_a_renamed_file_names_its_own_dataset(tmp_path: Path) -> None:
    """A virtual dataset that names its own file under the old name would be all fill values: the way out is told."""
    with h5py.File(tmp_path / "first.h5", "w") as file:
        file["raw"] = VOLUME
        layout = h5py.VirtualLayout(VOLUME.shape, np.uint32)
        layout[:] = h5py.VirtualSource("first.h5", "raw", VOLUME.shape)
        file.create_virtual_dataset("entry/data/data", layout)
    assert np.array_equal(read(tmp_path / "first.h5").array, VOLUME)
    (tmp_path / "first.h5").rename(tmp_path / "scan.h5")
    with pytest.raises(DataError, match=r"needs the file first\.h5, which is missing; .* take its own dataset='raw'"):
        read(tmp_path / "scan.h5")
    assert np.array_equal(read(tmp_path / "scan.h5", dataset="raw").array, VOLUME)


def test_a_missing_source_in_the_middle(tmp_path: Path) -> None:
    """Of three sources the second is not there: no curve with a hole, but the name of the file."""
    path = virtual(tmp_path, [VOLUME[:4], VOLUME[4:8], VOLUME[8:]], [np.s_[:4], np.s_[4:8], np.s_[8:]])
    (tmp_path / "part1.h5").unlink()
    with pytest.raises(DataError, match=r"needs the file part1\.h5, which is missing.*in the middle"):
        read(path)


def test_two_virtual_datasets_that_name_each_other(tmp_path: Path) -> None:
    """A loop ends in an answer."""
    for name, other in (("a.h5", "b.h5"), ("b.h5", "a.h5")):
        layout = h5py.VirtualLayout(VOLUME.shape, np.uint32)
        layout[:] = h5py.VirtualSource(other, "data", VOLUME.shape)
        with h5py.File(tmp_path / name, "w") as file:
            file.create_virtual_dataset("data", layout)
    with pytest.raises(DataError, match="loop"):
        read(tmp_path / "a.h5")


def test_files_that_count_up_are_named(tmp_path: Path) -> None:
    """HDF5 may count a virtual dataset's files up by itself; what is not followed is no fill values."""
    for number in range(3):
        with h5py.File(tmp_path / f"part_{number}.h5", "w") as file:
            file["data"] = VOLUME[4 * number : 4 * number + 4]
    unlimited = h5py.h5s.UNLIMITED
    with h5py.File(tmp_path / "a.h5", "w", libver="latest") as file:
        space = h5py.h5s.create_simple((12, 7, 8), (unlimited, 7, 8))
        space.select_hyperslab((0, 0, 0), (unlimited, 1, 1), stride=(4, 1, 1), block=(4, 7, 8))
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_virtual(space, b"part_%b.h5", b"data", h5py.h5s.create_simple((4, 7, 8)))
        space.select_all()
        h5py.h5d.create(file.id, b"data", h5py.h5t.STD_U32LE, space, plan)
    with pytest.raises(DataError, match=r"counts its files up \(part_%b\.h5\)"):
        read(tmp_path / "a.h5")
