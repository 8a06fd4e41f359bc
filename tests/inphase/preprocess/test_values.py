"""Counts are told from what is none, and nothing that beamlines do to counts is refused."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from inphase.errors import DataError
from inphase.pattern import Domain
from inphase.preprocess import PRESETS, pattern_from_array, preprocess
from inphase.preprocess.report import StepReport
from inphase.preprocess.values import examine, scatter, step
from tests.inphase.preprocess.simulated import counts, crystal

SHAPE = (48, 64, 60)
PEAK = (24, 32, 30)
Change = Callable[[NDArray[np.float64]], NDArray[np.generic]]


@cache
def measured(photons: float = 1e6) -> NDArray[np.int32]:
    """Counts of a crystal in the middle."""
    return counts(crystal(8, SHAPE, (4.0, 3.5, 3.0)).intensity, photons)


def look(array: NDArray[np.generic], domain: Domain = Domain.COUNTS) -> StepReport:
    """The step's report on an array."""
    return examine(pattern_from_array(array, domain), PEAK)


def flat_fielded(raw: NDArray[np.float64]) -> NDArray[np.generic]:
    """Every pixel divided by its response, 10 % rms."""
    return (raw / np.random.default_rng(1).normal(1, 0.1, SHAPE[1:])).astype(np.float32)


def monitor_normalised(raw: NDArray[np.float64]) -> NDArray[np.generic]:
    """Every frame divided by the monitor over its mean."""
    return (raw / np.random.default_rng(1).uniform(0.9, 1.1, (SHAPE[0], 1, 1))).astype(np.float32)


def background_subtracted(raw: NDArray[np.float64]) -> NDArray[np.generic]:
    """A flat 0.3 counts taken off, what falls below zero is zero."""
    return np.maximum(raw - 0.3, 0).astype(np.float32)


def dark_subtracted(raw: NDArray[np.float64]) -> NDArray[np.generic]:
    """With a readout noise of 0.4 counts, negative ones kept."""
    return (raw + np.random.default_rng(1).normal(0, 0.4, SHAPE)).astype(np.float32)


def as_they_are(raw: NDArray[np.float64]) -> NDArray[np.generic]:
    """Whole counts in a float array."""
    return raw.astype(np.float64)


@pytest.mark.parametrize("photons", [3e4, 1e6, 1e9])
@pytest.mark.parametrize(
    "change", [as_they_are, flat_fielded, monitor_normalised, background_subtracted, dark_subtracted]
)
def test_what_beamlines_do_to_counts_is_not_doubted(change: Change, photons: float) -> None:
    """Fractions that scatter as photons do are counts; the scatter of none of them is far below 1."""
    report = look(change(measured(photons).astype(np.float64)))
    assert not report.doubts
    assert not report.faults
    assert isinstance(report.numbers["scatter"], float)
    assert report.numbers["scatter"] > 0.65


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda n: np.sqrt(n), "square roots of counts"),
        (lambda n: np.sqrt(n) / np.sqrt(n.max()), "square roots of counts"),
        (lambda n: n / n.max(), "counts that were scaled"),
        (lambda n: np.sqrt(flat_fielded(n)) / 400, "scatter"),
    ],
    ids=["modulus", "modulus to 1", "counts to 1", "smooth to 1"],
)
def test_what_cannot_be_counts_is_refused_with_the_way_out(change: Change, words: str) -> None:
    """Square roots of counts on any scale, and fractions up to a few; the message names the option and the field."""
    with pytest.raises(DataError, match=words) as refused:
        preprocess(pattern_from_array(change(measured().astype(np.float64)).astype(np.float32)), PRESETS["auto"])
    assert "--domain modulus" in str(refused.value)
    assert "domain=modulus" in str(refused.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda n: n * 0.25, "multiples of 0.25"),
        (lambda n: (n * 20).astype(np.int32), "multiples of 20"),
        (lambda n: 100 * np.sqrt(flat_fielded(n)) / np.sqrt(n.max()), "scatter"),
        (lambda n: crystal(8, SHAPE, (4.0, 3.5, 3.0)).intensity * 1e6, "scatter"),
        (
            lambda n: sum(counts(crystal(8, SHAPE, (4.0, 3.5, 3.0)).intensity, 1e6, k) for k in range(4)) / 4,
            "multiples of 0.25",
        ),
    ],
    ids=["scaled down", "scaled up", "modulus", "noise-free", "average"],
)  # fmt: skip
def test_what_is_hardly_counts_is_doubted(change: Change, words: str) -> None:
    """Large enough to be reconstructed, but noise and log-likelihood mean nothing:
    one doubt that says what it looks like.
    """
    (doubt,) = look(change(measured().astype(np.float64)).astype(np.float32)).doubts
    assert words in doubt
    assert "--domain modulus" in doubt


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_peak_that_was_cut_off_is_doubted(dtype: type[np.generic]) -> None:
    """At 200 counts, of an image of 8 bits or of a detector that does not say it; as a modulus as well. Masked, it is
    not; and no peak that was measured whole is.
    """
    cut = np.minimum(measured(), 200).astype(dtype)
    alike = np.count_nonzero(cut == 200)
    assert alike > 20
    (said,) = look(cut).doubts
    assert said.startswith(f"{alike} voxels around the peak have the largest value, 200")
    assert "saturation(200)" in said
    assert any("cut off" in doubt for doubt in look(np.sqrt(cut.astype(np.float32)), Domain.MODULUS).doubts)
    assert not examine(pattern_from_array(cut, Domain.COUNTS), PEAK, 200.0).doubts
    assert "cut off" in examine(pattern_from_array(cut, Domain.COUNTS), PEAK, 201.0).doubts[0]
    for photons in (3e4, 1e6, 1e9):
        assert not look(measured(photons)).doubts


def test_a_few_counts_are_too_weak() -> None:
    """A maximum of 3 counts is a measurement, and a very weak one: doubted as such, without a word of a modulus."""
    weak = measured(500.0)
    assert 1 < weak.max() < 10
    (doubt,) = look(weak).doubts
    assert f"{weak.max()} counts" in doubt
    assert "modulus" not in doubt


def test_counts_given_as_a_modulus_are_a_fault() -> None:
    """Whole numbers that scatter as photons do would be squared;
    the modulus itself, and one rounded to 16 bits, is none.
    """
    (fault,) = look(measured(), Domain.MODULUS).faults
    assert "they are counts" in fault
    root = np.sqrt(measured(1e8).astype(np.float64))
    assert not look(root.astype(np.float32), Domain.MODULUS).faults
    assert not look(np.rint(root * 60000 / root.max()).astype(np.uint16), Domain.MODULUS).faults


def test_scatter_is_that_of_poisson_counts() -> None:
    """1 for an even rate, high or low, the gain for counts times a gain; None for too few voxels. The least of 18 parts
    is taken, each sorted by its own mean, which costs a tenth.
    """
    random = np.random.default_rng(3)
    for rate in (0.05, 1.0, 300.0):
        assert scatter(random.poisson(rate, (40, 40, 40)).astype(np.float64)) == pytest.approx(1, abs=0.15)
    assert scatter(7.0 * random.poisson(20.0, (40, 40, 40))) == pytest.approx(7, rel=0.15)
    assert scatter(random.poisson(3.0, (8, 8, 8)).astype(np.float64)[:, :4]) is None


def test_the_step_of_a_frame() -> None:
    """What all values are multiples of, after single precision too;
    none for numbers of any size, or of too few kinds.
    """
    frame = np.random.default_rng(3).poisson(30.0, (40, 40)).astype(np.float64)
    assert step(frame) == 1
    assert step((frame / 7).astype(np.float32).astype(np.float64)) == pytest.approx(1 / 7, rel=1e-5)
    assert step(np.random.default_rng(3).uniform(0, 30, (40, 40))) == 0
    assert step(np.minimum(frame, 5)) == 0


def test_the_published_crystal_is_counts_and_its_amplitude_is_none(real_data: Path) -> None:
    """The measured crystal of the 3D-CDI-NN paper:
    the intensity passes, the amplitude with a maximum of 1 is refused as counts.
    """
    folder = real_data / "3d_cdi_nn"
    made = preprocess(pattern_from_array(tifffile.imread(folder / "ft_crop_64.tif")), PRESETS["auto"])
    assert not [text for report in made.steps for text in report.faults + report.doubts]
    with pytest.raises(DataError, match="square roots of counts"):
        preprocess(pattern_from_array(np.load(folder / "ft_crop_64.npy")), PRESETS["auto"])
