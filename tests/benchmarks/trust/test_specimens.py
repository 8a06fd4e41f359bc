"""The specimens of the trust benchmark: drawn again from kind and seed, with a truth that explains their counts."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.trust.specimens import Kind, Specimen, specimen
from inphase.metrics import measure, noise_chi2
from inphase.pattern import MaskState


def misfit(made: Specimen, binning: tuple[int, int, int]) -> tuple[float, float]:
    """chi2 of the truth on binned counts of the middle of the array, and what noise leaves."""
    size = tuple(32 * b for b in binning)
    offset = tuple((n - s) // 2 for n, s in zip(made.scan.array.shape, size, strict=True))
    window = made.scan.array[tuple(slice(o, o + s) for o, s in zip(offset, size, strict=True))].astype(np.float32)
    mask = made.scan.mask
    known = np.ones(window.shape, bool)
    if mask is not None:
        known = mask[tuple(slice(o, o + s) for o, s in zip(offset, size, strict=True))] == 0
    parts = [part for b in binning for part in (32, b)]
    counts = window.reshape(parts).sum(axis=(1, 3, 5))
    states = np.where(known.reshape(parts).all(axis=(1, 3, 5)), MaskState.VALID, MaskState.MASKED).astype(np.uint8)
    truth = made.truth(offset, binning, (32, 32, 32))
    found = measure(truth, np.ones(truth.shape, bool), np.sqrt(counts), states)
    return found.chi2, noise_chi2(counts, states)


@pytest.mark.parametrize("seed", [0, 5])
def test_the_truth_explains_the_counts(seed: int) -> None:
    """To what noise leaves, on the measured grid; these two have coherent light and no background."""
    chi2, noise = misfit(specimen(Kind.POLYHEDRON, seed), (1, 1, 1))
    assert chi2 == pytest.approx(noise, rel=0.1)


def test_the_same_seed_is_the_same_measurement() -> None:
    """And another one is another."""
    one, again, other = (specimen(Kind.TWO, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.scan.array, again.scan.array)
    assert one.scan.array.shape != other.scan.array.shape


def test_a_binned_truth_lies_between_its_voxels() -> None:
    """A field that is a plane wave: the DC voxel of three bins of two is half a voxel beside that of the window."""
    made = specimen(Kind.POLYHEDRON, 1)
    wave = np.zeros((128, 128, 128), np.complex64)
    wave[64, 64, 64] = 1
    flat = replace(made, field=wave, corner=(0, 0, 0)).truth((0, 0, 0), (2, 2, 2), (64, 64, 64))
    slope = np.angle(flat[33, 32, 32] / flat[32, 32, 32])
    assert slope == pytest.approx(-2 * np.pi * 0.5 / 128, rel=1e-4)
    assert np.allclose(np.abs(flat), np.abs(flat[32, 32, 32]))
