"""Frames as bytes, against a layout that is written down by hand."""

import struct

import numpy as np
import pytest

from inphase.client.bodies import encode_frames as encode
from inphase.client.bodies import of_frames, of_positions
from inphase.errors import DataError
from inphase.formats import RawScan
from inphase.live.batch import decode, decode_positions
from inphase.live.curve import Curve


def test_the_layout_is_the_documented_one() -> None:
    """8 bytes of place, then rows, all little endian, whatever order and layout the array has in memory."""
    frame = np.asfortranarray(np.array([[1, 2, 3], [4, 5, 600]], ">u2"))
    assert encode([7], [frame]) == struct.pack("<Q6H", 7, 1, 2, 3, 4, 5, 600)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "uint64", "float32"])
def test_what_was_sent_comes_back(dtype: str) -> None:
    """In the order in which it was sent, in this machine's byte order."""
    frames = np.arange(24).reshape(2, 3, 4).astype(dtype)
    curve = Curve(RawScan(np.zeros((3, 4), dtype), None, "", ""))
    (first, one), (second, two) = decode(encode([9, 2], list(frames)), curve)
    assert (first, second, one.dtype) == (9, 2, np.dtype(dtype))
    np.testing.assert_array_equal([one, two], frames)


@pytest.mark.parametrize(
    ("places", "frames", "says"),
    [
        ([0, 1], [np.zeros((3, 4)), np.zeros((4, 3))], "one shape"),
        ([0, 1], [np.zeros((3, 4), np.float32), np.zeros((3, 4), np.int32)], "one type"),
        ([0], [np.zeros((1, 3, 4))], "rows, columns"),
        ([], [], "found none"),
        ([-1], [np.zeros((3, 4))], "counted from 0"),
        ([0, 1], [np.zeros((3, 4))], "need 1 places"),
    ],
)
def test_batches_that_are_none_are_not_sent(places: list[int], frames: list[np.ndarray], says: str) -> None:
    """Bytes would not tell."""
    with pytest.raises(ValueError, match=says):
        of_frames(places, frames)


@pytest.mark.parametrize(
    "positions", [[[0.0, 1, 2], [3, 4, 5]], [0.0, 1, 2, 3, 4, 5], [[0.0, 1], [2, 3]], [[0.0, 1, 2]]]
)
def test_positions_of_another_shape_are_not_sent(positions: list[list[float]]) -> None:
    """Above all rows and columns one after the other, which have as many numbers."""
    with pytest.raises(ValueError, match=r"\(3, 2\), \(row, column\)"):
        of_positions([0, 1, 2], positions)


@pytest.mark.parametrize("cut", [0, 5, -1])
def test_half_a_frame_is_none(cut: int) -> None:
    """Nothing is taken from a body that was cut off."""
    body = encode([0], [np.zeros((3, 4), np.uint16)])[:cut]
    with pytest.raises(DataError, match="each takes 32 here"):
        decode(body, Curve(RawScan(np.zeros((3, 4), np.uint16), None, "", "")))


def test_positions_are_three_numbers_of_eight_bytes() -> None:
    """To the last digit, and also what is none."""
    body = b"".join(of_positions([7, 2**40], [[1 / 3, -2.5e-7], [float("inf"), 0]]).chunks())
    assert body == struct.pack("<QddQdd", 7, 1 / 3, -2.5e-7, 2**40, float("inf"), 0)
    assert decode_positions(body) == [(7, (1 / 3, -2.5e-7)), (2**40, (float("inf"), 0.0))]
    for cut in (b"", body[:-1]):
        with pytest.raises(DataError, match="each takes 24"):
            decode_positions(cut)
