"""Messages of Dectris detectors: recorded ones, and ones made as the documentation says."""

from pathlib import Path
from typing import Any

import cbor2
import h5py
import hdf5plugin
import numpy as np
import pytest
from numpy.typing import NDArray

from inphase.bridges import compression
from inphase.bridges.dectris import decode
from inphase.bridges.stream import End, Frame, Header, StreamError
from tests.inphase.bridges.encoded import compressed, legacy, second, tagged
from tests.inphase.bridges.recordings import messages

FRAMES = np.random.default_rng(0).poisson(2, (3, 20, 31)).astype(np.uint16)
MASK = np.zeros((20, 31), np.uint32)
MASK[4:6, 30] = 1


@pytest.mark.parametrize("sent", [legacy(FRAMES, MASK), second(FRAMES, MASK), second(FRAMES, MASK, algorithm="lz4")])
def test_a_series_is_understood(sent: list[list[bytes]]) -> None:
    """Header with rows first, mask and saturation; frames by their numbers; the end."""
    header, *frames, end = [decode(parts) for parts in sent]
    assert isinstance(header, Header)
    assert (header.shape, header.frames, header.remark) == ((20, 31), 3, "")
    assert header.saturation in (83270, 4_000_000)
    assert header.mask is not None
    np.testing.assert_array_equal(header.mask, MASK != 0)
    for number, (frame, counts) in enumerate(zip(frames, FRAMES, strict=True)):
        assert isinstance(frame, Frame)
        assert (frame.series, frame.number, frame.array.dtype) == (header.series, number, np.uint16)
        np.testing.assert_array_equal(frame.array, counts)
    assert end == End(header.series)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "float32"])
@pytest.mark.parametrize("algorithm", ["", "bslz4", "lz4"])
def test_arrays_of_v2_have_any_type(dtype: str, algorithm: str) -> None:
    """Compressed or not."""
    counts = FRAMES[0].astype(dtype)
    image = {"type": "image", "series_id": 1, "image_id": 4, "data": {"default": tagged(counts, algorithm)}}
    frame = decode([cbor2.dumps(image)])
    assert isinstance(frame, Frame)
    assert (frame.number, frame.array.dtype) == (4, counts.dtype)
    np.testing.assert_array_equal(frame.array, counts)


def test_the_channel_that_is_meant_is_taken() -> None:
    """The first one without a name; a name that there is not is refused."""
    image = second(FRAMES)[1]
    for channel, counts in (("", FRAMES[0]), ("threshold_1", FRAMES[0]), ("threshold_2", 0 * FRAMES[0])):
        frame = decode(image, channel)
        assert isinstance(frame, Frame)
        np.testing.assert_array_equal(frame.array, counts)
    with pytest.raises(StreamError, match="no channel 'low', but threshold_1, threshold_2"):
        decode(image, "low")


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ([], "empty"),
        ([b""], "empty"),
        ([b"\x00\x01"], "no|neither|map"),
        ([b"\xa1\x64type\x64what"], "'what' is none"),
        ([b'{"htype": "dhello-1.0"}'], "'dhello-1.0' is none"),
        ([b'{"htype'], "no JSON"),
        ([b'{"htype": "dimage-1.0", "frame": 3, "series": 6}'], "frame 3 of series 6 has 1 parts"),
        ([cbor2.dumps({"type": "image", "series_id": 1, "image_id": -1, "data": {}})], "no data|image_id"),
        ([cbor2.dumps({"type": "image", "data": {"a": cbor2.CBORTag(40, [[9, 9], b""])}})], "."),
        ([cbor2.dumps({"type": "image", "data": {"a": cbor2.CBORTag(87, b"")}})], "16 bytes"),
        ([cbor2.dumps({"type": "start", "series_id": 1})], "image_size_y"),
    ],
)
def test_strange_messages_are_refused_in_words(parts: list[bytes], reason: str) -> None:
    """They never end the bridge otherwise."""
    with pytest.raises(StreamError, match=reason):
        decode(parts)


def test_the_recorded_series_of_an_eiger_is_understood(real_data: Path) -> None:
    """An EIGER2 CdTe 9M; the recording has the first 20,000 bytes of each mask and image, and that is told."""
    header, *frames, end = messages(real_data, "eiger-small.cbors")
    understood = decode(header)
    assert isinstance(understood, Header)
    assert (understood.series, understood.shape, understood.frames) == ("6", (3262, 3108), 3)
    assert understood.saturation == 83270
    assert "the pixel mask: the data hold 20000 bytes" in understood.remark
    for number, parts in enumerate(frames):
        with pytest.raises(StreamError, match=f"frame {number} of series 6: .*cut off"):
            decode(parts)
    assert decode(end) == End("6")


def test_the_blocks_that_were_recorded_hold_what_hdf5_finds_in_them(real_data: Path) -> None:
    """The whole blocks of each recorded image, as an image of their own, against the filter of HDF5."""
    for parts in list(messages(real_data, "eiger-small.cbors"))[1:4]:
        counts, packed = _recorded_blocks(parts[2])
        assert counts.max() > 0
        np.testing.assert_array_equal(compression.decompressed("bslz4", packed, np.dtype("<u4"), counts.size), counts)


def _recorded_blocks(data: bytes) -> tuple[NDArray[Any], bytes]:
    """What HDF5 finds in the whole blocks of data that are cut off, and these blocks with a head of their own."""
    block, at, blocks = int.from_bytes(data[8:12], "big"), 12, 0
    while at + 4 <= len(data) and (end := at + 4 + int.from_bytes(data[at : at + 4], "big")) <= len(data):
        at, blocks = end, blocks + 1
    packed = (blocks * block).to_bytes(8, "big") + data[8:at]
    shape = (blocks * block // 4,)
    with h5py.File("memory", "w", driver="core", backing_store=False) as file:
        dataset = file.create_dataset("x", shape, "<u4", chunks=shape, **hdf5plugin.Bitshuffle(cname="lz4"))
        dataset.id.write_direct_chunk((0,), packed)
        return dataset[()], packed


def test_the_compression_of_the_tests_is_the_detectors(real_data: Path) -> None:
    """Packed again by the filter of HDF5, a recorded block has the recorded bytes' layout: the same head."""
    _, recorded = _recorded_blocks(list(messages(real_data, "eiger-small.cbors"))[1][2])
    counts = np.zeros(4096, np.uint32)
    assert compressed(counts, "bslz4")[8:12] == recorded[8:12]
