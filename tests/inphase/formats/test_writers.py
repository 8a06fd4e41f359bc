"""Which writer an ending asks for, and that a result is written whole or not at all."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

from inphase.errors import DataError
from inphase.formats.npz import read_result
from inphase.formats.writers import WRITERS, write_result, writer_for


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

    for target in ("inphase.formats.npz.save", "inphase.formats.writers.np.save", "inphase.formats.vtk._append"):
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
    assert np.array_equal(back.derived["strain"], arrays["strain"], equal_nan=True)
    assert set(back.derived) == {"strain", "displacement"}
    assert back.voxel_basis_m is not None
    assert np.array_equal(back.voxel_basis_m, arrays["voxel_basis_m"])


def test_the_coherence_kernel_comes_along(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Where light was not coherent the object alone no longer gives the chi2:
    npz, MATLAB and CXI hold what blurs its far field.
    """
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
