"""inphase.results.ranking"""

import json

import numpy as np
import pytest

from inphase import ambiguity, fourier
from inphase.errors import DataError
from inphase.formats.reconstruction import Reconstruction, of_result
from inphase.formats.scan import RawScan
from inphase.metrics import measure
from inphase.results.ranking import rank
from inphase.results.source import result_of
from tests.inphase.results.conftest import BASIS, Crystal, on_grid

SHAPE = (48, 48, 48)


def disturbed(obj: np.ndarray, rms: float, seed: int) -> np.ndarray:
    """With a random phase on every voxel."""
    return (obj * np.exp(1j * rms * np.random.default_rng(seed).normal(size=obj.shape))).astype(np.complex64)


def test_the_measurement_decides(crystal: Crystal) -> None:
    """Runs of two programs, one cropped and a twin: chi2 and log-likelihoods are those of inphase.metrics."""
    whole = on_grid(SHAPE, BASIS)
    whole = np.where(np.abs(whole) > 0.2, whole, 0)
    intensity = np.abs(fourier.forward(whole)) ** 2
    counts = np.random.default_rng(3).poisson(intensity * (1e6 / intensity.sum())).astype(np.uint32)
    free = np.random.default_rng(4).random(SHAPE) > 0.95
    good = ambiguity.twin(disturbed(whole, 0.1, 1))
    bad = disturbed(whole, 0.35, 2)
    cropped = bad[8:40, 8:40, 8:40]
    runs = [
        crystal(cropped, None, source="bad", pattern_shape=SHAPE, free=free, program="PyNX"),
        crystal(good, None, source="good", free=free, program="cohere"),
    ]
    found = rank(runs, measured=RawScan(counts, None, "counts.npy", "all"))
    assert found.criterion == "free_llk"
    assert [run.source for run in found.runs] == ["good", "bad"]
    first, second = found.runs
    assert second.twin
    assert not second.another
    direct = measure(bad, np.abs(bad) > 0, np.sqrt(counts), np.zeros(SHAPE, np.uint8), free=free)
    assert second.chi2 == pytest.approx(direct.chi2, rel=1e-3)
    assert second.free_llk == pytest.approx(direct.free_llk, rel=1e-3)
    assert first.free_llk is not None
    assert first.free_llk < second.free_llk


def test_figures_of_one_program_are_compared(crystal: Crystal) -> None:
    """Those that it left in its files; of two programs they have no common scale, so agreement decides."""
    a, names = on_grid((32, 36, 34), BASIS), ("one", "two", "three")
    figures = [{"llk": 0.3, "free_llk": 0.25}, {"llk": 0.2, "free_llk": 0.31}, {"llk": 0.25, "free_llk": 0.22}]
    runs = [crystal(a, source=name, figures=told) for name, told in zip(names, figures, strict=True)]
    found = rank(runs)
    assert [run.source for run in found.runs] == ["three", "one", "two"]
    assert (found.criterion, found.why) == ("free_llk", "figures as PyNX left them in its files")
    other = crystal(a, source="other", figures={"free_llk": 0.1}, program="cdiutils")
    assert rank([*runs, other]).criterion == "agreement"


def test_figures_of_several_patterns_are_not_compared(crystal: Crystal) -> None:
    """Of other binnings or counts, or on cubic voxels: a chi2 of one says nothing beside that of another. Where a
    program does not tell the shape, it may have cut out the surroundings of different supports.
    """
    a = on_grid((32, 36, 34), BASIS)
    better, worse = ({"free_llk": value, "chi2": value} for value in (0.1, 0.3))
    binned = crystal(a[:, 2:-2], source="binned", figures=better)
    assert rank([crystal(a, source="whole", figures=worse), binned]).criterion == "agreement"
    cut = crystal(a[:, 2:-2], source="cut", figures=better, pattern_told=False)
    assert rank([crystal(a, source="whole", figures=worse), cut]).criterion == "free_llk"
    moved = [crystal(a, source=name, figures=better, pattern_shape=()) for name in ("one", "two")]
    assert rank(moved).criterion == "agreement"

    def of_ours(name: str, modulus: float, figures: dict[str, float]) -> Reconstruction:
        arrays = result_of(crystal(a)).arrays()
        counts = np.full(a.shape, modulus, np.float32)
        told = np.array(json.dumps({"metrics": {"final": figures}}))
        return of_result(arrays | {"modulus": counts, "mask": np.zeros(a.shape, np.uint8), "document": told}, name, "")

    found = rank([of_ours("scan 54", 3.0, worse), of_ours("scan 55", 2.0, better)])
    assert found.criterion == "agreement"
    assert "not all of one pattern" in found.why
    found = rank([of_ours("run 1", 3.0, worse), of_ours("run 2", 3.0000001, better)])
    assert (found.criterion, found.runs[0].source) == ("free_llk", "run 2")


def test_agreement_finds_the_stranger(crystal: Crystal) -> None:
    """Three runs that found the crystal, and one of another object, which comes first in the list and last in rank."""
    a = on_grid((32, 36, 34), BASIS)
    stranger = np.where(np.abs(a) > 0.2, np.exp(1j * np.random.default_rng(0).uniform(-3, 3, a.shape)), 0)
    runs = [crystal(stranger.astype(np.complex64), source="stranger")]
    runs += [crystal(disturbed(a, 0.2, seed), source=f"run {seed}") for seed in (1, 2, 3)]
    found = rank(runs)
    assert found.criterion == "agreement"
    assert found.runs[-1].source == "stranger"
    assert [run.another for run in found.runs] == [False, False, False, True]
    # two fields with independent phases of 0.2 rad rms correlate as exp(-0.2^2)
    assert found.runs[0].correlation == 1
    assert found.runs[1].correlation == pytest.approx(np.exp(-0.04), abs=0.01)


def test_what_cannot_be_ranked(crystal: Crystal) -> None:
    """One run alone; a measurement of another shape."""
    with pytest.raises(DataError, match="at least two"):
        rank([crystal()])
    counts = np.ones((20, 20, 20), np.uint32)
    with pytest.raises(DataError, match="as the program got it"):
        rank([crystal(), crystal()], measured=RawScan(counts, None, "x.npy", "all"))
