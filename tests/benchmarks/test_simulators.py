"""What the comparison of the simulators measures, on objects whose figures are known."""

import numpy as np
import pytest

from benchmarks.simulators import SHELLS, figures, profile

Z, Y, X = np.indices((32, 32, 32)) - 16


def test_a_box_fills_its_bounding_box():
    """Edges 12, 12, 18: stretch 1.5, fill 1, and the shape of a cube, 1 / sqrt 12,
    whatever the stretch (1 %: voxels).
    """
    box = ((np.abs(Z + 0.5) < 6) & (np.abs(Y + 0.5) < 6) & (np.abs(X + 0.5) < 9)).astype(np.complex64)
    found = figures(box)
    assert found.stretch == pytest.approx(1.5)
    assert found.extent == pytest.approx((12 * 12 * 18) ** (1 / 3))
    assert found.fill == pytest.approx(1.0)
    assert found.shape == pytest.approx(12**-0.5, rel=0.01)
    assert found.unevenness == found.phase == found.gradient == found.offset == pytest.approx(0, abs=1e-6)


def test_a_ball_has_the_smallest_shape():
    """sqrt(1/5) / (4 pi / 3)^(1/3) = 0.2774, to 1 %."""
    ball = (Z**2 + Y**2 + X**2 < 11**2).astype(np.complex64)
    assert figures(ball).shape == pytest.approx(0.2774, rel=0.01)


def test_ramp_and_bend_are_told_apart():
    """A ramp of 0.7 voxels is the peak's offset and no phase; a slow sine on top of it is phase."""
    ball = Z**2 + Y**2 + X**2 < 11**2
    ramp = 2 * np.pi * 0.7 * X / 64
    flat = figures((ball * np.exp(1j * ramp)).astype(np.complex64))
    assert flat.offset == pytest.approx(0.7, rel=1e-3)
    assert flat.phase < 1e-3
    bend = 0.3 * np.cos(2 * np.pi * Y / 11)
    bent = figures((ball * np.exp(1j * (ramp + bend))).astype(np.complex64))
    assert bent.offset == pytest.approx(0.7, rel=0.01)
    assert bent.phase == pytest.approx(bend[ball].std(), rel=0.02)
    steps = np.diff(bend, axis=1)[ball[:, 1:] & ball[:, :-1]]
    others = (ball[1:] & ball[:-1]).sum() + (ball[:, :, 1:] & ball[:, :, :-1]).sum()
    assert bent.gradient == pytest.approx(np.sqrt((steps**2).sum() / (len(steps) + others)), rel=0.02)


def test_profile_is_the_same_for_a_crystal_of_another_size():
    """In units of 1 / (cube root of the volume) two balls have one profile, within the main lobe (10 %: voxels)."""
    balls = [np.clip(r + 0.5 - np.sqrt(Z**2 + Y**2 + X**2), 0, 1).astype(np.complex64) for r in (7.0, 11.0)]
    small, large = (profile(ball) for ball in balls)
    shells = SHELLS[1:] < 0.8
    both = np.isfinite(small) & np.isfinite(large) & shells
    assert both.sum() >= 2
    np.testing.assert_allclose(small[both], large[both], rtol=0.1)
