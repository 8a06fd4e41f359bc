"""Compressed images, against the filters of HDF5 and bare LZ4 made here."""

import imagecodecs
import numpy as np
import pytest

from inphase.bridges.compression import decompressed, told_size
from inphase.bridges.stream import StreamError
from tests.inphase.bridges.encoded import compressed

COUNTS = np.random.default_rng(0).poisson(3, (37, 53))  # neither a whole number of blocks nor of eight elements


@pytest.mark.parametrize("algorithm", ["bslz4", "lz4"])
@pytest.mark.parametrize("dtype", ["u1", "<u2", "<u4", "<f4"])
@pytest.mark.parametrize("rows", [1, 37, 4000])
def test_what_a_filter_of_hdf5_has_packed_is_unpacked(algorithm: str, dtype: str, rows: int) -> None:
    """Images below a block, and of many blocks and a rest."""
    array = np.resize(COUNTS, (rows, 53)).astype(dtype)
    packed = compressed(array, algorithm)
    assert told_size(packed) == array.nbytes
    np.testing.assert_array_equal(decompressed(algorithm, packed, array.dtype, array.size), array.ravel())


def test_bare_lz4_has_no_head() -> None:
    """As V1 sends it without bitshuffle."""
    array = COUNTS.astype(np.uint16)
    packed = imagecodecs.lz4_encode(array.tobytes())
    np.testing.assert_array_equal(decompressed("bare lz4", packed, array.dtype, array.size), array.ravel())


@pytest.mark.parametrize("algorithm", ["bslz4", "lz4", "bare lz4"])
@pytest.mark.parametrize("cut", [0, 5, 12, 14, 200, -1])
def test_what_is_cut_off_is_refused(algorithm: str, cut: int) -> None:
    """Wherever it is cut."""
    array = COUNTS.astype(np.uint16)
    packed = imagecodecs.lz4_encode(array.tobytes()) if algorithm == "bare lz4" else compressed(array, algorithm)
    with pytest.raises(StreamError, match=r"cut off|instead of|hold"):
        decompressed(algorithm, packed[:cut], array.dtype, array.size)


def test_sizes_that_do_not_belong_together_are_refused() -> None:
    """Of the image, and of the blocks."""
    array = COUNTS.astype(np.uint16)
    packed = compressed(array, "bslz4")
    with pytest.raises(StreamError, match=f"tell of {array.nbytes} bytes, and the image takes {array.nbytes + 2}"):
        decompressed("bslz4", packed, array.dtype, array.size + 1)
    with pytest.raises(StreamError, match="blocks of 3 bytes"):
        decompressed("bslz4", packed[:8] + (3).to_bytes(4, "big") + packed[12:], array.dtype, array.size)
    with pytest.raises(StreamError, match="'gzip' is not known"):
        decompressed("gzip", packed, array.dtype, array.size)
