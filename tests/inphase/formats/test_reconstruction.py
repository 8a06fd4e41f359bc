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


@pytest.mark.parametrize("value", [np.nan, np.inf, 1j * np.nan])
def test_an_object_that_is_not_finite_is_refused(tmp_path: Path, arrays: dict[str, np.ndarray], value: complex) -> None:
    """A run that went astray, of PyNX, of cohere and of ours: the number of its voxels is told, and nothing else."""
    wrong = arrays["object"].copy()
    wrong[2, 3, 1] = wrong[0, 0, 0] = value
    with h5py.File(tmp_path / "a.cxi", "w") as file:
        file["entry_1/image_1/data"] = wrong
    (tmp_path / "results_phasing").mkdir()
    np.save(tmp_path / "results_phasing" / "image.npy", wrong)
    np.savez(tmp_path / "ours.npz", **arrays | {"object": wrong})
    for name in ("a.cxi", "results_phasing", "ours.npz"):
        with pytest.raises(DataError, match=f"2 of {wrong.size} voxels of the object are not finite"):
            read_reconstruction(tmp_path / name)


def test_what_pynx_tells_of_a_run(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Its figures under our names, the shape of the pattern beside a cropped object, and the voxels that it hid."""
    obj, whole = arrays["object"], (16, 16, 12)
    hidden = np.random.default_rng(2).random(whole) > 0.9
    with h5py.File(tmp_path / "Run0002.cxi", "w") as file:
        file["entry_1/image_1/data"] = obj
        file["entry_1/image_1/mask"] = arrays["support"]
        file["entry_1/image_1/support"] = h5py.SoftLink("/entry_1/image_1/mask")
        file["entry_1/program_name"] = "PyNX 2020.2"
        process = file.create_group("entry_1/image_1/process_1")
        process["configuration/iobs_shape"] = whole
        process["configuration/free_pixel_mask"] = hidden
        process["results/llk_poisson"], process["results/free_llk_poisson"] = 0.226, 0.216
        process["results/nb_point_support"] = 481
    back = read_reconstruction(tmp_path / "Run0002.cxi")
    assert back.program == "PyNX"
    assert (back.pattern_shape, back.pattern_told) == (whole, True)
    assert back.figures == pytest.approx({"llk": 0.226, "free_llk": 0.216, "support_voxels": 481})
    assert back.free is not None
    assert np.array_equal(back.free, hidden)
    assert back.geometry is None


@pytest.mark.parametrize("convention", ["cxi", "xu"])
def test_cdiutils_post_processed(tmp_path: Path, arrays: dict[str, np.ndarray], convention: str) -> None:
    """Amplitude and phase apart, the phase G.u, voxels in nanometres, Q in its own frame: all come to ours."""
    obj, size, q = arrays["object"], np.array([5.0, 6.0, 7.0]), np.array([0.3, 1.1, 2.4])  # (z, y, x); 1/angstrom
    stored = {"amplitude": np.abs(obj), "phase": -np.angle(obj), "support": arrays["support"].astype(float)}
    if convention == "xu":
        stored, size = {name: volume.swapaxes(1, 2) for name, volume in stored.items()}, size[[0, 2, 1]]
    with h5py.File(tmp_path / "S1_postprocessed_data.cxi", "w") as file:
        file["creator"] = "CdiUtils"
        for number, (name, volume) in enumerate(stored.items(), 1):
            file[f"entry_1/image_{number}/data"] = volume
            file[f"entry_1/{name}"] = h5py.SoftLink(f"/entry_1/image_{number}")
        file["entry_1/data_1/data"] = h5py.SoftLink("/entry_1/image_1/data")
        file["entry_1/result_1/voxel_size"] = size
        file["entry_1/parameters_1/orientation_convention"] = convention
        file["entry_1/parameters_1/q_lab_ref"] = q
    back = read_reconstruction(tmp_path / "S1_postprocessed_data.cxi")
    assert back.program == "cdiutils"
    assert np.allclose(back.object, obj, atol=1e-6)
    assert back.support is not None
    assert np.array_equal(back.support, arrays["support"])
    assert back.geometry is not None
    # a step along our (z, y, x) is 5, 6 and 7 nm along the laboratory's z, y and x
    basis = back.geometry.voxel_basis_m(obj.shape)
    assert np.allclose(basis * 1e9, [[0, 0, 5], [0, 6, 0], [7, 0, 0]])
    # xrayutilities' x runs along the beam, y outboard, z up
    assert back.geometry.q_centre == pytest.approx([1.1e10, 2.4e10, 0.3e10])
