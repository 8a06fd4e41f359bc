"""Reconstructions against the truth of a simulation."""

from dataclasses import replace

import numpy as np
import pytest

from inphase.errors import CancelledError, DataError
from inphase.ptycho.engine import Progress, reconstruct
from inphase.ptycho.measurement import from_arrays
from inphase.ptycho.options import Options
from inphase.ptycho.scores import compared
from tests.inphase.ptycho.scenes import FRESNEL_NUMBER, measured, small, truth

SCENE = small()


def test_object_and_probe_come_back() -> None:
    """From a guess of the probe with a third of its mirror image in it; held-out frames fit too."""
    guess = SCENE.probe[:, :, ::-1] * 0.3 + SCENE.probe
    found = reconstruct(replace(measured(SCENE), probe=guess.astype(np.complex64)), Options("60*RPIE", turn=False))
    score = compared(found.object, truth(SCENE, found.object.shape, found.origin_px), found.coverage > 0.2)
    assert score.correlation > 0.999
    assert score.phase_mae < 0.03
    assert score.frc_half > 0.75
    assert found.report.r_held_out is not None
    assert found.report.r_held_out < 1.3 * found.report.r_factor < 0.03
    assert found.report.frames + found.report.frames_held_out == 49
    assert abs(np.vdot(found.probe, SCENE.probe)) > 0.99 * np.linalg.norm(found.probe) * np.linalg.norm(SCENE.probe)


def test_object_is_asymmetric_and_negated_positions_fail() -> None:
    """A sign that is wrong somewhere would show here."""
    wrong = replace(measured(SCENE), positions_px=SCENE.positions.max(axis=0) - SCENE.positions)
    found = reconstruct(wrong, Options("30*RPIE", turn=False, probe_start=30))
    right = reconstruct(measured(SCENE), Options("30*RPIE", turn=False, probe_start=30))
    assert found.report.r_factor > 5 * right.report.r_factor


def test_near_field_comes_back() -> None:
    """From the probe of the mean pattern; slow waves of the phase come last, and are what is left."""
    of = small(fresnel_number=FRESNEL_NUMBER)
    found = reconstruct(measured(of, guess=False, near=True), Options("40*RAAR", turn=False))
    score = compared(found.object, truth(of, found.object.shape, found.origin_px), found.coverage > 0.2)
    assert score.correlation > 0.99
    assert score.amplitude_mae < 0.02
    assert score.phase_mae < 0.12
    assert found.report.r_factor < 0.03
    assert found.report.pixel_m == pytest.approx((1e-6, 1e-6))


def test_two_modes_explain_what_one_cannot() -> None:
    """A beam of two modes, the second with a fifth of the photons; the guess holds both."""
    of = small(modes=2)
    one, two = (reconstruct(measured(of), Options("40*RPIE", modes=n, turn=False)) for n in (1, 2))
    assert two.report.r_factor < 0.5 * one.report.r_factor
    assert two.report.modes == pytest.approx((0.8, 0.2), abs=0.05)
    score = compared(two.object, truth(of, two.object.shape, two.origin_px), two.coverage > 0.2)
    assert score.correlation > 0.9995


def test_masked_pixels_do_not_count() -> None:
    """A gap filled with nonsense leaves the object as it would be with the gap alone."""
    gap = np.zeros(SCENE.counts.shape[1:], bool)
    gap[:, 20] = True
    filled = SCENE.counts.copy()
    filled[:, :, 20] = 1e6
    whole = from_arrays(filled, SCENE.positions, mask=gap, probe=SCENE.probe)
    found = reconstruct(whole, Options("40*RPIE", turn=False))
    score = compared(found.object, truth(SCENE, found.object.shape, found.origin_px), found.coverage > 0.2)
    assert score.correlation > 0.998


def test_strong_probe_stray_position_and_empty_frames_end_well() -> None:
    """All at once: the object is as large as the field, as good as without, and everything is told."""
    counts, positions = SCENE.counts.copy(), SCENE.positions.copy()
    positions[5] = 12_000
    counts[8] = 0
    counts[9] = np.nan
    counts[10, 3, 3] = np.nan
    whole = from_arrays(counts, positions, probe=1e3 * SCENE.probe)
    found = reconstruct(whole, Options("60*RPIE"))
    assert max(found.object.shape) < 100
    assert np.isfinite(found.object).all()
    score = compared(found.object, truth(SCENE, found.object.shape, found.origin_px), found.coverage > 0.2)
    assert score.correlation > 0.998
    assert sorted(set(range(49)) - set(found.ids.tolist())) == [5, 8, 9]
    told = " ".join(found.report.notes)
    for word in ("more than a window", "next to no counts", "are no counts", "masked: 1,", "scaled"):
        assert word in told


def test_warm_start_saves_iterations() -> None:
    """From the truth the first iteration already fits; an object that does not fit in size is refused."""
    whole = measured(SCENE)
    cold = reconstruct(whole, Options("RPIE", turn=False, probe_start=5))
    begin = truth(SCENE, cold.object.shape, cold.origin_px)
    warm = reconstruct(whole, Options("RPIE", turn=False, probe_start=5), start=begin)
    assert warm.report.history[0] < 0.2 * cold.report.history[0]
    with pytest.raises(DataError, match="pixels"):
        reconstruct(whole, Options("RPIE", turn=False), start=begin[:-1])


def test_progress_is_told_after_every_iteration_and_a_cancel_is_heard() -> None:
    """Within the iteration, before the next batch."""
    told: list[Progress] = []
    reconstruct(measured(SCENE), Options("2*RPIE+ADAM", turn=False), progress=told.append)
    assert [(p.iteration, p.total, p.stage) for p in told] == [(0, 3, "RPIE"), (1, 3, "RPIE"), (2, 3, "ADAM")]
    assert told[0].preview().dtype == np.complex64
    with pytest.raises(CancelledError):
        reconstruct(measured(SCENE), Options("100*RPIE", turn=False), cancelled=lambda: len(told) > 2)


def test_same_seed_gives_the_same_result() -> None:
    """Bit by bit; another seed another one."""
    one, same, other = (
        reconstruct(measured(SCENE), Options("2*RPIE", turn=False, seed=seed)).object for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
