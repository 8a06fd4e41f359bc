"""MATLAB files: what MATLAB counts as (row, column, frame) is (frame, row, column) here."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

from inphase.errors import DataError, TooLargeError
from inphase.formats import Limits, read
from inphase.formats.writers import write_result

VOLUME = np.random.default_rng(2).poisson(5, (9, 10, 11)).astype(np.uint16)


def test_matlab_sees_row_column_frame(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    """MATLAB's fftn of `object`, in its axis order, gives `modulus`."""
    write_result(tmp_path / "r.mat", arrays)
    content = scipy.io.loadmat(tmp_path / "r.mat")
    assert content["object"].shape == (8, 6, 10)
    far = np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(content["object"]), norm="ortho"))
    assert np.allclose(np.abs(far), content["modulus"], rtol=1e-4, atol=1e-4)


def test_matlab_5(tmp_path: Path) -> None:
    """A (row, column, frame) variable becomes (frame, row, column); `data` is preferred, others can be named."""
    scipy.io.savemat(tmp_path / "a.mat", {"data": np.moveaxis(VOLUME, 0, 2), "other": np.zeros((20, 20, 20))})
    scan = read(tmp_path / "a.mat")
    assert np.array_equal(scan.array, VOLUME)
    assert "(row, column, frame)" in scan.chosen
    assert read(tmp_path / "a.mat", dataset="other").array.shape == (20, 20, 20)
    with pytest.raises(DataError, match="no numeric variable 'x'"):
        read(tmp_path / "a.mat", dataset="x")


def test_matlab_7_3(tmp_path: Path) -> None:
    """Version 7.3 is HDF5, in which MATLAB's axes stand in reverse."""
    in_matlab = np.moveaxis(VOLUME, 0, 2)
    with h5py.File(tmp_path / "a.mat", "w", userblock_size=512) as file:
        file["data"] = in_matlab.transpose()
    assert np.array_equal(read(tmp_path / "a.mat").array, VOLUME)


@pytest.mark.parametrize("content", [np.ones(4), np.ones((4, 4, 4)) * 1j, "text"])
def test_matlab_without_a_measurement(tmp_path: Path, content: object) -> None:
    """Lines, complex fields and text are neither rocking curve nor frame."""
    scipy.io.savemat(tmp_path / "a.mat", {"data": content})
    with pytest.raises(DataError, match=r"a\.mat"):
        read(tmp_path / "a.mat")


def test_matlab_truncated_or_too_large(tmp_path: Path) -> None:
    """A file cut anywhere is an error; a declared size above the limit is refused."""
    scipy.io.savemat(tmp_path / "a.mat", {"data": VOLUME}, do_compression=True)
    with pytest.raises(TooLargeError):
        read(tmp_path / "a.mat", limits=Limits(max_bytes=500))
    whole = (tmp_path / "a.mat").read_bytes()
    for length in range(1, len(whole), 37):
        (tmp_path / "a.mat").write_bytes(whole[:length])
        with pytest.raises(DataError):
            read(tmp_path / "a.mat")
