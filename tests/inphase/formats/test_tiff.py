"""inphase.formats.tiff"""

import io
import logging
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile

from inphase.errors import DataError, TooLargeError
from inphase.formats import Limits, read
from inphase.formats.scan import Saturation

STACK = np.random.default_rng(0).poisson(3, (6, 16, 20)).astype(np.int32)


@pytest.fixture(autouse=True)
def quiet() -> None:
    """tifffile logs each damage it meets; here there is a lot of it."""
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)


def folder(path: Path, stack: np.ndarray = STACK, first: int = 0, name: str = "s_{:05d}.tif") -> Path:
    """Writes a stack as single frames, as areaDetector does."""
    path.mkdir(exist_ok=True)
    for number, frame in enumerate(stack, first):
        tifffile.imwrite(path / name.format(number), frame, metadata=None)
    return path


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"imagej": True},
        {"metadata": None},
        {"compression": "zlib"},
        {"compression": "lzw"},
        {"compression": "lzw", "predictor": True, "byteorder": ">"},
        {"compression": "zstd"},
        {"compression": "zstd", "predictor": True},
        {"compression": "lzma"},
        {"compression": "packbits"},
        {"bigtiff": True},
        {"byteorder": ">"},
        {"metadata": None, "compression": "zlib"},
    ],
)
def test_stack(tmp_path: Path, options: dict[str, object]) -> None:
    """A stack comes back with its values however it was written."""
    stack = STACK.astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", stack, **options)
    scan = read(tmp_path / "a.tif")
    assert np.array_equal(scan.array, stack)
    assert scan.array.dtype == np.uint16
    assert scan.array.dtype.isnative


@pytest.mark.parametrize(
    "options", [{}, {"imagej": True}, {"metadata": None}, {"metadata": None, "compression": "zlib"}]
)
def test_every_truncation_of_a_stack_is_found(tmp_path: Path, options: dict[str, object]) -> None:
    """A stack cut anywhere is an error or the whole stack (only trailing bytes lost):
    never fewer pages, never zeros.
    """
    stack = STACK[:5, :6, :7].astype(np.uint16)
    stream = io.BytesIO()
    tifffile.imwrite(stream, stack, **options)
    whole = stream.getvalue()
    path = tmp_path / "a.tif"
    refused = 0
    for length in range(1, len(whole), 3):
        path.write_bytes(whole[:length])
        try:
            assert np.array_equal(read(path).array, stack), f"cut at {length}"
        except DataError:
            refused += 1
    assert refused > 0.8 * len(whole) / 3


def test_a_single_page_is_a_frame(tmp_path: Path) -> None:
    """It is read as it is, and said to be one page."""
    tifffile.imwrite(tmp_path / "a.tif", STACK[0])
    scan = read(tmp_path / "a.tif")
    np.testing.assert_array_equal(scan.array, STACK[0])
    assert scan.chosen == f"1 page (16, 20) {STACK.dtype}"


def test_not_a_tiff(tmp_path: Path) -> None:
    """Text behind a .tif name is an error that names the file."""
    (tmp_path / "a.tif").write_text("hello")
    with pytest.raises(DataError, match=r"a\.tif: truncated, damaged, or not a TIFF"):
        read(tmp_path / "a.tif")


def test_stack_above_the_limit(tmp_path: Path) -> None:
    """The declared size is checked before the pages are read."""
    tifffile.imwrite(tmp_path / "a.tif", STACK)
    with pytest.raises(TooLargeError):
        read(tmp_path / "a.tif", limits=Limits(max_bytes=STACK.nbytes - 1))


def test_folder_in_order_of_numbers(tmp_path: Path) -> None:
    """Frames are ordered by number, not by name (9 before 10), and may begin anywhere."""
    stack = np.arange(12 * 20, dtype=np.uint16).reshape(12, 4, 5)
    scan = read(folder(tmp_path / "scan", stack, first=3, name="s{}.tif"))
    assert np.array_equal(scan.array, stack)
    assert "12 frames s3.tif to s14.tif" in scan.chosen


def test_folder_may_hold_other_files(tmp_path: Path) -> None:
    """Notes, corrections, previews and hidden files are passed over and counted."""
    path = folder(tmp_path / "scan")
    tifffile.imwrite(path / "dark.tif", STACK[0])
    tifffile.imwrite(path / "flat_1.tif", STACK[0])
    (path / "scan.spec").write_text("#S 1")
    (path / ".s_00099.tif").write_bytes(b"half a copy")
    (path / "s_00042.png").write_bytes(b"")
    scan = read(path)
    assert np.array_equal(scan.array, STACK)
    assert "passed over 4 other files" in scan.chosen


def test_missing_frame_is_named(tmp_path: Path) -> None:
    """A gap in the numbers is an error that says which frame and between which files."""
    path = folder(tmp_path / "scan")
    (path / "s_00003.tif").unlink()
    with pytest.raises(DataError, match=r"frame 3 is missing, between s_00002\.tif and s_00004\.tif"):
        read(path)


def test_repeated_frame_is_named(tmp_path: Path) -> None:
    """Two files of one number are an error."""
    path = folder(tmp_path / "scan")
    tifffile.imwrite(path / "s_3.tif", STACK[0])
    with pytest.raises(DataError, match="frame 3 is there twice"):
        read(path)


def test_truncated_frame_is_named(tmp_path: Path) -> None:
    """One cut file among many is an error that names it."""
    path = folder(tmp_path / "scan")
    frame = path / "s_00004.tif"
    frame.write_bytes(frame.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"s_00004\.tif: truncated"):
        read(path)


def test_empty_frame_is_named(tmp_path: Path) -> None:
    """A file of no bytes, as a full disk leaves it, is an error that names it."""
    path = folder(tmp_path / "scan")
    (path / "s_00005.tif").write_bytes(b"")
    with pytest.raises(DataError, match=r"s_00005\.tif"):
        read(path)


@pytest.mark.parametrize("other", [STACK[0, :8], STACK[0].astype(np.uint16), STACK[:2]])
def test_frames_must_be_alike(tmp_path: Path, other: np.ndarray) -> None:
    """Another shape, type or number of pages is an error that names the file."""
    path = folder(tmp_path / "scan")
    tifffile.imwrite(path / "s_00002.tif", other, metadata=None)
    with pytest.raises(DataError, match=r"s_00002\.tif"):
        read(path)


def test_two_scans_in_one_folder(tmp_path: Path) -> None:
    """Two sequences are ambiguous; the beginning of the name decides."""
    path = folder(tmp_path / "scan", STACK, name="a_{:03d}.tif")
    folder(path, STACK + 1, name="b_{:03d}.tif")
    with pytest.raises(DataError, match="several sequences"):
        read(path)
    assert np.array_equal(read(path, dataset="b_").array, STACK + 1)


def test_folder_without_frames(tmp_path: Path) -> None:
    """An empty folder, or one of other files, says what was looked for and what is there."""
    with pytest.raises(DataError, match=r"no numbered TIFF frames.*no files"):
        read(tmp_path)
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(DataError, match=r"notes\.txt"):
        read(tmp_path)


def test_folder_above_the_limit(tmp_path: Path) -> None:
    """The size of all frames together is checked after the first header."""
    with pytest.raises(TooLargeError):
        read(folder(tmp_path / "scan"), limits=Limits(max_bytes=STACK.nbytes - 1))


def test_real_rocking_curve(real_data: Path) -> None:
    """Scan 54: 201 frames equal to the archive of the same scan, peak where its README says,
    in under 2 s (0.3 s measured).
    """
    begin = time.perf_counter()
    scan = read(real_data / "aps34idc_scan54" / "raw_tif")
    elapsed = time.perf_counter() - begin
    assert np.array_equal(scan.array, read(real_data / "aps34idc_scan54" / "S0054_raw_int32.npz").array)
    assert np.unravel_index(scan.array.argmax(), scan.array.shape) == (99, 126, 127)
    assert elapsed < 2


def test_compression_that_loses_counts_is_refused_by_name(tmp_path: Path) -> None:
    """In a stack and in a folder; the message says what is read."""
    stack = STACK.astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", stack, compression="jpeg2000")
    (tmp_path / "frames").mkdir()
    for number, frame in enumerate(stack):
        tifffile.imwrite(tmp_path / "frames" / f"s_{number}.tif", frame, compression="jpeg2000")
    for path in (tmp_path / "a.tif", tmp_path / "frames"):
        with pytest.raises(
            DataError, match=r"compressed with JPEG2000 \(TIFF compression 34712\).*LZW, deflate or zstd"
        ):
            read(path)


def test_imagejs_way_above_4_gb(tmp_path: Path) -> None:
    """One page, `images=6` in its description, the other frames behind it; cut anywhere it is an error."""
    stack, path = STACK.astype(np.uint16), tmp_path / "a.tif"
    with tifffile.TiffWriter(path, byteorder=">") as file:
        file.write(
            stack[0], description="ImageJ=1.53t\nimages=6\nslices=6\nloop=false\n", metadata=None, contiguous=True,
            photometric="minisblack",
        )  # fmt: skip
    with path.open("ab") as file:
        file.write(stack[1:].astype(">u2").tobytes())
    assert np.array_equal(read(path).array, stack)
    whole = path.read_bytes()
    for length in range(len(whole) - 5 * stack[0].nbytes, len(whole), 53):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match="truncated"):
            read(path)


def test_a_pilatus_tells_its_cutoff(tmp_path: Path) -> None:
    """In the header of each frame, and of the pages of a stack."""
    header = "# Pixel_size 172e-6 m x 172e-6 m\n# Silicon sensor\n# Count_cutoff 1048500 counts\n"
    (tmp_path / "frames").mkdir()
    for number, frame in enumerate(STACK):
        tifffile.imwrite(tmp_path / "frames" / f"s_{number}.tif", frame, description=header, metadata=None)
    tifffile.imwrite(tmp_path / "a.tif", STACK, description=header, metadata=None)
    for path in (tmp_path / "frames", tmp_path / "a.tif"):
        scan = read(path)
        assert scan.saturation == Saturation(1048500.0, "Count_cutoff of the TIFF's description")
        assert "saturated from 1048500 counts on" in scan.chosen


def test_numbers_without_zeros_in_front_in_a_folder_of_any_name(tmp_path: Path) -> None:
    """frame_1 ... frame_12 in the order of their numbers, blanks and umlauts or not."""
    stack = np.arange(12 * 9 * 9, dtype=np.int32).reshape(12, 9, 9)
    path = folder(tmp_path / "Messung Größe 試料 1", stack, first=1, name="Probe ä_{:d}.tif")
    assert np.array_equal(read(path).array, stack)
