"""inphase.formats.writers, cohere, matlab, reconstruction"""

from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

from inphase import ambiguity, fourier
from inphase.errors import DataError, TooLargeError
from inphase.formats import Limits, read
from inphase.formats.npz import read_result
from inphase.formats.reconstruction import read_reconstruction
from inphase.formats.writers import WRITERS, write_result, writer_for
from inphase.metrics import measure
from inphase.retrieval import recipe
from inphase.retrieval.engine import retrieve
from inphase.retrieval.problem import Problem
from inphase.retrieval.starts import Starts


@pytest.mark.parametrize(
    "name", ["out.cxi", "out.NPZ", "out.vti", "out.vts", "out.mat", "out.cohere", "out/", "results_phasing"]
)
def test_known_endings(tmp_path: Path, name: str) -> None:
    """Every ending, in any case, has its writer; a name that ends in / asks for a folder."""
    assert writer_for(f"{tmp_path}/{name}") in WRITERS.values()


@pytest.mark.parametrize("name", ["out.tif", "out", "out.cxi.bak"])
def test_unknown_ending_lists_the_known(tmp_path: Path, name: str) -> None:
    """A mistyped ending is answered with all that there are."""
    with pytest.raises(DataError, match=r"known endings: \.npz .*\.cxi .*\.vti .*\.vts .*\.mat .*\.cohere .*/ "):
        writer_for(tmp_path / name)


def test_what_stands_in_the_way(tmp_path: Path) -> None:
    """No folder to write into, a folder where a file is wanted, a file where a folder is, a folder of other things."""
    with pytest.raises(DataError, match="does not exist"):
        writer_for(tmp_path / "none" / "r.cxi")
    (tmp_path / "r.cxi").mkdir()
    with pytest.raises(DataError, match="is a folder: name a file"):
        writer_for(tmp_path / "r.cxi")
    (tmp_path / "r.cohere").write_text("")
    with pytest.raises(DataError, match="is a file: name a folder"):
        writer_for(tmp_path / "r.cohere")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("")
    (tmp_path / "measured").mkdir()
    np.save(tmp_path / "measured" / "scan.npy", np.zeros(1))
    for name in ("thesis", "measured"):
        with pytest.raises(DataError, match="holds other files"):
            writer_for(tmp_path / name)


@pytest.mark.parametrize("ending", [".npz", ".cxi", ".vti", ".vts", ".mat", ".cohere", "/"])
def test_a_failed_write_leaves_what_was_there(
    tmp_path: Path, arrays: dict[str, np.ndarray], ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the last step fails, the earlier result stands and nothing half-written stays."""
    output = f"{tmp_path}/r{ending}"
    write_result(output, arrays)
    before = {p.relative_to(tmp_path): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    broken = {
        **arrays,
        "object": arrays["object"][:, :, ::-1],
        "strain": np.array(["not a number"] * 480).reshape(10, 8, 6),
    }
    broken["phase_flat"] = broken["strain"]  # no writer can make numbers of it

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    for target in ("inphase.formats.npz.np.savez", "inphase.formats.writers.np.save", "inphase.formats.vtk._append"):
        monkeypatch.setattr(target, full)
    monkeypatch.setattr("inphase.formats.cxi._write_process", full)
    monkeypatch.setattr("inphase.formats.matlab.scipy.io.savemat", full)
    with pytest.raises(OSError, match="No space"):
        write_result(output, arrays)
    assert {p.relative_to(tmp_path): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_folder_of_arrays(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    """One npy for each array, and the document; writing again replaces the folder as a whole."""
    write_result(f"{tmp_path}/r/", arrays | {"stale": np.zeros(1)})
    write_result(f"{tmp_path}/r/", arrays)
    assert {path.stem for path in (tmp_path / "r").iterdir()} == set(arrays)
    for name, array in arrays.items():
        if name != "document":
            np.testing.assert_array_equal(np.load(tmp_path / "r" / f"{name}.npy"), array)
    assert (tmp_path / "r" / "document.json").read_text() == str(arrays["document"])


def test_npz_round_trip(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    """The geometry and the derived volumes come back as well."""
    write_result(tmp_path / "r.npz", arrays)
    back = read_result(tmp_path / "r.npz")
    assert np.array_equal(back.derived["strain"], arrays["strain"])
    assert set(back.derived) == {"strain", "displacement"}
    assert back.voxel_basis_m is not None
    assert np.array_equal(back.voxel_basis_m, arrays["voxel_basis_m"])


def test_the_coherence_kernel_comes_along(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Where light was not coherent the object alone no longer gives the chi2: npz, MATLAB and CXI hold what blurs its far field."""
    kernel = np.random.default_rng(2).random((3, 5, 7), np.float32)
    for ending in ("npz", "mat", "cxi"):
        write_result(tmp_path / f"r.{ending}", arrays | {"coherence_kernel": kernel})
    back = read_result(tmp_path / "r.npz").coherence_kernel
    assert back is not None
    np.testing.assert_array_equal(back, kernel)
    in_matlab = scipy.io.loadmat(tmp_path / "r.mat")["coherence_kernel"]
    np.testing.assert_array_equal(np.moveaxis(in_matlab, 2, 0), kernel)
    with h5py.File(tmp_path / "r.cxi") as file:
        np.testing.assert_array_equal(file["entry_1/instrument_1/detector_1/coherence_kernel"][()], kernel)


def test_matlab_sees_row_column_frame(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    """MATLAB's fftn of `object`, in its axis order, gives `modulus`."""
    write_result(tmp_path / "r.mat", arrays)
    content = scipy.io.loadmat(tmp_path / "r.mat")
    assert content["object"].shape == (8, 6, 10)
    far = np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(content["object"]), norm="ortho"))
    assert np.allclose(np.abs(far), content["modulus"], rtol=1e-4, atol=1e-4)


def test_cohere_folder_in_coheres_convention(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    """cohere goes to reciprocal space by ifft, its arrays are (column, row, frame), its data shifted to the corner:
    there |ifft(image)| is the modulus. With fft instead, the wrong sign, it is not."""
    write_result(tmp_path / "r.cohere", arrays)
    image = np.load(tmp_path / "r.cohere" / "image.npy")
    data = np.fft.fftshift(arrays["modulus"].transpose())  # as cohere reads data.tif and shifts it
    for transform, right in ((np.fft.ifftn, True), (np.fft.fftn, False)):
        far = np.abs(transform(image))
        far *= np.linalg.norm(data) / np.linalg.norm(far)
        assert np.allclose(far, data, rtol=1e-3, atol=1e-3) == right
    assert np.abs(image).max() == pytest.approx(1)
    support = np.load(tmp_path / "r.cohere" / "support.npy")
    assert np.array_equal(support.transpose() != 0, arrays["support"])


def test_cohere_round_trip(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Read back, the object is ours again up to the scale: same sign, same axes, no twin."""
    write_result(tmp_path / "results_phasing", arrays)
    back = read_reconstruction(tmp_path / "results_phasing")
    assert np.allclose(back.object * np.abs(arrays["object"]).max(), arrays["object"], rtol=1e-5)
    assert back.support is not None
    assert np.array_equal(back.support, arrays["support"])
    _, alignment = ambiguity.align(back.object, arrays["object"])
    assert not alignment.twin
    assert alignment.score > 0.999


def test_cohere_result_as_a_start(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Read back and taken as a start, one step of error reduction fits as well as our own object: chi2 is what is left
    outside the support, and the twin's would be far off."""
    obj = arrays["object"] * arrays["support"]
    modulus = np.abs(fourier.forward(obj)).astype(np.float32)
    write_result(tmp_path / "r.cohere", arrays | {"object": obj, "modulus": modulus})
    theirs = read_reconstruction(tmp_path / "r.cohere")
    assert theirs.support is not None
    starts = Starts(theirs.object[None], theirs.support[None], "imported")
    (solution,) = retrieve(Problem(modulus, np.zeros(modulus.shape, np.uint8)), recipe.parse("1*ER"), starts)
    assert measure(solution.object, solution.support, modulus, np.zeros(modulus.shape, np.uint8)).chi2 < 1e-6


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


VOLUME = np.random.default_rng(2).poisson(5, (9, 10, 11)).astype(np.uint16)


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


def test_coheres_data_tif(tmp_path: Path) -> None:
    """Pages are frames, (row, column) each: cohere transposes when it writes and when it reads, we do neither."""
    import tifffile

    in_cohere = np.sqrt(VOLUME.astype(np.float32)).transpose()
    tifffile.imwrite(tmp_path / "data.tif", np.abs(in_cohere).transpose().astype(np.float32))
    assert np.allclose(read(tmp_path / "data.tif").array ** 2, VOLUME, rtol=1e-5)
