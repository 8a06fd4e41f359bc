"""How far a measurement holds more than noise, and the grid that follows from it."""

import numpy as np
import pytest

from inphase.errors import DataError
from inphase.pattern import Domain
from inphase.preprocess.pipeline import cleaned
from inphase.preprocess.reach import Grid, finest, parsed, reach
from inphase.preprocess.recipe import preset
from tests.inphase.preprocess.simulated import counts, crystal, pattern

AUTO = preset("auto", Domain.COUNTS)


def _found(array: np.ndarray, asked: Grid, shape: tuple[int, int, int] = (32, 32, 32)):
    clean = cleaned(pattern(array), AUTO)
    model = clean.on(shape)
    return clean, model, finest(clean, model.transform, asked)


def test_the_reach_ends_where_counts_vanish_in_the_background() -> None:
    """A box of light in a flat background: its half sides, to the width of a band; without the background all of it
    counts that holds a photon, and a gap of the detector ends nothing.
    """
    rate = np.full((64, 96, 96), 0.5)
    rate[12:53, 28:69, 8:89] += 2.0
    peak = (32, 48, 48)
    found = reach(pattern(np.random.default_rng(0).poisson(rate)), peak, 0.5)
    for distance, expected, far in zip(found, (20, 20, 40), (32, 48, 48), strict=True):
        assert 0 <= distance - expected <= 2 * far / 32 + 1
    gap = np.zeros(rate.shape, bool)
    gap[:, 56:62] = True
    assert reach(pattern(np.random.default_rng(0).poisson(rate), gap), peak, 0.5)[1] == found[1]
    light = np.zeros(rate.shape)
    light[:, 38:59, 40:57] = 3.0
    assert reach(pattern(np.random.default_rng(0).poisson(light)), peak, 0.0)[0] == 33  # the last plane is 32 away


def test_noise_alone_reaches_nowhere() -> None:
    """Of twenty flat backgrounds none is taken for light, also where the level is 5 % wrong."""
    for seed in range(20):
        flat = pattern(np.random.default_rng(seed).poisson(0.3, (64, 64, 64)))
        assert reach(flat, (32, 32, 32), 0.3) == (0, 0, 0)
        assert reach(flat, (32, 32, 32), 0.285) == (0, 0, 0)


def test_a_measurement_that_the_model_grid_holds_needs_no_finer_one() -> None:
    """Neither by default, nor by a number, nor as a whole."""
    array = counts(crystal(2, (32, 32, 32), (3.0, 3.0, 3.0)).intensity, 1e6)
    for asked in ("model", "auto", "measured", 128):
        _, _, found = _found(array, asked)  # type: ignore[arg-type]
        assert found.window is None, asked
        assert found.why


def test_the_finest_window_holds_that_of_the_model_and_the_peak() -> None:
    """By default and as a whole, for a peak off the middle: whole voxels of the model's bins, and the brightest voxel
    at its DC voxel.
    """
    array = counts(crystal(4, (64, 84, 72), (9.0, 6.0, 3.0), peak=(2.0, -3.0, 1.0)).intensity, 1e7)
    for asked in ("auto", "measured"):
        clean, model, found = _found(array, asked)  # type: ignore[arg-type]
        assert found.window is not None
        whole = clean.in_window(found.window)
        model.transform.onto(whole.transform)  # raises where it could not be
        for n, b, side, its in zip(
            model.transform.shape_out, model.transform.bins, found.window.shape, found.window.bins, strict=True
        ):
            assert side * its >= n * b
            assert side % 2 == 0
        assert tuple(n // 2 for n in whole.pattern.shape) == np.unravel_index(
            whole.pattern.intensity.argmax(), whole.pattern.shape
        )
        assert whole.counts_inside > 0.99
        if asked == "measured":
            assert found.window.bins == (1, 1, 1)
        else:  # the fringes stay sampled four times as finely as they are wide
            assert all(s >= 4 or b == 1 for s, b in zip(whole.oversampling_after, found.window.bins, strict=True))


@pytest.mark.parametrize(("asked", "bins"), [("auto", (3, 2, 1)), (128, (3, 2, 1)), ("measured", (1, 1, 1))])
def test_factors_that_a_caller_named_stay(asked: Grid, bins: tuple[int, ...]) -> None:
    """On the finer grid as on the model's, also where the oversampling would allow half of them."""
    array = counts(crystal(4, (96, 84, 72), (9.0, 6.0, 3.0)).intensity, 1e8)
    clean = cleaned(pattern(array), preset("auto: binning(factors=3x2x1)", Domain.COUNTS))
    found = finest(clean, clean.on((24, 24, 24)).transform, asked)
    assert found.window is not None
    assert found.window.bins == bins


def test_a_number_bounds_the_sides() -> None:
    """At most so many voxels along an axis, but never less than the model's window."""
    array = counts(crystal(4, (96, 120, 112), (3.0, 3.0, 3.0)).intensity, 1e8)
    _, _, found = _found(array, 80)
    assert found.window is not None
    assert max(found.window.shape) == 80
    assert "at most 80 voxels" in found.why


def test_single_frames_stay_on_the_grid_of_the_model_by_default() -> None:
    """A projection is refined on a finer grid where that is asked for."""
    away = (np.arange(120) - 60.0) ** 2
    frame = np.random.default_rng(0).poisson(1e4 / (1 + np.add.outer(away, away)))
    clean = cleaned(pattern(frame), AUTO)
    model = clean.on((32, 32))
    assert finest(clean, model.transform, "auto").window is None
    window = finest(clean, model.transform, "measured").window
    assert window is not None
    assert window.shape == (120, 120)


def test_the_option_is_a_word_or_a_number() -> None:
    """What is neither is told with what there is."""
    assert [parsed(text) for text in ("model", "auto", "measured", "128")] == ["model", "auto", "measured", 128]
    for wrong in ("", "fine", "12", "99999", "-64", "64.0", "²"):
        with pytest.raises(DataError, match="grid is model, auto, measured"):
            parsed(wrong)
