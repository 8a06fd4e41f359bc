"""inphase.formats.npz"""

import errno
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from inphase.errors import DataError, TooLargeError
from inphase.formats import FileReading, Limits, RawScan, npz, read
from inphase.formats.npz import encode, read_result, write_result
from inphase.formats.scan import Saturation
from inphase.geometry import Geometry
from inphase.pattern import Domain

VOLUME = np.random.default_rng(0).poisson(3, (4, 5, 6)).astype(np.uint16)


def test_data_comes_first(tmp_path: Path) -> None:
    """The key `data` is the measurement even beside a larger array, and the report says what was passed over."""
    np.savez(tmp_path / "a.npz", data=VOLUME, background=np.zeros((9, 9, 9)))
    scan = read(tmp_path / "a.npz")
    assert np.array_equal(scan.array, VOLUME)
    assert "'data'" in scan.chosen
    assert "background" in scan.chosen


def test_else_the_largest_volume(tmp_path: Path) -> None:
    """Without `data` the largest three-dimensional array of real numbers is taken."""
    np.savez(
        tmp_path / "a.npz",
        x=np.zeros((2, 2, 2)),
        counts=VOLUME,
        plane=np.zeros((99, 99)),
        field=np.zeros((9, 9, 9), complex),
    )
    assert np.array_equal(read(tmp_path / "a.npz").array, VOLUME)


def test_equally_large_volumes_are_ambiguous(tmp_path: Path) -> None:
    """Two candidates of one size: the error names both, `dataset` decides."""
    np.savez(tmp_path / "a.npz", one=VOLUME, two=VOLUME + 1)
    with pytest.raises(DataError, match="one, two are equally large"):
        read(tmp_path / "a.npz")
    assert np.array_equal(read(tmp_path / "a.npz", dataset="two").array, VOLUME + 1)


def test_unknown_dataset_lists_what_is_there(tmp_path: Path) -> None:
    """A wrong key is answered with the right ones."""
    np.savez(tmp_path / "a.npz", counts=VOLUME)
    with pytest.raises(DataError, match=r"no array 'x'; it holds counts \(4, 5, 6\) uint16"):
        read(tmp_path / "a.npz", dataset="x")


def test_geometry(tmp_path: Path) -> None:
    """q_steps and q_centre beside the data become the geometry: 2 pi / (N dq) is the voxel."""
    np.savez(tmp_path / "a.npz", data=VOLUME, q_steps=np.diag([1e6, 2e6, 4e6]), q_centre=[0.0, 0.0, 2.7e10])
    geometry = read(tmp_path / "a.npz").geometry
    assert geometry is not None
    assert geometry.voxel_size_m((10, 10, 10)) == pytest.approx((2e-7 * np.pi, 1e-7 * np.pi, 5e-8 * np.pi))


@pytest.mark.parametrize("steps", [np.zeros((3, 3)), np.eye(2), np.full((3, 3), np.nan), np.ones(3)])
def test_impossible_geometry_is_refused(tmp_path: Path, steps: np.ndarray) -> None:
    """q_steps that give no voxel size are an error, not a result with a wrong one."""
    np.savez(tmp_path / "a.npz", data=VOLUME, q_steps=steps)
    with pytest.raises(DataError, match="q_steps"):
        read(tmp_path / "a.npz")


def test_a_measurement_keeps_its_geometry(tmp_path: Path) -> None:
    """Steps, Q and the sample's rotation come back from what is sent to a service;
    a rotation that is none is refused.
    """
    turned = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    sent = RawScan(VOLUME, Geometry(np.diag([1e6, 2e6, 4e6]), np.array([0.0, 1e10, 0.0]), turned), "a", "all")
    (tmp_path / "a.npz").write_bytes(encode(sent))
    back = read(tmp_path / "a.npz").geometry
    assert back is not None
    for name in ("q_steps", "q_centre", "sample_rotation"):
        np.testing.assert_array_equal(getattr(back, name), getattr(sent.geometry, name))
    np.savez(tmp_path / "b.npz", data=VOLUME, q_steps=np.eye(3), sample_rotation=2 * turned)
    with pytest.raises(DataError, match="sample_rotation"):
        read(tmp_path / "b.npz")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_every_truncation_is_found(tmp_path: Path, save: object) -> None:
    """An archive cut at any byte is an error."""
    stream = io.BytesIO()
    save(stream, data=VOLUME)  # type: ignore[operator]
    whole = stream.getvalue()
    path = tmp_path / "a.npz"
    for length in range(1, len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError):
            read(path)


def test_bit_flips_are_found_or_harmless(tmp_path: Path) -> None:
    """A damaged byte gives the right array or a DataError, never another exception and never wrong counts (the
    archive has a checksum).
    """
    stream = io.BytesIO()
    np.savez_compressed(stream, data=VOLUME)
    whole = bytearray(stream.getvalue())
    path = tmp_path / "a.npz"
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 0xFF
        path.write_bytes(damaged)
        try:
            array = read(path).array
        except DataError:
            continue
        assert np.array_equal(array, VOLUME), f"byte {position}"


def test_zip_bomb(tmp_path: Path) -> None:
    """A small archive that inflates beyond the limit is refused by what its header declares."""
    np.savez_compressed(tmp_path / "a.npz", data=np.zeros((64, 256, 256), np.uint8))
    assert (tmp_path / "a.npz").stat().st_size < 2**14
    with pytest.raises(TooLargeError, match="4 MiB, above the limit of 1 MiB"):
        read(tmp_path / "a.npz", limits=Limits(max_bytes=2**20))


def test_member_longer_than_its_header(tmp_path: Path) -> None:
    """A member that goes on after its array (a bomb behind a small header) is refused unread."""
    stream = io.BytesIO()
    np.save(stream, VOLUME)
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.npy", stream.getvalue() + bytes(2**20))
    with pytest.raises(DataError, match="longer than its header says"):
        read(tmp_path / "a.npz")


def test_too_many_members(tmp_path: Path) -> None:
    """An archive of thousands of members is refused before they are opened."""
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        for index in range(1001):
            archive.writestr(f"{index}.npy", b"")
    with pytest.raises(TooLargeError, match="1001 arrays"):
        read(tmp_path / "a.npz")


def result(voxel_size_m: tuple[float, float, float] = (1e-9, 2e-9, 3e-9)) -> dict[str, np.ndarray]:
    """A small result with recognisable numbers."""
    rng = np.random.default_rng(1)
    field = (rng.normal(size=(4, 4, 4)) + 1j * rng.normal(size=(4, 4, 4))).astype(np.complex64)
    return {
        "object": field,
        "amplitude": np.abs(field),
        "phase": np.angle(field),
        "phase_flat": np.angle(field),
        "support": np.abs(field) > 1,
        "modulus": np.abs(np.fft.fftn(field)).astype(np.float32),
        "mask": rng.integers(0, 3, (4, 4, 4), np.uint8),
        "voxel_size_m": np.array(voxel_size_m),
        "document": np.array(json.dumps({"id": "x", "metrics": {"final": {"chi2": 0.001}}})),
    }


def test_result_round_trip(tmp_path: Path) -> None:
    """What is written comes back bit for bit, under the keys that the interface promises."""
    written = result()
    write_result(tmp_path / "r.npz", written)
    back = read_result(tmp_path / "r.npz")
    for name in ("object", "support", "phase_flat", "modulus", "mask"):
        assert np.array_equal(getattr(back, name), written[name])
    assert back.voxel_size_m == (1e-9, 2e-9, 3e-9)
    assert back.document["metrics"]["final"]["chi2"] == 0.001
    with np.load(tmp_path / "r.npz") as archive:
        assert set(archive) == set(written)


def test_result_without_geometry(tmp_path: Path) -> None:
    """An unknown voxel size stays unknown."""
    write_result(tmp_path / "r.npz", result((np.nan, np.nan, np.nan)))
    assert read_result(tmp_path / "r.npz").voxel_size_m is None


def test_the_geometry_of_a_result(tmp_path: Path) -> None:
    """A sheared basis and Q come back as the geometry of the grid; NaN stands for what is unknown."""
    basis = np.array([[1e-9, 0, 0], [0, 2e-9, 0], [0, 1.8e-9, 2.4e-9]])
    places = {"voxel_basis_m": basis, "q_centre": np.array([0, 2.7e10, 0]), "sample_rotation": np.full((3, 3), np.nan)}
    write_result(tmp_path / "r.npz", result() | places)
    geometry = read_result(tmp_path / "r.npz").geometry
    assert geometry is not None
    np.testing.assert_allclose(geometry.voxel_basis_m((4, 4, 4)), basis, atol=1e-24)
    np.testing.assert_array_equal(geometry.q_centre, [0, 2.7e10, 0])
    assert geometry.sample_rotation is None
    write_result(tmp_path / "n.npz", result() | {"voxel_basis_m": np.full((3, 3), np.nan)})
    assert read_result(tmp_path / "n.npz").geometry is None


def test_incomplete_result_is_refused(tmp_path: Path) -> None:
    """A result without its mask could not be checked by anyone: it is not written."""
    arrays = result()
    del arrays["mask"]
    with pytest.raises(ValueError, match="needs mask"):
        write_result(tmp_path / "r.npz", arrays)
    assert not list(tmp_path.iterdir())


def test_result_is_readable_as_a_measurement(tmp_path: Path) -> None:
    """The measured modulus of a result file can be reconstructed again."""
    write_result(tmp_path / "r.npz", result())
    assert np.array_equal(read(tmp_path / "r.npz", domain=Domain.MODULUS).array, result()["modulus"])


def test_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk fills up, the earlier result survives and no partial file stays."""
    write_result(tmp_path / "r.npz", result())
    before = (tmp_path / "r.npz").read_bytes()

    def full(stream: io.BufferedWriter, _: object) -> None:
        stream.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(npz, "save", full)
    with pytest.raises(OSError, match="No space"):
        write_result(tmp_path / "r.npz", result())
    assert [path.name for path in tmp_path.iterdir()] == ["r.npz"]
    assert (tmp_path / "r.npz").read_bytes() == before


def test_not_a_result(tmp_path: Path) -> None:
    """Another archive is told apart from a result."""
    np.savez(tmp_path / "a.npz", data=VOLUME)
    with pytest.raises(DataError, match="not a result of inphase"):
        read_result(tmp_path / "a.npz")


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float32, np.float64])
def test_a_mask_comes_with_the_scan(tmp_path: Path, dtype: type) -> None:
    """`mask` of one frame or of all frames; True and 1 are masked."""
    frame = np.zeros(VOLUME.shape[1:], dtype)
    frame[1, 2] = 1
    for mask in (frame, np.broadcast_to(frame, VOLUME.shape)):
        np.savez(tmp_path / "a.npz", data=VOLUME, mask=mask)
        scan = read(tmp_path / "a.npz")
        assert scan.mask is not None
        assert scan.mask.dtype == np.uint8
        assert np.array_equal(scan.mask, np.broadcast_to(frame, VOLUME.shape))
        assert "with its mask" in scan.chosen


@pytest.mark.parametrize(
    "mask", [np.zeros((2, 2)), np.full(VOLUME.shape, 3), np.full(VOLUME.shape, 0.5), -np.ones(VOLUME.shape, int)]
)
def test_a_mask_that_is_none(tmp_path: Path, mask: np.ndarray) -> None:
    """Another shape or other values: told, because a mask that is read wrongly is worse than none."""
    np.savez(tmp_path / "a.npz", data=VOLUME, mask=mask)
    with pytest.raises(DataError, match="mask"):
        read(tmp_path / "a.npz")


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.float32])
def test_a_mask_of_all_voxels_is_no_second_measurement(tmp_path: Path, dtype: type) -> None:
    """However the measurement is called; a file that holds nothing but a mask is read as one."""
    mask = np.zeros(VOLUME.shape, dtype)
    mask[1, 2:4] = 1
    np.savez(tmp_path / "a.npz", frames=VOLUME, mask=mask)
    scan = read(tmp_path / "a.npz")
    assert np.array_equal(scan.array, VOLUME)
    assert scan.mask is not None
    assert np.array_equal(scan.mask, mask)
    np.savez(tmp_path / "a.npz", frames=VOLUME, mask=255 * mask.astype(np.uint8))
    with pytest.raises(DataError, match=r"key 'mask': .* uint8, does not: write mask != 0"):
        read(tmp_path / "a.npz")
    if dtype is not bool:
        np.savez(tmp_path / "a.npz", mask=mask)
        assert np.array_equal(read(tmp_path / "a.npz").array, mask)


def test_encode_is_what_decode_reads() -> None:
    """A scan survives the trip to a service with geometry and mask; a mask of one frame travels as one frame."""
    mask = np.broadcast_to(np.eye(5, 6, dtype=np.uint8), VOLUME.shape)
    scan = RawScan(VOLUME, Geometry(np.diag([1.0, 2.0, 3.0])), "", "", mask=mask)
    body = npz.encode(scan)
    back = npz.decode(io.BytesIO(body), "", FileReading(Path()))
    assert np.array_equal(back.array, VOLUME)
    assert back.mask is not None
    assert np.array_equal(back.mask, mask)
    assert back.geometry is not None
    assert back.geometry.q_centre is None
    with np.load(io.BytesIO(body)) as archive:
        assert archive["mask"].shape == VOLUME.shape[1:]


@pytest.mark.parametrize("shape", [(1, 4, 5, 6), (4, 1, 5, 6), (4, 5, 6, 1)])
def test_further_axes_of_length_one(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """Dropped from array and mask."""
    mask = (VOLUME > 4).astype(np.int64)
    np.savez(tmp_path / "a.npz", data=VOLUME.reshape(shape), mask=mask.reshape(shape))
    scan = read(tmp_path / "a.npz")
    assert np.array_equal(scan.array, VOLUME)
    assert scan.mask is not None
    assert np.array_equal(scan.mask, mask)


@pytest.mark.parametrize("dtype", ["?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"])
def test_a_mask_of_any_integer_type(tmp_path: Path, dtype: str) -> None:
    """0 and 1 mean the same in each."""
    mask = np.zeros(VOLUME.shape[1:], dtype)
    mask[2, 3] = 1
    np.savez(tmp_path / "a.npz", data=VOLUME, mask=mask)
    found = read(tmp_path / "a.npz").mask
    assert found is not None
    assert np.array_equal(np.argwhere(found[3]), [[2, 3]])


def test_the_saturation_goes_and_comes(tmp_path: Path) -> None:
    """What a reader knows reaches the service, and a file may say it itself; what is no number of counts is refused."""
    sent = RawScan(VOLUME, None, "here", "all", saturation=Saturation(9.0, "the file"))
    (tmp_path / "a.npz").write_bytes(encode(sent))
    assert read(tmp_path / "a.npz").saturation == Saturation(9.0, "key 'saturation'")
    np.savez(tmp_path / "b.npz", data=VOLUME, saturation=[12])
    scan = read(tmp_path / "b.npz")
    assert scan.saturation is not None
    assert scan.saturation.level == 12
    assert "saturated from 12 counts on" in scan.chosen
    for wrong in (0, -1, np.nan, [1, 2], "much"):
        np.savez(tmp_path / "c.npz", data=VOLUME, saturation=wrong)
        with pytest.raises(DataError, match=r"c\.npz, key 'saturation'"):
            read(tmp_path / "c.npz")
