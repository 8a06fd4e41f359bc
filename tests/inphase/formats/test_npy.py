"""inphase.formats.npy"""

import io
import pickle
from pathlib import Path

import numpy as np
import pytest

from inphase.errors import DataError, TooLargeError
from inphase.formats import Limits, read


def declared(path: Path, shape: tuple[int, ...], dtype: str = "<f8") -> Path:
    """A .npy file whose header promises an array that is not there."""
    with path.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, {"descr": dtype, "fortran_order": False, "shape": shape})
    return path


@pytest.mark.parametrize("dtype", ["u1", ">u2", "<i4", "<u8", "<f2", ">f4", "<f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_values_survive(tmp_path: Path, dtype: str, order: str) -> None:
    """Any real type in any byte and memory order comes back with its values, native and C-contiguous."""
    array = np.random.default_rng(0).poisson(9, (4, 5, 6)).astype(dtype, order=order)
    np.save(tmp_path / "a.npy", array)
    scan = read(tmp_path / "a.npy")
    assert np.array_equal(scan.array, array)
    assert scan.array.dtype.isnative
    assert scan.array.flags.c_contiguous
    assert scan.array.dtype.itemsize == array.dtype.itemsize


@pytest.mark.parametrize("shape", [(7,), (2, 2, 2, 2), (2, 2, 2, 2, 2), ()])
def test_other_dimensions_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """Anything but two or three dimensions is an error that gives the shape found."""
    np.save(tmp_path / "a.npy", np.zeros(shape))
    with pytest.raises(DataError, match=rf"a\.npy: has {len(shape)} dimension"):
        read(tmp_path / "a.npy")


@pytest.mark.parametrize("shape", [(1, 4, 5, 6), (4, 1, 5, 6), (4, 5, 6, 1), (1, 1, 4, 5, 6)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_further_axes_of_length_one_are_dropped(tmp_path: Path, shape: tuple[int, ...], order: str) -> None:
    """Wherever they stand, in either order of memory."""
    volume = np.arange(120).reshape(4, 5, 6)
    np.save(tmp_path / "a.npy", np.asarray(volume.reshape(shape), order=order))
    assert np.array_equal(read(tmp_path / "a.npy").array, volume)


def test_declared_size_is_checked_before_allocation(tmp_path: Path) -> None:
    """A 128-byte file that declares 100 GB is refused by its header, naming both sizes."""
    with pytest.raises(TooLargeError, match=r"93\.1 GiB, above the limit of 8 GiB"):
        read(declared(tmp_path / "a.npy", (1000, 2500, 5000)))


def test_declared_size_beyond_any_integer(tmp_path: Path) -> None:
    """The product of the declared sides does not overflow into a small number."""
    with pytest.raises(TooLargeError):
        read(declared(tmp_path / "a.npy", (2**32, 2**32, 2**32)))


def test_limit_is_configurable(tmp_path: Path) -> None:
    """An array one byte above the limit is refused, one at the limit is read."""
    np.save(tmp_path / "a.npy", np.zeros((10, 10, 10), np.uint8))
    assert read(tmp_path / "a.npy", limits=Limits(max_bytes=1000)).array.shape == (10, 10, 10)
    with pytest.raises(TooLargeError):
        read(tmp_path / "a.npy", limits=Limits(max_bytes=999))


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    """Neither an object array nor a bare pickle executes anything."""
    executed: list[str] = []

    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return executed.append, ("boom",)

    array = np.empty((1, 1, 1), object)
    array[0, 0, 0] = Bomb()
    np.save(tmp_path / "object.npy", array, allow_pickle=True)
    (tmp_path / "pickle.npy").write_bytes(pickle.dumps(Bomb()))
    for name in ("object.npy", "pickle.npy"):
        with pytest.raises(DataError):
            read(tmp_path / name)
    assert not executed


@pytest.mark.parametrize("dtype", ["<c8", "?", "S4", "U2", "<M8[s]"])
def test_other_types_are_refused(tmp_path: Path, dtype: str) -> None:
    """Only real numbers are a measurement."""
    np.save(tmp_path / "a.npy", np.zeros((3, 3, 3), dtype))
    with pytest.raises(DataError, match="not a real number"):
        read(tmp_path / "a.npy")


def test_structured_type_is_refused(tmp_path: Path) -> None:
    """Records are no measurement either."""
    np.save(tmp_path / "a.npy", np.zeros((3, 3, 3), [("counts", "<i4"), ("error", "<f4")]))
    with pytest.raises(DataError, match="not a real number"):
        read(tmp_path / "a.npy")


def test_every_truncation_is_found(tmp_path: Path) -> None:
    """A file cut at any byte is an error, never a shorter or zero-filled array; so is one with bytes appended."""
    stream = io.BytesIO()
    np.save(stream, np.arange(60, dtype=np.int32).reshape(3, 4, 5))
    whole = stream.getvalue()
    path = tmp_path / "a.npy"
    for content in [*(whole[:n] for n in range(len(whole))), whole + b"\0"]:
        path.write_bytes(content)
        with pytest.raises(DataError):
            read(path)


@pytest.mark.parametrize("shape", ["(-1, 4, 4)", "(4, 4, 4.0)", "(4, 4, True)", "('4', 4, 4)", "4"])
def test_absurd_header(tmp_path: Path, shape: str) -> None:
    """A header that is no shape is an error of the file, not of the program."""
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
    text = text.ljust(117) + "\n"
    (tmp_path / "a.npy").write_bytes(
        b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + bytes(256)
    )
    with pytest.raises(DataError):
        read(tmp_path / "a.npy")
