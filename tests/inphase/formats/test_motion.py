"""What moves and what only trembles, from recorded positions."""

import numpy as np
import pytest

from inphase.beamlines import APS_34IDC
from inphase.errors import DataError
from inphase.formats.motion import Motion, motion

N, STEP = 64, 0.004
INDEX = np.arange(N)
THETA = 0.3 + STEP * (INDEX - N // 2)
AT_REST = {"theta": THETA, "chi": np.array([90.0]), "phi": np.array([-5.0]), "gamma": np.array([12.4])}


def of(
    frames: int = N, measured: int | None = None, given: dict[str, float] | None = None, **more: np.ndarray
) -> Motion:
    """The motion of a theta scan in which something else is recorded, too."""
    recorded = {**AT_REST, "delta": np.array([31.5]), "energy": np.array([9.0]), **more}
    return motion(recorded, frames, APS_34IDC, measured=measured, given=given, where="test")


def test_one_circle() -> None:
    """Its step, and its position at the frame N // 2; nothing to remark."""
    found = of()
    assert found.steps == {"theta": pytest.approx(STEP)}
    assert found.middle["theta"] == pytest.approx(0.3)
    assert (found.middle["delta"], found.middle["energy"], found.points, found.remarks) == (31.5, 9.0, N, ())


def test_all_that_move_count() -> None:
    """Of sample and detector, and the energy, even where the second moves a tenth as far."""
    found = of(delta=31.5 - 0.1 * STEP * (INDEX - N // 2), energy=9 + 1e-3 * (INDEX - N // 2))
    assert found.steps == {
        name: pytest.approx(step) for name, step in {"theta": STEP, "delta": -0.1 * STEP, "energy": 1e-3}.items()
    }
    assert (found.middle["delta"], found.middle["energy"]) == (pytest.approx(31.5), pytest.approx(9.0))


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("noise", [1e-6, 1e-4, 4e-4])
def test_an_encoder_that_trembles_stands_still(seed: int, noise: float) -> None:
    """Noise up to a tenth of the step, on the other circles and the energy: they stand at their mean."""
    rng = np.random.default_rng(seed)
    found = of(
        delta=31.5 + noise * rng.normal(size=N),
        phi=-5 + noise * rng.normal(size=N),
        energy=9 + noise / 50 * rng.normal(size=N),
    )
    assert found.steps == {"theta": pytest.approx(STEP)}
    assert found.middle["delta"] == pytest.approx(31.5, abs=noise)


def test_noise_on_what_moves() -> None:
    """A line through all positions: noise of a tenth of a step changes the mean step by a thousandth, and is told."""
    found = of(theta=THETA + 0.1 * STEP * np.random.default_rng(1).normal(size=N))
    assert found.steps["theta"] == pytest.approx(STEP, rel=2e-3)
    assert "theta steps unevenly" in found.remarks[0]


@pytest.mark.parametrize("name", ["theta", "delta", "phi"])
def test_unequal_steps_are_refused(name: str) -> None:
    """A circle that jumps forth and back, whether it is the one that was meant to move or another;
    set, it stood still.
    """
    jumping = np.where(INDEX % 7 == 3, 0.05, 0.0) + (THETA if name == "theta" else 0.0)
    with pytest.raises(DataError, match=f"test: '{name}' does not move in equal steps: point .*--set {name}="):
        of(**{name: jumping})
    if name != "theta":
        found = of(given={name: 1.5}, **{name: jumping})
        assert (found.steps, found.middle[name]) == ({"theta": pytest.approx(STEP)}, 1.5)
        assert f"{name} does not move in equal steps and is taken to stand still" in found.remarks[0]


def test_what_is_given_is_the_middle() -> None:
    """An offset of a circle that scans: its step stays as it was recorded."""
    found = of(given={"theta": 0.7, "energy": 9.1})
    assert (found.steps, found.middle["theta"], found.middle["energy"]) == ({"theta": pytest.approx(STEP)}, 0.7, 9.1)


@pytest.mark.parametrize(("points", "frames"), [(40, 41), (41, 40), (60, 64), (64, 60)])
def test_a_scan_that_was_stopped(points: int, frames: int) -> None:
    """Somewhat more of positions or of frames: the first of each belong together, and it is told."""
    found = of(frames, theta=THETA[:points] if points <= N else THETA)
    assert found.steps == {"theta": pytest.approx(STEP)}
    assert found.middle["theta"] == pytest.approx(THETA[frames // 2])
    assert found.points == min(points, frames)
    assert f"{points} points for {frames} frames" in found.remarks[0]


def test_positions_of_another_scan() -> None:
    """21 positions are not those of 64 frames, unless the frames after them are empty."""
    with pytest.raises(DataError, match="'theta' has 21 points, the measurement 64 frames; name the scan"):
        of(theta=THETA[:21])
    found = of(theta=THETA[:21], measured=21)
    assert (found.steps, found.points) == ({"theta": pytest.approx(STEP)}, 21)
    assert found.middle["theta"] == pytest.approx(0.3)
    with pytest.raises(DataError, match="'theta' has 2 points"):
        of(theta=THETA[[0, -1]])


@pytest.mark.parametrize("fill", [0.0, np.nan])
def test_positions_laid_out_before_the_scan(fill: float) -> None:
    """35 of 64 frames were taken, the rest of the record is filled up: the step is that of the 35."""
    found = of(theta=np.where(INDEX < 35, THETA, fill), measured=35)
    assert found.steps == {"theta": pytest.approx(STEP)}


def test_positions_that_were_not_read() -> None:
    """NaN at three points: the line goes through the others, and it is told."""
    found = of(theta=np.where(np.isin(INDEX, [0, 5, 32]), np.nan, THETA))
    assert (found.steps, found.middle["theta"]) == ({"theta": pytest.approx(STEP)}, pytest.approx(0.3))
    assert found.remarks == ("theta was not recorded at 3 of 64 points",)
