"""Simulated measurements by number."""

from dataclasses import replace

import torch

from tests.training.objectives.scans import WINDOW, settings
from training.data import HELD_OUT_SEED, Sample, batch_of, sample, stream
from training.groups import Groups, groups, scans
from training.settings import FitSettings


def test_what_is_held_out_is_not_what_is_trained_on():
    """The same number of another seed is another crystal, also on a CPU, whose generator keeps 32 bits of a seed."""
    settings = replace(FitSettings(), frame=(32, 32, 32), box=(16, 16, 16))
    cpu = torch.device("cpu")
    first, again, other = (sample(settings, seed, 3, 1, cpu).objects for seed in (1, 1, HELD_OUT_SEED))
    assert torch.equal(first, again)
    assert not torch.allclose(first.abs(), other.abs(), atol=0.1)


def test_streams_differ_in_their_low_bits():
    """Seeds and numbers in any order: no two streams of a small table share what a CPU keeps."""
    seeds = [stream(seed, number) for seed in (1, 2, HELD_OUT_SEED, HELD_OUT_SEED + 100) for number in range(500)]
    assert len({seed & 0xFFFFFFFF for seed in seeds}) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_with_a_raster_a_batch_is_one_of_groups():
    """Those of the training scans, or of another object in the same beam; without a raster it is one of crystals."""
    fit = FitSettings(frame=(WINDOW, WINDOW), box=(8, 8), raster=settings(), seed=5)
    cpu = torch.device("cpu")
    found, held_out = (batch_of(fit, seed, 2, 3, cpu) for seed in (5, HELD_OUT_SEED))
    expected = groups(scans(settings(), WINDOW, 5), 5, 2, 3, cpu)
    assert isinstance(found, Groups)
    assert isinstance(held_out, Groups)
    assert torch.equal(found.counts, expected.counts)
    assert held_out.scale == found.scale
    assert not torch.equal(held_out.counts, found.counts)
    plain = replace(FitSettings(), frame=(32, 32, 32), box=(16, 16, 16))
    alone = batch_of(plain, 1, 3, 1, cpu)
    assert isinstance(alone, Sample)
    assert torch.equal(alone.objects, sample(plain, 1, 3, 1, cpu).objects)
