"""inphase.formats.frames: every frame, wherever a file keeps it."""

from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import pytest

from inphase.formats.frames import ArrayFrames, Frames, Hdf5Frames, copied
from inphase.formats.tree import opened
from tests import eiger

FRAMES = np.random.default_rng(0).poisson(9, (11, 40, 30)).astype(np.uint16)
ROWS, COLUMNS = slice(5, 33), slice(8, 21)


def part(frames: Frames) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    """Rows and columns of all of them."""
    array = np.full((frames.shape[0], 28, 13), 3, frames.dtype)
    copied(frames, array, ROWS, COLUMNS)
    return array


def found(path: Path, name: str = "entry/data/data") -> tuple[Hdf5Frames | None, object]:
    """The frames of a dataset, and what was copied of them."""
    with opened(path) as tree:
        frames = Hdf5Frames.of(tree, [tree.dataset(name)])
        return frames, None if frames is None else part(frames)


def test_of_an_array() -> None:
    """As they are."""
    assert np.array_equal(part(ArrayFrames(FRAMES)), FRAMES[:, ROWS, COLUMNS])


@pytest.mark.parametrize(
    ("options", "direct"),
    [
        ({"chunks": (1, 40, 30), "compression": hdf5plugin.Bitshuffle()}, True),
        ({"chunks": (1, 40, 30), "compression": "gzip"}, False),
        ({"chunks": (1, 16, 16), "compression": "gzip"}, False),
        ({"chunks": None}, False),
    ],
)
def test_of_a_dataset(tmp_path: Path, options: dict[str, object], direct: bool) -> None:
    """Decompressed here where that can be, and by HDF5 where not."""
    eiger.store(tmp_path / "a.h5", FRAMES, **options)
    frames, copy = found(tmp_path / "a.h5")
    assert frames is not None
    assert frames.direct == direct
    assert np.array_equal(copy, FRAMES[:, ROWS, COLUMNS])


def test_chunks_of_many_frames_are_no_units(tmp_path: Path) -> None:
    """Each would be unpacked once for every frame in it."""
    eiger.store(tmp_path / "a.h5", FRAMES, chunks=(4, 40, 30), compression="gzip")
    assert found(tmp_path / "a.h5")[0] is None


@pytest.mark.parametrize("virtual", [False, True])
def test_of_linked_files(tmp_path: Path, virtual: bool) -> None:
    """Linked, or put together in a virtual dataset."""
    master = eiger.write(tmp_path, FRAMES, pieces=3, virtual=virtual)
    names = ["data"] if virtual else [f"data_{number:06d}" for number in (1, 2, 3)]
    with opened(master) as tree:
        frames = Hdf5Frames.of(tree, [tree.dataset(f"entry/data/{name}") for name in names])
        assert frames is not None
        assert frames.direct
        assert np.array_equal(part(frames), FRAMES[:, ROWS, COLUMNS])


def test_frames_in_another_order(tmp_path: Path) -> None:
    """A virtual dataset may take every second frame of a file, and the others of another."""
    eiger.store(tmp_path / "even.h5", FRAMES[::2], chunks=(1, 40, 30), compression=hdf5plugin.Bitshuffle())
    eiger.store(tmp_path / "odd.h5", FRAMES[1::2], chunks=(1, 40, 30), compression=hdf5plugin.Bitshuffle())
    layout = h5py.VirtualLayout(FRAMES.shape, FRAMES.dtype)
    layout[::2] = h5py.VirtualSource("even.h5", "entry/data/data", FRAMES[::2].shape)
    layout[1::2] = h5py.VirtualSource("odd.h5", "entry/data/data", FRAMES[1::2].shape)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_virtual_dataset("entry/data/data", layout)
    _, copy = found(tmp_path / "a.h5")
    assert np.array_equal(copy, FRAMES[:, ROWS, COLUMNS])


def test_modules_in_files_of_their_own_are_no_units(tmp_path: Path) -> None:
    """HDF5 puts such frames together."""
    layout = h5py.VirtualLayout(FRAMES.shape, FRAMES.dtype)
    for number, rows in enumerate((slice(0, 20), slice(20, 40))):
        eiger.store(tmp_path / f"{number}.h5", FRAMES[:, rows])
        layout[:, rows] = h5py.VirtualSource(f"{number}.h5", "entry/data/data", FRAMES[:, rows].shape)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_virtual_dataset("entry/data/data", layout)
    assert found(tmp_path / "a.h5")[0] is None


@pytest.mark.parametrize("options", [hdf5plugin.Bitshuffle(), {"compression": "gzip"}])
def test_frames_that_were_never_written(tmp_path: Path, options: dict[str, object]) -> None:
    """They are told from those that hold nothing."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        data = file.create_dataset("entry/data/data", FRAMES.shape, "u2", chunks=(1, 40, 30), fillvalue=5, **options)
        data[:4], data[5:9] = FRAMES[:4], 0
    with opened(tmp_path / "a.h5") as tree:
        frames = Hdf5Frames.of(tree, [tree.dataset("entry/data/data")])
        assert frames is not None
        assert [number for number in range(11) if frames.places[number] is None] == [4, 9, 10]
        assert np.array_equal(part(frames)[:4], FRAMES[:4, ROWS, COLUMNS])
        assert not part(frames)[4:].any()
