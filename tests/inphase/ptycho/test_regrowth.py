"""Frames and blocks that lie in a wrong place come back."""

import numpy as np
import pytest
import torch

from inphase.ptycho import regrowth
from inphase.ptycho.engine import reconstruct
from inphase.ptycho.measurement import from_arrays
from inphase.ptycho.operator import ExitWaves, Waves
from inphase.ptycho.options import Options
from inphase.ptycho.refinement import search_in_halves
from inphase.ptycho.regrowth import regrow
from inphase.ptycho.scan import Scan, State
from inphase.ptycho.schedule import AFTER
from tests.inphase.ptycho.scenes import measured, small
from training.simulate.ptychography import Fault, misrecorded

RMS = 0.7  # pixels: what the refinement of positions aims at


def left_of(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(n, 2) what is left of the errors without a common affine map, which only changes the object."""
    plane = np.column_stack([truth, np.ones(len(truth))])
    off = found - truth
    left: np.ndarray = off - plane @ np.linalg.lstsq(plane, off, rcond=None)[0]
    return left


def rms(found: np.ndarray, truth: np.ndarray) -> float:
    """Per axis."""
    return float(np.sqrt((left_of(found, truth) ** 2).mean()))


@pytest.mark.parametrize("seed", [4, 5])
def test_a_torn_block_and_lone_frames_are_put_back(seed: int) -> None:
    """Two lines of ten that lie 7 pixels off together, and three lone frames; recorded positions are off at random. Two
    growths with short searches, as a reconstruction has them, leave what slopes can follow. In the corners of so small
    a scan few frames see each pixel: there some stay 2 to 3 pixels off, which is no wrong minimum.
    """
    of = small(side=48, frames=10)
    scan = Scan.of(measured(of), np.arange(0), 16, torch.device("cpu"), lambda: False)
    generator = np.random.default_rng(seed)
    wrong = of.positions.copy()
    wrong[:20] += (3, 6)
    wrong[[47, 62, 88]] += ((8, -5), (-7, 7), (6, 6))
    recorded = of.positions + generator.normal(0, 3, of.positions.shape)
    state = State(
        torch.ones(of.object.shape, dtype=torch.complex64),
        torch.from_numpy(of.probe.astype(np.complex64)),
        torch.from_numpy(wrong.copy()),
    )
    for _ in range(2):
        left = regrow(scan, state, torch.from_numpy(recorded), 15.0, generator)
        for radius in AFTER:
            search_in_halves(scan, state, scan.fitted, radius, generator)
    assert len(left) == 0
    off, before = (np.abs(left_of(found, of.positions)).max(axis=1) for found in (state.positions.numpy(), wrong))
    assert np.count_nonzero(before > 2) > 20
    rows, columns = np.divmod(np.arange(100), 10)
    corners = np.isin(rows, (0, 1, 8, 9)) & np.isin(columns, (0, 1, 8, 9))
    assert off[~corners].max() < 2
    assert off[corners].max() < 4


def test_a_frame_that_was_moved_wrongly_goes_back_and_one_that_was_moved_rightly_stays() -> None:
    """Ten times ten frames of which 33 was right before and 66 is right now. 44 never was: it is found anew."""
    of = small(side=48, frames=10)
    scan = Scan.of(measured(of), np.arange(0), 16, torch.device("cpu"), lambda: False)
    now, before = of.positions.copy(), of.positions.copy()
    now[33] += (9, -6)
    before[66] += (-7, 8)
    now[44] += (14, 3)
    before[44] += (-10, 9)
    expected = of.positions.copy()
    expected[44] += (-8, 6)
    state = State(
        torch.ones(of.object.shape, dtype=torch.complex64),
        torch.from_numpy(of.probe.astype(np.complex64)),
        torch.from_numpy(now),
    )
    moved, generator = np.array([33, 44, 66]), np.random.default_rng(0)
    regrowth._reconsider(scan, state, moved, torch.from_numpy(before), torch.from_numpy(expected), 12.0, generator)
    off = np.linalg.norm(state.positions.numpy() - of.positions, axis=1)
    assert off.max() < 1


def test_a_growth_begins_with_frames_that_may_make_an_object(monkeypatch: pytest.MonkeyPatch) -> None:
    """The best of the scan are held out, so that nothing could be made of them. All frames join in the end."""
    of = small(side=48, frames=6)
    held_out = np.arange(18)
    scan = Scan.of(measured(of), held_out, 16, torch.device("cpu"), lambda: False)
    contrasts = np.where(np.arange(36) < 18, 0.1, 0.9)
    monkeypatch.setattr(regrowth, "SEED", 12)
    monkeypatch.setattr(regrowth, "_cross_contrasts", lambda *_: contrasts)
    state = State(
        torch.ones(of.object.shape, dtype=torch.complex64),
        torch.from_numpy(of.probe.astype(np.complex64)),
        torch.from_numpy(of.positions.copy()),
    )
    left = regrow(scan, state, torch.from_numpy(of.positions), 12.0, np.random.default_rng(0))
    assert len(np.intersect1d(left, scan.fitted)) == 0


@pytest.mark.parametrize("fault", list(Fault))
def test_positions_of_faulty_stages_are_found(fault: Fault) -> None:
    """One recipe for all of them, to 0.7 pixels rms; without it they stay several pixels off."""
    of = small(side=48, frames=10)
    recorded = misrecorded(of.positions, fault, 10, np.random.default_rng(5))
    found = reconstruct(
        from_arrays(of.counts, recorded, probe=of.probe),
        Options("40*EPIE", turn=False, batch=8, positions_start=4, search_px=12.0),
    )
    assert rms(recorded, of.positions) > 1.9
    assert rms(found.positions_px, of.positions) < RMS


def test_a_single_frame_stays_where_it_was_recorded() -> None:
    """Two frames were sent, and one holds no counts: there is nothing that the other could be searched on."""
    of = small(side=48, frames=3)
    counts = of.counts[:2].copy()
    counts[1] = 0
    one = from_arrays(counts, of.positions[:2], probe=of.probe)
    assert len(one) == 1
    found = reconstruct(one, Options("6*EPIE", turn=False, positions_start=1, search_px=4.0))
    np.testing.assert_allclose(found.positions_px, one.positions_px, atol=1e-9)


def test_a_growth_can_be_cancelled_while_one_frame_is_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a wide disc it takes thousands of positions: it is asked before each batch of these too."""
    asked, since = [], 0

    def cancelled() -> bool:
        nonlocal since
        asked.append(since)
        since = 0
        return False

    def counted(self: ExitWaves, obj: torch.Tensor, probe: torch.Tensor, positions: torch.Tensor) -> Waves:
        nonlocal since
        since += len(positions)
        return forward(self, obj, probe, positions)

    forward = ExitWaves.forward
    monkeypatch.setattr(ExitWaves, "forward", counted)
    of = small(side=32, frames=6)
    scan = Scan.of(measured(of), np.arange(0), 4, torch.device("cpu"), cancelled)
    wrong = of.positions.copy()
    wrong[:6] += (6, 6)
    state = State(
        torch.ones(of.object.shape, dtype=torch.complex64),
        torch.from_numpy(of.probe.astype(np.complex64)),
        torch.from_numpy(wrong),
    )
    regrow(scan, state, torch.from_numpy(of.positions), 12.0, np.random.default_rng(0))
    contrast = 9 + 8  # positions that are looked at for the contrast of a frame
    assert max(asked) <= scan.batch * (1 + contrast)


def test_a_scan_of_many_frames_is_not_grown_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """A note says so, and slopes are followed instead."""
    monkeypatch.setattr(regrowth, "MOST", 8)
    monkeypatch.setattr(regrowth, "regrow", None)  # calling it would raise
    of = small(side=48, frames=3)
    found = reconstruct(
        from_arrays(of.counts, of.positions, probe=of.probe),
        Options("20*EPIE", turn=False, positions_start=1, search_px=4.0),
    )
    assert any("not grown anew" in note and "there are 9" in note for note in found.report.notes)
