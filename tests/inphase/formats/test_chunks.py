"""inphase.formats.chunks: what is decompressed beside HDF5 is what HDF5 gives, and damage is told."""

import struct
from contextlib import suppress
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import pytest
from numpy.typing import NDArray

from inphase.errors import DataError
from inphase.formats.chunks import Chunks
from tests import eiger

ROWS, COLUMNS = 61, 173  # 10,553 pixels: no multiple of 8, and more than one block of 8 KiB in every type
LZ4, ZSTD = hdf5plugin.Bitshuffle(cname="lz4"), hdf5plugin.Bitshuffle(cname="zstd")


def counts(dtype: str) -> NDArray[np.generic]:
    """Four frames, of which no two rows are alike."""
    return np.random.default_rng(0).poisson(40, (4, ROWS, COLUMNS)).astype(dtype)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "int32", "float32", "float64"])
@pytest.mark.parametrize("codec", [LZ4, ZSTD])
@pytest.mark.parametrize("rows", [(0, ROWS), (0, 1), (20, 43), (60, 61), (37, 61)])
def test_the_rows_that_are_asked_for(tmp_path: Path, dtype: str, codec: object, rows: tuple[int, int]) -> None:
    """As they were written, whatever blocks they lie in."""
    frames = counts(dtype)
    eiger.store(tmp_path / "a.h5", frames, chunks=(1, ROWS, COLUMNS), compression=codec)
    with h5py.File(tmp_path / "a.h5") as file:
        chunks = Chunks.of(file["entry/data/data"])
        assert chunks is not None
        scratch = np.zeros(ROWS * COLUMNS, dtype)
        for number in range(len(frames)):
            stored = chunks.open((number,))
            assert stored is not None
            assert np.array_equal(stored.rows(*rows, scratch), frames[number, slice(*rows)])


@pytest.mark.parametrize(
    "options",
    [
        {"chunks": (1, ROWS, COLUMNS), "compression": "gzip"},
        {"chunks": (2, ROWS, COLUMNS), "compression": LZ4},
        {"chunks": (1, ROWS, 100), "compression": LZ4},
        {"chunks": (1, ROWS, COLUMNS), "compression": LZ4, "fletcher32": True},
        {"chunks": (1, ROWS, COLUMNS), "compression": hdf5plugin.LZ4()},
        {"chunks": (1, ROWS, COLUMNS), "compression": hdf5plugin.Bitshuffle(cname="none")},
        {"chunks": (1, ROWS, COLUMNS)},
    ],
)
def test_everything_else_is_left_to_hdf5(tmp_path: Path, options: dict[str, object]) -> None:
    """Other layouts and filters."""
    eiger.store(tmp_path / "a.h5", counts("uint16"), **options)
    with h5py.File(tmp_path / "a.h5") as file:
        assert Chunks.of(file["entry/data/data"]) is None


def test_another_byte_order_is_left_to_hdf5(tmp_path: Path) -> None:
    """The decoder knows nothing of it."""
    eiger.store(tmp_path / "a.h5", counts(">u2"), chunks=(1, ROWS, COLUMNS), compression=LZ4)
    with h5py.File(tmp_path / "a.h5") as file:
        assert Chunks.of(file["entry/data/data"]) is None


def test_a_chunk_that_was_stored_as_it_is_is_left_to_hdf5(tmp_path: Path) -> None:
    """A writer may pass a filter by, chunk by chunk."""
    frames = counts("uint16")
    eiger.store(tmp_path / "a.h5", frames, chunks=(1, ROWS, COLUMNS), compression=LZ4)
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file["entry/data/data"].id.write_direct_chunk((2, 0, 0), frames[2].tobytes(), filter_mask=1)
    with h5py.File(tmp_path / "a.h5") as file:
        chunks = Chunks.of(file["entry/data/data"])
        assert chunks is not None
        assert chunks.open((2,)) is None
        assert chunks.open((3,)) is not None


def all_rows(chunks: Chunks, scratch: NDArray[np.generic]) -> None:
    """Of frame 1."""
    stored = chunks.open((1,))
    assert stored is not None
    stored.rows(0, ROWS, scratch)


def _stored(tmp_path: Path) -> bytes:
    eiger.store(tmp_path / "a.h5", counts("uint16"), chunks=(1, ROWS, COLUMNS), compression=LZ4)
    with h5py.File(tmp_path / "a.h5") as file:
        return bytes(file["entry/data/data"].id.read_direct_chunk((1, 0, 0))[1])


def _with_chunk(path: Path, stored: bytes) -> h5py.File:
    file = h5py.File(path, "r+")
    file["entry/data/data"].id.write_direct_chunk((1, 0, 0), stored)
    return file


@pytest.mark.parametrize("length", [0, 11, 12, 15, 16, 5000, -1, -5])
def test_a_chunk_that_is_cut_off(tmp_path: Path, length: int) -> None:
    """The frame is named; nothing is read beyond the chunk's end."""
    stored = _stored(tmp_path)
    with _with_chunk(tmp_path / "a.h5", stored[:length] or b"\0") as file:
        chunks = Chunks.of(file["entry/data/data"])
        assert chunks is not None
        with pytest.raises(DataError, match=r"a\.h5, dataset '/entry/data/data': truncated or damaged: .*frame 1"):
            all_rows(chunks, np.zeros(ROWS * COLUMNS, np.uint16))


@pytest.mark.parametrize(
    ("at", "form", "value"),
    [
        (0, ">Q", 2**40),
        (0, ">Q", 8),
        (8, ">I", 2**31),
        (8, ">I", 8200),
        (12, ">I", 2**32 - 1),
        (12, ">I", 3),
    ],
)
def test_a_chunk_with_wrong_lengths(tmp_path: Path, at: int, form: str, value: int) -> None:
    """Of all, of a block, and of a block as it is stored."""
    stored = bytearray(_stored(tmp_path))
    struct.pack_into(form, stored, at, value)
    with _with_chunk(tmp_path / "a.h5", bytes(stored)) as file:
        chunks = Chunks.of(file["entry/data/data"])
        assert chunks is not None
        with pytest.raises(DataError, match="truncated or damaged"):
            all_rows(chunks, np.zeros(ROWS * COLUMNS, np.uint16))


def test_a_head_that_leaves_the_size_of_a_block_open(tmp_path: Path) -> None:
    """HDF5's filter takes 8192 bytes then, and so do the rows that are read beside it."""
    stored = bytearray(_stored(tmp_path))
    struct.pack_into(">I", stored, 8, 0)
    with _with_chunk(tmp_path / "a.h5", bytes(stored)) as file:
        chunks = Chunks.of(file["entry/data/data"])
        assert chunks is not None
        opened = chunks.open((1,))
        assert opened is not None
        frame = counts("uint16")[1]
        assert np.array_equal(file["entry/data/data"][1], frame)
        assert np.array_equal(opened.rows(20, 43, np.zeros(ROWS * COLUMNS, np.uint16)), frame[20:43])


def test_a_chunk_of_noise_is_an_error_or_other_numbers(tmp_path: Path) -> None:
    """Its lengths are right and all else is wrong: the decoder neither crashes nor writes beside the frame."""
    stored = bytearray(_stored(tmp_path))
    rng = np.random.default_rng(1)
    for _ in range(100):
        broken = bytearray(stored)
        for at in rng.integers(16, 4000, 20):  # inside the first block
            broken[at] = rng.integers(256)
        with _with_chunk(tmp_path / "a.h5", bytes(broken)) as file:
            chunks = Chunks.of(file["entry/data/data"])
            assert chunks is not None
            guarded = np.full(ROWS * COLUMNS + 2000, 7, np.uint16)
            with suppress(DataError):
                all_rows(chunks, guarded[1000:-1000])
            assert (guarded[:1000] == 7).all()
            assert (guarded[-1000:] == 7).all()
