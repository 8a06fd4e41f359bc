"""Frames and blocks that lie in a wrong place come back."""

import numpy as np
import pytest
import torch

from inphase.ptycho.engine import reconstruct
from inphase.ptycho.measurement import from_arrays
from inphase.ptycho.options import Options
from inphase.ptycho.regrowth import regrow
from inphase.ptycho.scan import Scan, State
from tests.inphase.ptycho.scenes import measured, small
from training.simulate.ptychography import Fault, misrecorded

RMS = 0.7  # pixels: what the refinement of positions aims at


def rms(found: np.ndarray, truth: np.ndarray) -> float:
    """Per axis, but for a common affine map, which only changes the object."""
    plane = np.column_stack([truth, np.ones(len(truth))])
    left = found - truth
    left = left - plane @ np.linalg.lstsq(plane, left, rcond=None)[0]
    return float(np.sqrt((left**2).mean()))


def test_a_torn_block_and_lone_frames_are_put_back() -> None:
    """Two lines of ten that lie 7 pixels off together, and three lone frames; recorded positions are off at random. No
    other frame is moved by more than the search is coarse.
    """
    of = small(side=48, frames=10)
    scan = Scan.of(measured(of), np.arange(0), 16, torch.device("cpu"), lambda: False)
    generator = np.random.default_rng(4)
    wrong = of.positions.copy()
    wrong[:20] += (3, 6)
    wrong[[47, 62, 88]] += ((8, -5), (-7, 7), (6, 6))
    recorded = of.positions + generator.normal(0, 3, of.positions.shape)
    state = State(
        torch.ones(of.object.shape, dtype=torch.complex64),
        torch.from_numpy(of.probe.astype(np.complex64)),
        torch.from_numpy(wrong.copy()),
    )
    left = regrow(scan, state, torch.from_numpy(recorded), 15.0, generator)
    assert len(left) == 0
    off = np.linalg.norm(state.positions.numpy() - of.positions, axis=1)
    assert np.linalg.norm(wrong - of.positions, axis=1).max() > 9
    assert off.max() < 1.5


@pytest.mark.parametrize("fault", list(Fault))
def test_positions_of_faulty_stages_are_found(fault: Fault) -> None:
    """One recipe for all of them, to 0.7 pixels rms; without it they stay several pixels off."""
    of = small(side=48, frames=10, step=5.0)
    recorded = misrecorded(of.positions, fault, 10, np.random.default_rng(5))
    found = reconstruct(
        from_arrays(of.counts, recorded, probe=of.probe),
        Options("40*EPIE", turn=False, positions_start=4, search_px=10.0),
    )
    assert rms(recorded, of.positions) > 2
    assert rms(found.positions_px, of.positions) < RMS
