"""Positions come back to where the patterns were taken."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from inphase.ptycho import refinement
from inphase.ptycho.engine import reconstruct
from inphase.ptycho.options import Options
from inphase.ptycho.scan import Scan, State
from tests.inphase.ptycho.scenes import FRESNEL_NUMBER, measured, small


def begun(near: bool, error: float) -> tuple[Scan, State, np.ndarray]:
    """The true object and probe, and positions that are off by `error` pixels; the true ones."""
    of = small(frames=5, fresnel_number=FRESNEL_NUMBER if near else None)
    scan = Scan.of(measured(of, near=near), np.arange(0), 16, torch.device("cpu"), lambda: False)
    off = np.random.default_rng(1).normal(0, error, of.positions.shape)
    state = State(
        torch.from_numpy(of.object.astype(np.complex64)),
        torch.from_numpy(of.probe.astype(np.complex64)),
        torch.from_numpy(of.positions + off - off.mean(axis=0)),
    )
    return scan, state, of.positions


def rms(state: State, truth: np.ndarray) -> float:
    """Pixels per axis, but for a common shift."""
    off = state.positions.numpy() - truth
    return float(np.sqrt(((off - off.mean(axis=0)) ** 2).mean()))


@pytest.mark.parametrize("near", [False, True])
def test_slopes_lead_back_to_hundredths_of_a_pixel(near: bool) -> None:
    """From half a pixel, with 1e7 photons a frame."""
    scan, state, truth = begun(near, 0.5)
    for _ in range(8):
        refinement.gauss_newton(scan, state, scan.fitted)
    assert rms(state, truth) < 0.02


def test_search_leads_back_from_many_pixels() -> None:
    """From three pixels a probe of eight pixels' width, to where the slopes take over."""
    scan, state, truth = begun(False, 3.0)
    generator = np.random.default_rng(0)
    for radius in (6, 5, 4, 4, 3, 3, 2, 2, 1, 1):
        refinement.search(scan, state, scan.fitted, radius, generator)
    assert rms(state, truth) < 0.5


def test_positions_are_refined_with_object_and_probe() -> None:
    """From 0.7 pixels, from an object of ones."""
    of = small(frames=8)
    off = np.random.default_rng(2).normal(0, 0.7, of.positions.shape)
    wrong = replace(measured(of), positions_px=of.positions + off - off.mean(axis=0))
    found = reconstruct(wrong, Options("40*EPIE", positions_start=8, turn=False))
    left = found.positions_px - of.positions
    # the object, the probe and the positions may all move, shrink or turn together a little
    plane = np.column_stack([of.positions, np.ones(len(left))])
    left = left - plane @ np.linalg.lstsq(plane, left, rcond=None)[0]
    assert np.sqrt((left**2).mean()) < 0.15
    assert found.report.position_shift_px == pytest.approx(0.7, abs=0.15)


def test_each_half_has_its_share_of_the_frames_that_make_an_object() -> None:
    """Also where half of the scan is held out: of a half without any, nothing could be made."""
    of = small(frames=5)
    held_out = np.arange(0, 25, 2)
    scan = Scan.of(measured(of), held_out, 16, torch.device("cpu"), lambda: False)
    every = np.arange(25)
    for seed in range(50):
        one, other = refinement.drawn_halves(scan, every, np.random.default_rng(seed))
        np.testing.assert_array_equal(np.sort(np.concatenate([one, other])), every)
        assert np.count_nonzero(~np.isin(one, held_out)) == np.count_nonzero(~np.isin(other, held_out)) == 6
