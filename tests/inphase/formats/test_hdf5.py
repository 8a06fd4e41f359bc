"""inphase.formats.hdf5"""

from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import pytest

from inphase.errors import DataError, TooLargeError
from inphase.formats import Limits, read

VOLUME = np.random.default_rng(0).poisson(3, (6, 7, 8)).astype(np.uint32)


def test_largest_volume_is_chosen_and_reported(tmp_path: Path) -> None:
    """The largest three-dimensional dataset of real numbers, with what was passed over."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["entry/measurement/eiger"] = VOLUME
        file["entry/measurement/preview"] = VOLUME[:2]
        file["entry/sum"] = np.zeros((99, 99))
        file["entry/text"] = "hello"
        file["entry/field"] = np.zeros((20, 20, 20), complex)
    scan = read(tmp_path / "a.h5")
    assert np.array_equal(scan.array, VOLUME)
    assert "'entry/measurement/eiger'" in scan.chosen
    assert "entry/measurement/preview" in scan.chosen


def test_mask_of_the_same_shape_is_not_the_measurement(tmp_path: Path) -> None:
    """CXI keeps data and mask side by side: the data are taken."""
    with h5py.File(tmp_path / "a.cxi", "w") as file:
        file["entry_1/instrument_1/detector_1/mask"] = np.zeros_like(VOLUME)
        file["entry_1/instrument_1/detector_1/data"] = VOLUME
        file["entry_1/data_1/data"] = h5py.SoftLink("/entry_1/instrument_1/detector_1/data")
    scan = read(tmp_path / "a.cxi")
    assert np.array_equal(scan.array, VOLUME)
    assert "passed over" not in scan.chosen


def test_equally_large_datasets_are_ambiguous(tmp_path: Path) -> None:
    """Two scans of one size: the error names both, `dataset` decides."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["1.1/measurement/mpx"] = VOLUME
        file["2.1/measurement/mpx"] = VOLUME + 1
    with pytest.raises(DataError, match=r"'1\.1/measurement/mpx' and '2\.1/measurement/mpx' are equally large"):
        read(tmp_path / "a.h5")
    assert np.array_equal(read(tmp_path / "a.h5", dataset="2.1/measurement/mpx").array, VOLUME + 1)
    assert np.array_equal(read(tmp_path / "a.h5", dataset="/2.1/measurement/mpx").array, VOLUME + 1)


def test_one_dataset_under_two_names_is_no_ambiguity(tmp_path: Path) -> None:
    """BLISS hard-links a detector under `instrument` and `measurement`; it is one measurement."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["1.1/instrument/mpx/image"] = VOLUME
        file["1.1/measurement/mpx"] = file["1.1/instrument/mpx/image"]
    assert np.array_equal(read(tmp_path / "a.h5").array, VOLUME)


@pytest.mark.parametrize("name", ["entry/none", "entry", "", "/", "../x"])
def test_dataset_that_is_not_there(tmp_path: Path, name: str) -> None:
    """A wrong path or a group is answered with what the file holds."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["entry/data"] = VOLUME
    with pytest.raises(DataError, match=r"entry/data \(6, 7, 8\) uint32"):
        read(tmp_path / "a.h5", dataset=name)


@pytest.mark.parametrize("shape", [(9,), (2, 2, 2, 2), (2, 2, 2, 2, 2)])
def test_other_dimensions_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """Neither volume nor image: the error lists what there is; a named dataset of other dimensions gives its shape."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = np.zeros(shape)
    with pytest.raises(DataError, match="holds no rocking curve and no image of real numbers; it holds x"):
        read(tmp_path / "a.h5")
    with pytest.raises(DataError, match=f"has {len(shape)} dimension"):
        read(tmp_path / "a.h5", dataset="x")


def test_declared_size_is_checked_before_allocation(tmp_path: Path) -> None:
    """A file of a few kilobytes that declares 100 GB is refused."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("data", (1000, 5000, 5000), np.uint32, chunks=(1, 500, 500))
    assert (tmp_path / "a.h5").stat().st_size < 2**14
    with pytest.raises(TooLargeError, match=r"93\.1 GiB, above the limit of 8 GiB"):
        read(tmp_path / "a.h5")


def test_huge_chunks_are_refused(tmp_path: Path) -> None:
    """A chunk is decompressed as a whole: one of 2 GiB is refused even where the dataset is small."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset(
            "data", (4, 4, 4), np.uint8, chunks=(2**11, 2**10, 2**10), maxshape=(None, None, None), compression="gzip"
        )
    with pytest.raises(TooLargeError, match="chunks above 1 GiB"):
        read(tmp_path / "a.h5")


def test_truncated(tmp_path: Path) -> None:
    """A file cut anywhere is an error that names it."""
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("data", data=VOLUME, chunks=(1, 7, 8), compression="gzip")
    whole = path.read_bytes()
    for length in range(1, len(whole), 37):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"a\.h5"):
            read(path)


def test_damaged_chunk(tmp_path: Path) -> None:
    """Compressed data that do not decompress are an error, not zeros."""
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("data", data=VOLUME, chunks=(1, 7, 8), compression="gzip")
        info = dataset.id.get_chunk_info(3)
    content = bytearray(path.read_bytes())
    content[info.byte_offset : info.byte_offset + info.size] = b"\xff" * info.size
    path.write_bytes(content)
    with pytest.raises(DataError, match="truncated or damaged"):
        read(path)


@pytest.mark.parametrize(
    "filters",
    [hdf5plugin.Bitshuffle(), hdf5plugin.LZ4(), hdf5plugin.Blosc(), hdf5plugin.Zstd(), {"compression": "lzf"}],
)
def test_detector_compression(tmp_path: Path, filters: dict[str, object]) -> None:
    """What detectors write is read."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("data", data=VOLUME, chunks=(1, 7, 8), **filters)
    assert np.array_equal(read(tmp_path / "a.h5").array, VOLUME)


def test_external_raw_storage_is_refused(tmp_path: Path) -> None:
    """A dataset whose bytes are another file of the host is never read."""
    (tmp_path / "secret").write_bytes(bytes(range(64)))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("data", (4, 4, 4), np.uint8, external=[(str(tmp_path / "secret"), 0, 64)])
    with pytest.raises(DataError, match="external raw files"):
        read(tmp_path / "a.h5")


def eiger(path: Path, pieces: int = 3) -> Path:
    """A master file whose data lie in files beside it, as an Eiger writes them."""
    with h5py.File(path / "master.h5", "w") as master:
        for number in range(1, pieces + 1):
            with h5py.File(path / f"data_{number:06d}.h5", "w") as file:
                file["entry/data/data"] = VOLUME + number
            master[f"entry/data/data_{number:06d}"] = h5py.ExternalLink(f"data_{number:06d}.h5", "/entry/data/data")
    return path / "master.h5"


def test_eiger_pieces_are_put_together(tmp_path: Path) -> None:
    """Numbered datasets behind external links are one scan, in order."""
    scan = read(eiger(tmp_path))
    assert np.array_equal(scan.array, np.concatenate([VOLUME + 1, VOLUME + 2, VOLUME + 3]))
    assert "data_000001..000003" in scan.chosen


@pytest.mark.parametrize("number", [1, 2])
def test_missing_eiger_file_is_named(tmp_path: Path, number: int) -> None:
    """A scan never has a hole because one of its files is away."""
    master = eiger(tmp_path)
    (tmp_path / f"data_{number:06d}.h5").unlink()
    with pytest.raises(DataError, match=f"'entry/data/data_{number:06d}' lies in the file .*, which is missing"):
        read(master)


def test_an_aborted_eiger_run_gives_the_frames_that_exist(tmp_path: Path) -> None:
    """The master links what was planned: without the last files the frames of the first ones are the scan,
    and that is said.
    """
    master = eiger(tmp_path, pieces=5)
    for number in (4, 5):
        (tmp_path / f"data_{number:06d}.h5").unlink()
    scan = read(master)
    assert np.array_equal(scan.array, np.concatenate([VOLUME + 1, VOLUME + 2, VOLUME + 3]))
    assert "data_000004' lies in the file data_000004.h5, which is missing and 1 more: stopped early" in scan.chosen
    with h5py.File(tmp_path / "data_000003.h5", "w"):
        pass  # opened by the detector, and nothing was written to it
    scan = read(master)
    assert len(scan.array) == 2 * len(VOLUME)
    assert "data_000003' lies in the file data_000003.h5, which has no '/entry/data/data'" in scan.chosen
    for number in (1, 2):
        (tmp_path / f"data_{number:06d}.h5").unlink()
    with pytest.raises(DataError, match=r"data_000001' lies in the file data_000001\.h5, which is missing"):
        read(master)


def test_missing_piece_is_named(tmp_path: Path) -> None:
    """Nor because one of its links is away."""
    master = eiger(tmp_path)
    with h5py.File(master, "a") as file:
        del file["entry/data/data_000002"]
    with pytest.raises(DataError, match="data_000002' is missing"):
        read(master)


@pytest.mark.parametrize("kind", ["link", "virtual"])
def test_other_folders_are_out_of_reach(tmp_path: Path, kind: str) -> None:
    """Neither a link nor a virtual dataset leads out of the folder of the file, not even through a symbolic link."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "inside").mkdir()
    with h5py.File(tmp_path / "outside" / "secret.h5", "w") as file:
        file["data"] = VOLUME
    (tmp_path / "inside" / "alias.h5").symlink_to(tmp_path / "outside" / "secret.h5")
    for target in ("../outside/secret.h5", str(tmp_path / "outside" / "secret.h5"), "alias.h5"):
        with h5py.File(tmp_path / "inside" / "a.h5", "w") as file:
            if kind == "link":
                file["data"] = h5py.ExternalLink(target, "/data")
            else:
                layout = h5py.VirtualLayout(VOLUME.shape, VOLUME.dtype)
                layout[:] = h5py.VirtualSource(target, "data", VOLUME.shape)
                file.create_virtual_dataset("data", layout)
        with pytest.raises(DataError, match="outside its own folder"):
            read(tmp_path / "inside" / "a.h5")


def test_virtual_dataset_of_the_folder(tmp_path: Path) -> None:
    """A virtual dataset over files beside it is read; where a source is away its frames are no fill values."""
    layout = h5py.VirtualLayout((2, *VOLUME.shape[1:]), VOLUME.dtype)
    for index in range(2):
        with h5py.File(tmp_path / f"part{index}.h5", "w") as file:
            file["frame"] = VOLUME[index]
        layout[index] = h5py.VirtualSource(f"part{index}.h5", "frame", VOLUME.shape[1:])
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_virtual_dataset("data", layout)
    assert np.array_equal(read(tmp_path / "a.h5").array, VOLUME[:2])
    (tmp_path / "part1.h5").rename(tmp_path / "x")
    scan = read(tmp_path / "a.h5")
    assert np.array_equal(scan.array, VOLUME[:1])
    assert "frame 1 of 2 never written and left out" in scan.chosen
    assert "part1.h5, which is missing" in scan.chosen
    (tmp_path / "x").rename(tmp_path / "part1.h5")
    (tmp_path / "part0.h5").unlink()
    with pytest.raises(DataError, match=r"part0\.h5, which is missing"):
        read(tmp_path / "a.h5")


def test_virtual_source_with_external_storage_is_refused(tmp_path: Path) -> None:
    """A detour through a second file of the folder does not reach the host's files."""
    (tmp_path / "secret").write_bytes(bytes(64))
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_dataset("data", (4, 4, 4), np.uint8, external=[(str(tmp_path / "secret"), 0, 64)])
    layout = h5py.VirtualLayout((4, 4, 4), np.uint8)
    layout[:] = h5py.VirtualSource("b.h5", "data", (4, 4, 4))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_virtual_dataset("data", layout)
    with pytest.raises(DataError, match="external raw files"):
        read(tmp_path / "a.h5", dataset="data")


def test_loops_of_links_end(tmp_path: Path) -> None:
    """Links that lead to themselves or to their own group end in an answer."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["entry/data"] = VOLUME
        file["entry/again"] = h5py.SoftLink("/entry")
        file["entry/hard"] = file["entry"]
        file["entry/dangling"] = h5py.SoftLink("/nowhere")
    assert np.array_equal(read(tmp_path / "a.h5").array, VOLUME)
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file["entry/self"] = h5py.SoftLink("/entry/self")
    with pytest.raises(DataError, match="loop"):
        read(tmp_path / "a.h5")


def test_geometry(tmp_path: Path) -> None:
    """q_steps at the root of the file gives the geometry."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["data"] = VOLUME
        file["q_steps"] = np.eye(3) * 1e6
    geometry = read(tmp_path / "a.h5").geometry
    assert geometry is not None
    assert np.array_equal(geometry.q_steps, np.eye(3) * 1e6)
    assert geometry.q_centre is None


def test_small_limit(tmp_path: Path) -> None:
    """The limit is on the decoded size."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("data", data=VOLUME * 0, compression="gzip")
    with pytest.raises(TooLargeError):
        read(tmp_path / "a.h5", limits=Limits(max_bytes=VOLUME.nbytes - 1))


@pytest.mark.parametrize("place", ["detectorSpecific/pixel_mask", "pixel_mask"])
def test_pixel_mask_of_an_eiger(tmp_path: Path, place: str) -> None:
    """Whatever the reason a pixel is marked for, it is masked in every frame; the report counts them."""
    bad = np.zeros(VOLUME.shape[1:], np.uint32)
    bad[0, 0], bad[3, 4], bad[6, 7] = 1, 2, 2**30
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["entry/data/data_000001"] = VOLUME
        file[f"entry/instrument/detector/{place}"] = bad
    scan = read(tmp_path / "a.h5")
    assert scan.mask is not None
    assert np.array_equal(scan.mask, np.broadcast_to(bad != 0, VOLUME.shape))
    assert "3 pixels masked" in scan.chosen


def test_pixel_mask_of_another_shape_is_reported(tmp_path: Path) -> None:
    """Of the whole detector beside frames of a region: it cannot be placed, so it is not applied, and that is said."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["entry/data/data"] = VOLUME
        file["entry/instrument/detector/pixel_mask"] = np.ones((99, 99), np.uint8)
    scan = read(tmp_path / "a.h5")
    assert scan.mask is None
    assert "(99, 99) does not fit the frames" in scan.chosen
