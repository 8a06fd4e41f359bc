"""Simulated measurements by number."""

from dataclasses import replace

import torch

from training.data import HELD_OUT_SEED, sample, stream
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
