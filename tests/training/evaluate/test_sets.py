"""The held-out crystals: the same for every network, none that a network has seen."""

from dataclasses import replace

import h5py
import numpy as np
import pytest

from inphase.pattern import MaskState
from training.data import HELD_OUT_SEED
from training.evaluate.sets import SETS, CrystalSet, specimen

FAST, GAPS = SETS[0], next(s for s in SETS if s.name == "gaps")


def test_a_number_is_a_crystal():
    """The same number gives the same bits, another one another crystal."""
    first, again, other = (specimen(FAST, number) for number in (1, 1, 5))
    np.testing.assert_array_equal(first.scan.array, again.scan.array)
    np.testing.assert_array_equal(first.truth.object, again.truth.object)
    assert not np.array_equal(first.truth.object, other.truth.object)


@pytest.mark.parametrize("number", range(4))
def test_crystals_take_the_decades_in_turn(number):
    """Total photons lie within the crystal's decade, and the clean intensity is that of the true object."""
    found = specimen(FAST, number)
    decade = FAST.decades[number]
    assert found.decade == decade
    assert 10**decade <= found.truth.clean.sum(dtype=np.float64) <= 10 ** (decade + 1)
    far = np.abs(np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(found.truth.object)))) ** 2
    np.testing.assert_allclose(far / far.sum(), found.truth.clean / found.truth.clean.sum(), atol=1e-7)


def test_every_pattern_of_the_gaps_has_one():
    """Whole rows or columns of the detector are masked in every frame, and the rocking curve is short."""
    for number in range(3):
        mask = specimen(GAPS, number).scan.mask
        assert mask is not None
        measured = mask[(mask != MaskState.PADDING).any(axis=(1, 2))]
        assert len(measured) <= 64
        masked = measured[0] == MaskState.MASKED
        assert max(masked.all(0).sum(), masked.all(1).sum()) >= 3


def test_no_set_draws_from_the_seeds_of_training_validation_or_another_set():
    """All seeds lie beyond validation's, and each set has its own."""
    seeds = [of.seed for of in SETS]
    assert min(seeds) > HELD_OUT_SEED + 1
    assert len(set(seeds)) == len(seeds)


@pytest.mark.parametrize("of", [s for s in SETS if not s.absent], ids=lambda s: s.name)
def test_sizes_follow_the_first_set_in_whole_rounds_of_decades(of):
    """Every decade has as many crystals, and there is at least one of each."""
    assert of.size(100) % len(of.decades) == 0 or of.shard is not None
    assert of.size(4) >= len(of.decades) or of.shard is not None
    assert FAST.size(100) == 100


def test_an_absent_shard_is_said(tmp_path):
    """The sentence names the file."""
    assert replace(FAST, shard=tmp_path / "none.h5").absent == "none.h5 is not in training/data"
    assert not FAST.absent


def test_atomistic_crystals_are_measured_like_the_others(tmp_path):
    """The object of the shard is the truth; the detector sees its far field with the decade's photons."""
    objects = np.zeros((3, 32, 32, 32), np.complex64)
    objects[:, 10:22, 9:20, 12:21] = np.exp(0.3j)
    with h5py.File(tmp_path / "shard.h5", "w") as file:
        file["objects"] = objects
    of = CrystalSet("atoms", "a block", 1, (6, 7, 8), shard=tmp_path / "shard.h5")
    assert of.size(100) == 3
    found = specimen(of, 1)
    np.testing.assert_array_equal(found.truth.object[16:48, 16:48, 16:48], objects[1])
    assert found.truth.object.shape == (64, 64, 64)
    assert 1e7 <= found.truth.clean.sum(dtype=np.float64) <= 1e8
