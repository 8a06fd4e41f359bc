"""cohere's folders and files, in cohere's conventions."""

from pathlib import Path

import numpy as np
import pytest

from inphase import ambiguity, fourier
from inphase.formats import read
from inphase.formats.reconstruction import read_reconstruction
from inphase.formats.writers import write_result
from inphase.metrics import measure
from inphase.retrieval import recipe
from inphase.retrieval.engine import retrieve
from inphase.retrieval.problem import Problem
from inphase.retrieval.starts import Starts

VOLUME = np.random.default_rng(2).poisson(5, (9, 10, 11)).astype(np.uint16)


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


def test_coheres_data_tif(tmp_path: Path) -> None:
    """Pages are frames, (row, column) each: cohere transposes when it writes and when it reads, we do neither."""
    import tifffile

    in_cohere = np.sqrt(VOLUME.astype(np.float32)).transpose()
    tifffile.imwrite(tmp_path / "data.tif", np.abs(in_cohere).transpose().astype(np.float32))
    assert np.allclose(read(tmp_path / "data.tif").array ** 2, VOLUME, rtol=1e-5)
