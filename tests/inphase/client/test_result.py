"""A fetched result in memory."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import inphase
from inphase.client import Result


@pytest.fixture(scope="module")
def image(models_dir: Path, pattern: NDArray[np.uint32]) -> inphase.Reconstruction:
    """What the library makes of the toy crystal."""
    return inphase.reconstruct(pattern, refine="none", models=models_dir)


@pytest.fixture(scope="module")
def result(image: inphase.Reconstruction, tmp_path_factory: pytest.TempPathFactory) -> Result:
    """The same through a file."""
    path = tmp_path_factory.mktemp("result") / "result.npz"
    inphase.write(image, path)
    return Result.load(path)


def test_it_holds_what_the_file_holds(image: inphase.Reconstruction, result: Result) -> None:
    """Every array, and the document as plain Python."""
    assert result.arrays.keys() == image.arrays.keys()
    for name, array in image.arrays.items():
        np.testing.assert_array_equal(result.arrays[name], array)
    for name in ("object", "amplitude", "phase", "support"):
        np.testing.assert_array_equal(getattr(result, name), image.arrays[name])
    assert result.document["metrics"]["final"]["chi2"] == image.report.metrics.final.chi2  # type: ignore[union-attr]


def test_it_says_of_itself_what_the_library_says(image: inphase.Reconstruction, result: Result) -> None:
    """Source, size, error, trust."""
    assert repr(result) == repr(image).replace("<Reconstruction of", "<Result of")
    assert repr(result).startswith("<Result of array: 64 x 64 x 64 voxels; chi2 ")


def test_a_plot_shows_the_arrays(result: Result) -> None:
    """Three planes through the middle of amplitude and phase, as far as the object lies in them and a quarter more;
    outside the support a phase is nothing.
    """
    figure = result.plot()
    drawn = [axis for axis in figure.axes if axis.images]
    assert [axis.get_title() for axis in drawn[:2]] == ["amplitude", "phase (rad)"]
    assert len(drawn) == 6
    middle = 32
    places = np.argwhere(result.support)
    sides = places.max(axis=0) + 1 - places.min(axis=0)
    first, end = places.min(axis=0) - sides // 4, places.max(axis=0) + 1 + sides // 4
    assert (first > 0).all()
    frames, rows, columns = map(slice, first, end)
    np.testing.assert_array_equal(drawn[0].images[0].get_array(), result.amplitude[middle, rows, columns])
    np.testing.assert_array_equal(drawn[2].images[0].get_array(), result.amplitude[frames, middle, columns])
    np.testing.assert_array_equal(drawn[4].images[0].get_array(), result.amplitude[frames, rows, middle])
    assert [(axis.get_ylabel(), axis.get_xlabel()) for axis in drawn[::2]] == [
        ("row", "column"), ("rocking", "column"), ("rocking", "row"),
    ]  # fmt: skip
    phase = np.ma.filled(drawn[1].images[0].get_array(), np.nan)
    inside = result.support[middle, rows, columns]
    np.testing.assert_array_equal(phase[inside], result.arrays["phase_flat"][middle, rows, columns][inside])
    assert np.isnan(phase[~inside]).all()


def test_a_plot_has_the_proportions_of_the_object(result: Result) -> None:
    """Where a voxel is twice as long along one axis, it is drawn so; where its size is not known, square."""
    sized = Result({**result.arrays, "voxel_size_m": np.array([2e-9, 1e-9, 4e-9])}, result.document)
    aspects = [[axis.get_aspect() for axis in each.plot().axes if axis.images][::2] for each in (sized, result)]
    assert aspects == [[0.25, 0.5, 2.0], [1.0, 1.0, 1.0]]


def test_strain_is_drawn_where_there_is_some(result: Result) -> None:
    """In parts of ten thousand."""
    strained = Result({**result.arrays, "strain": np.full(result.object.shape, 2e-4, np.float32)}, result.document)
    drawn = [axis for axis in strained.plot().axes if axis.images]
    assert [axis.get_title() for axis in drawn[:3]] == ["amplitude", "phase (rad)", "strain (1e-4)"]
    np.testing.assert_allclose(drawn[2].images[0].get_array(), 2.0, rtol=1e-6)


def test_an_image_has_one_plane(result: Result) -> None:
    """A single frame has no middle to cut through."""
    plane = {name: array[32] for name, array in result.arrays.items() if array.shape == (64, 64, 64)}
    drawn = [axis for axis in Result(plane, result.document).plot().axes if axis.images]
    assert len(drawn) == 2
