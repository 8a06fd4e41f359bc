"""Masks in files of their own, in every format, at every door, and boxes."""

import re
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile

import inphase
from inphase.errors import DataError

SCAN = np.random.default_rng(0).poisson(3, (9, 12, 10)).astype(np.uint32)
FRAME = np.zeros(SCAN.shape[1:], bool)
FRAME[3:5, 2] = FRAME[7, 8] = True


def edf(path: Path, image: np.ndarray, kind: str, order: str = "LowByteFirst") -> None:
    """As silx writes it: a header of 512 bytes, then the numbers."""
    head = f"{{\nByteOrder = {order} ;\nDataType = {kind} ;\nDim_1 = {image.shape[1]} ;\nDim_2 = {image.shape[0]} ;\n"
    path.write_bytes(head.ljust(510).encode() + b"}\n" + image.tobytes())


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """The counts in a file."""
    np.save(tmp_path / "scan.npy", SCAN)
    return tmp_path / "scan.npy"


def test_masks_of_every_kind_are_the_same(scan: Path, tmp_path: Path) -> None:
    """npy, TIFF with 255, EDF in both byte orders, CXI's bits, of a frame or of the scan."""
    np.save(tmp_path / "m.npy", FRAME)
    np.save(tmp_path / "whole.npy", np.broadcast_to(FRAME, SCAN.shape))
    tifffile.imwrite(tmp_path / "m.tif", np.where(FRAME, 255, 0).astype(np.uint8))
    edf(tmp_path / "m.edf", FRAME.astype(np.uint8), "UnsignedByte")
    content = (tmp_path / "m.edf").read_bytes()
    header = content[: -FRAME.size].replace(b"\n", b"\r\n")
    (tmp_path / "windows.edf").write_bytes(header + content[-FRAME.size :])
    edf(tmp_path / "big.edf", FRAME.astype(">i4"), "SignedInteger", "HighByteFirst")
    with h5py.File(tmp_path / "m.cxi", "w") as file:
        file["entry_1/instrument_1/detector_1/mask"] = np.where(FRAME, 0x200, 0x1000).astype(np.uint32)  # missing, good
    for name in ("m.npy", "whole.npy", "m.tif", "m.edf", "windows.edf", "big.edf", "m.cxi"):
        found = inphase.read(scan, mask=tmp_path / name)
        assert found.mask is not None, name
        assert np.array_equal(found.mask != 0, np.broadcast_to(FRAME, SCAN.shape)), name
        assert f"mask by {name}" in found.chosen


def test_a_mask_joins_that_of_the_file(tmp_path: Path) -> None:
    """What the measurement's own file masks stays masked."""
    own = np.zeros(SCAN.shape, np.uint8)
    own[4, 0, 0] = 1
    np.savez(tmp_path / "scan.npz", data=SCAN, mask=own)
    np.save(tmp_path / "m.npy", FRAME)
    mask = inphase.read(tmp_path / "scan.npz", mask=tmp_path / "m.npy").mask
    assert mask is not None
    assert np.array_equal(mask != 0, FRAME | (own != 0))


def test_boxes_mask_what_they_name(scan: Path, tmp_path: Path) -> None:
    """Rows and columns of every frame, or frames as well; what a file masks stays masked, and the count is told."""
    expected = np.zeros(SCAN.shape, bool)
    expected[:, 2:4, 5:9] = expected[7] = expected[1:3, :, 0] = True
    found = inphase.read(scan, masked="2:4,5:9; 7:8,:,:;1:3,:,0:1")
    assert found.mask is not None
    assert np.array_equal(found.mask != 0, expected)
    assert f"{expected.sum()} voxels masked by 3 boxes" in found.chosen
    np.save(tmp_path / "m.npy", FRAME)
    both = inphase.read(scan, mask=tmp_path / "m.npy", masked="0:1,0:1").mask
    assert both is not None
    corner = np.zeros(FRAME.shape, bool)
    corner[0, 0] = True
    assert np.array_equal(both != 0, np.broadcast_to(FRAME | corner, SCAN.shape))
    np.save(tmp_path / "frame.npy", SCAN[0])
    alone = inphase.read(tmp_path / "frame.npy", masked="2:4,5:9").mask
    assert alone is not None
    assert np.array_equal(alone != 0, expected[0])


@pytest.mark.parametrize(
    ("boxes", "words"),
    [
        ("", "names no box"),
        ("3:4", "is not understood: write r0:r1,c0:c1 or f0:f1"),
        ("1:2,3:4,5:6,7:8", "is not understood"),
        ("-3:4,0:1", "is not understood"),
        ("0:1,0:1;4,0:1", "the box '4,0:1' of masked= is not understood"),
        ("4:4,0:1", "is empty"),
        ("0:13,0:1", "reaches beyond the measurement, which is (9, 12, 10)"),
        (":,:", "masks 100% of the voxels"),
    ],
)
def test_boxes_that_mask_nothing_sensible_are_refused(scan: Path, boxes: str, words: str) -> None:
    """No box, another number of axes, a sign, an empty one, one beyond the scan, and all of it."""
    with pytest.raises(DataError, match=re.escape(words)):
        inphase.read(scan, masked=boxes)


def test_what_is_no_mask_is_refused(scan: Path, tmp_path: Path) -> None:
    """Another shape, an inverted one, another kind of file, a truncated EDF, a compressed one: each names the file."""
    np.save(tmp_path / "small.npy", FRAME[1:])
    np.save(tmp_path / "inverted.npy", ~FRAME)
    (tmp_path / "m.txt").write_text("0")
    edf(tmp_path / "short.edf", FRAME[:5].astype(np.uint8), "UnsignedByte")
    content = (tmp_path / "short.edf").read_bytes().replace(b"Dim_2 = 5 ;", b"Dim_2 = 9 ;")
    (tmp_path / "short.edf").write_bytes(content)
    (tmp_path / "packed.edf").write_bytes(content.replace(b"{\n", b"{\nCOMPRESSION = GZIP ;\n", 1))
    (tmp_path / "none.edf").write_bytes(b"II*\0")
    for name, words in (
        ("small.npy", "fits neither"), ("inverted.npy", "to be inverted"), ("m.txt", "TIFF, npy, EDF or CXI"),
        ("short.edf", "truncated"), ("packed.edf", "compressed"), ("none.edf", "is no EDF"),
        ("gone.npy", "no such file"),
    ):  # fmt: skip
        with pytest.raises(DataError, match=words) as raised:
            inphase.read(scan, mask=tmp_path / name)
        assert name in str(raised.value)
