"""Reconstructions of other programs, in our axes and sign."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from inphase.errors import DataError, TooLargeError
from inphase.formats import Limits
from inphase.formats.reconstruction import read_reconstruction


def test_pynx_result(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    """PyNX's result file: the object in entry_1/data_1, support beside the image, same axes and sign."""
    with h5py.File(tmp_path / "Run0001.cxi", "w") as file:
        file["entry_1/image_1/data"] = arrays["object"]
        file["entry_1/image_1/support"] = arrays["support"].astype(np.int8)
        file["entry_1/data_1/data"] = h5py.SoftLink("/entry_1/image_1/data")
        file["entry_last"] = h5py.SoftLink("/entry_1")
    back = read_reconstruction(tmp_path / "Run0001.cxi")
    assert np.array_equal(back.object, arrays["object"])
    assert back.support is not None
    assert np.array_equal(back.support, arrays["support"])


def test_pynx_modes(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    """mode.h5: the first mode, which has the largest weight."""
    with h5py.File(tmp_path / "mode.h5", "w") as file:
        file["entry_1/image_1/data"] = np.stack([arrays["object"], 0.1 * arrays["object"][::-1]])
        file["entry_1/data_2/data"] = [0.95, 0.05]
    back = read_reconstruction(tmp_path / "mode.h5")
    assert np.array_equal(back.object, arrays["object"])
    assert "first of 2 modes" in back.origin


def test_fft_shifted_image(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    """is_fft_shifted = 1: the quadrants are put back."""
    with h5py.File(tmp_path / "a.cxi", "w") as file:
        file["entry_1/image_1/data"] = np.fft.ifftshift(arrays["object"])
        file["entry_1/image_1/is_fft_shifted"] = 1
    assert np.array_equal(read_reconstruction(tmp_path / "a.cxi").object, arrays["object"])


def test_impossible_reconstructions(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Missing, real-valued, pickled, too large, of another shape than its support, truncated: one clear error each."""
    folder = tmp_path / "c"
    folder.mkdir()
    with pytest.raises(DataError, match=r"image\.npy: is missing"):
        read_reconstruction(folder)
    np.save(folder / "image.npy", np.ones((3, 3, 3)))
    with pytest.raises(DataError, match="no complex volume"):
        read_reconstruction(folder)
    np.save(folder / "image.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(DataError, match="no complex volume"):
        read_reconstruction(folder)
    np.save(folder / "image.npy", arrays["object"])
    with pytest.raises(TooLargeError):
        read_reconstruction(folder, limits=Limits(max_bytes=100))
    np.save(folder / "support.npy", np.ones((2, 2, 2)))
    with pytest.raises(DataError, match="another shape"):
        read_reconstruction(folder)
    with (folder / "image.npy").open("r+b") as stream:
        stream.truncate(1000)
    with pytest.raises(DataError, match="truncated"):
        read_reconstruction(folder)
    with h5py.File(tmp_path / "a.cxi", "w") as file:
        file["x"] = 1
    with pytest.raises(DataError, match="holds no reconstruction"):
        read_reconstruction(tmp_path / "a.cxi")
