"""What a small file can ask for without end comes to an end:
links, virtual datasets, pages, headers, texts, numbers.
"""

import io
import struct
import tracemalloc
import zipfile
from pathlib import Path

import h5py
import hdf5plugin
import imagecodecs
import numpy as np
import pytest
import tifffile

from inphase.errors import DataError, TooLargeError
from inphase.formats import npz, read, tree
from inphase.formats.fio import read_fio
from inphase.formats.maps import read_map
from inphase.formats.spec import read_scan

COUNTS = np.random.default_rng(1).poisson(3, (4, 8, 10)).astype(np.uint16)


def test_soft_links_that_double_at_each_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each link passes twice through the one before, 30 times over:
    a thousand million steps, of which few are taken.
    """
    monkeypatch.setattr(tree, "_MAX_STEPS", 5000)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["data"] = COUNTS
        file["x0"] = h5py.SoftLink("/")
        for number in range(1, 31):
            file[f"x{number}"] = h5py.SoftLink(f"/x{number - 1}/x{number - 1}")
    with pytest.raises(TooLargeError, match="more than 5000 steps along its links"):
        read(tmp_path / "a.h5")


def test_many_honest_links_are_followed(tmp_path: Path) -> None:
    """2,000 soft links to one dataset are one dataset."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["entry/data"] = COUNTS
        for number in range(2000):
            file[f"links/{number}"] = h5py.SoftLink("/entry/data")
    np.testing.assert_array_equal(read(tmp_path / "a.h5").array, COUNTS)


def test_virtual_datasets_that_double_at_each_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes the one before twice, 30 times over."""
    monkeypatch.setattr(tree, "_MAX_STEPS", 5000)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["v0"] = np.ones((2, 4, 4), np.uint8)
        for number in range(1, 31):
            layout = h5py.VirtualLayout((2, 4, 4), np.uint8)
            for frame in range(2):
                layout[frame] = h5py.VirtualSource(".", f"v{number - 1}", (2, 4, 4))[frame]
            file.create_virtual_dataset(f"v{number}", layout)
    with pytest.raises(TooLargeError, match="virtual datasets"):
        read(tmp_path / "a.h5", dataset="v30")


def test_chunks_much_larger_than_their_dataset(tmp_path: Path) -> None:
    """400 numbers in chunks of 512 MiB, which pack into nothing, are refused by what they declare."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset(
            "data", (4, 10, 10), np.uint8, maxshape=(None,) * 3, chunks=(1, 2**15, 2**14), compression="gzip"
        )
    with pytest.raises(TooLargeError, match=r"holds 400 B in chunks of 2 GiB"):
        read(tmp_path / "a.h5")


def test_filters_of_no_detector_are_named(tmp_path: Path) -> None:
    """Decoders that a damaged file can crash are not offered to it."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset(
            "data", data=COUNTS.astype(np.float32), chunks=(1, 8, 10), **hdf5plugin.Zfp(reversible=True)
        )
    with pytest.raises(DataError, match=r"HDF5 filter 32013 \(zfp\), which is not read here: write the file anew"):
        read(tmp_path / "a.h5")


@pytest.mark.parametrize("big", [False, True])
def test_pages_that_lead_back(tmp_path: Path, big: bool) -> None:
    """The last page of a TIFF names the first one as the next: refused, as measurement and as map."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, COUNTS, bigtiff=big, photometric="minisblack", metadata=None)
    with tifffile.TiffFile(path) as tif:
        first = tif.pages[0].offset
        last = tif.pages.next_page_offset if len(tif.pages) == 4 else None
    assert last is not None
    content = bytearray(path.read_bytes())
    struct.pack_into("<Q" if big else "<I", content, last, first)
    path.write_bytes(content)
    for reader in (read, read_map):
        with pytest.raises(DataError, match="leads back to one of them after page 4"):
            reader(path)


@pytest.mark.parametrize("codec", ["zlib", "zstd", "lzma", "lzw"])
def test_a_strip_that_unpacks_to_more_than_its_page(tmp_path: Path, codec: str) -> None:
    """64 MiB in a page of 160 bytes: never held, whether the page is refused or cut off."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, COUNTS[0], compression=codec)
    bomb = getattr(imagecodecs, f"{codec}_encode")(bytes(2**26))
    with tifffile.TiffFile(path) as tif:
        tags = tif.pages[0].tags
        offsets, lengths = tags["StripOffsets"], tags["StripByteCounts"]
    content = bytearray(path.read_bytes())
    struct.pack_into("<HHII", content, offsets.offset, offsets.code, 4, 1, len(content))
    struct.pack_into("<HHII", content, lengths.offset, lengths.code, 4, 1, len(bomb))
    path.write_bytes(content + bomb)
    tracemalloc.start()
    try:
        assert read(path).array.nbytes == COUNTS[0].nbytes
    except DataError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 2**25


def archive(path: Path, **members: bytes) -> Path:
    """A packed npz of these members."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return path


def header(shape: tuple[int, ...]) -> bytes:
    """Of an array of float64."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"shape": shape, "fortran_order": False, "descr": "<f8"})
    return stream.getvalue()


def counts() -> bytes:
    """An honest member."""
    stream = io.BytesIO()
    np.save(stream, COUNTS)
    return stream.getvalue()


LONG_HEADER = b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**26) + b" " * 2**26


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"data": LONG_HEADER}, "declares 67108864 bytes for itself, more than 65536"),
        ({"data": counts(), "q_steps": LONG_HEADER}, "declares 67108864 bytes for itself"),
        ({"data": counts(), "q_steps": header((2**40,))}, "truncated: shape"),
        ({"data": counts(), "saturation": header((2**23,)) + bytes(2**26)}, "64 MiB, above the limit of 16 MiB"),
        ({"data": counts(), "mask": header((4, 8, 10)) + bytes(2**26)}, "longer than its header says"),
        ({"data": header((4, 8, 10)) + bytes(2**26)}, "longer than its header says"),
        ({"data": counts(), "dark": header((2**15, 2**15))}, "detector map|limit|truncated"),
    ],
)
def test_members_of_an_archive_that_unpack_to_much(tmp_path: Path, members: dict[str, bytes], words: str) -> None:
    """Refused by what they declare: 64 MiB in a file of 130 kB are never held."""
    path = archive(tmp_path / "a.npz", **members)
    assert path.stat().st_size < 200_000
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=words):
            read(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2**24


def test_a_header_of_npy_that_is_long(tmp_path: Path) -> None:
    """In a file of its own as well."""
    (tmp_path / "a.npy").write_bytes(LONG_HEADER[:200_000])
    for reader in (read, read_map):
        with pytest.raises(DataError, match="declares 67108864 bytes for itself, more than 65536"):
            reader(tmp_path / "a.npy")


def test_a_result_that_unpacks_to_more_than_allowed(tmp_path: Path) -> None:
    """The arrays of a result count together."""
    path = archive(tmp_path / "a.npz", **{f"x{i}": header((2**17,)) + bytes(2**20) for i in range(4)})
    assert len(npz.read_arrays(path)) == 4
    with pytest.raises(TooLargeError, match=r"4 MiB, above the limit of 3\.5 MiB"):
        npz.read_arrays(path, npz.Limits(2**20 * 7 // 2))


def test_a_text_of_motors_that_is_long(tmp_path: Path) -> None:
    """FIO: 17 MiB; SPEC: one scan of 17 MiB, one line folded without end."""
    (tmp_path / "a.fio").write_bytes(b"%p\na = 1\n" + b"!\n" * (17 * 2**19))
    with pytest.raises(TooLargeError, match="longer than 16 MiB"):
        read_fio(tmp_path / "a.fio")
    (tmp_path / "a.spec").write_bytes(b"#F a\n#S 1 ascan\n#L th\n" + b"#C long comment\n" * (17 * 2**16))
    with pytest.raises(TooLargeError, match="scan of more than 16 MiB"):
        read_scan(tmp_path / "a.spec", 1)
    (tmp_path / "b.spec").write_bytes(b"#F a\n#S 1 ascan\n" + b"#L th \\\n" * 2**18)
    with pytest.raises(TooLargeError, match="line above"):
        read_scan(tmp_path / "b.spec", 1)


def test_other_scans_of_a_long_file_are_passed_over(tmp_path: Path) -> None:
    """What is not asked for is not held: 34 MiB of other scans, then the wanted one."""
    other = b"#S 1 ascan  th 0 1\n#L th\n" + b"#C long comment\n" * 2**16 + b"\n"
    (tmp_path / "a.spec").write_bytes(b"#F a\n" + other * 34 + b"#S 2 ascan  th 0 1\n#N 1\n#L th\n1\n2\n")
    scan = read_scan(tmp_path / "a.spec", 2)
    assert scan.columns["th"].tolist() == [1, 2]


def test_a_fio_file_of_few_bytes_and_many_numbers(tmp_path: Path) -> None:
    """5,000 columns and 10,000 rows that do not fit would be 50 million numbers."""
    columns = b"".join(b"Col %d c%d DOUBLE\n" % (number, number) for number in range(5000))
    (tmp_path / "a.fio").write_bytes(b"%d\n" + columns + b"x\n" * 10_000)
    with pytest.raises(TooLargeError, match="more than 16777216 numbers"):
        read_fio(tmp_path / "a.fio")


@pytest.mark.parametrize("scale", [1e-300, 1e-20, 1e20, 1e300])
def test_a_geometry_that_no_measurement_has(tmp_path: Path, scale: float) -> None:
    """Steps whose squares or inverses overflow are refused with the range."""
    np.savez(tmp_path / "a.npz", data=COUNTS, q_steps=np.eye(3) * scale)
    with pytest.raises(DataError, match="which no measurement has"):
        read(tmp_path / "a.npz")


@pytest.mark.parametrize("value", [1e400, float("nan"), -9.0, 0.0, 1e300, 1e-300])
@pytest.mark.parametrize("name", ["Energy", "camdist"])
def test_numbers_of_a_spec_file_that_cannot_be(tmp_path: Path, name: str, value: float) -> None:
    """The scan comes without geometry, and says why; nothing fails further on."""
    motors = {"Delta": 30, "Theta": 0.1, "Chi": 90, "Phi": -5, "Gamma": 12, "camdist": 500, "Energy": 9} | {name: value}
    rows = "\n".join(f"{0.1 + 0.005 * i:.4f} {i}" for i in range(4))
    (tmp_path / "a.spec").write_text(
        f"#F x\n#O0 {'  '.join(motors)}\n#S 7 ascan  th 0 1\n#P0 {' '.join(map(str, motors.values()))}\n"
        f"#UIMDET 34idcTIM2:\n#L Theta  Epoch\n{rows}\n"
    )
    for index, frame in enumerate(COUNTS):
        tifffile.imwrite(tmp_path / f"x_{index:03d}.tif", frame)
    scan = read(tmp_path, scan=7)
    assert scan.geometry is None
    assert "no geometry" in scan.chosen
