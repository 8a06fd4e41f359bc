"""Where the time goes."""

import time

import pytest

from inphase.imaging.clock import STAGES, Clock


def fail(clock: Clock) -> None:
    """Spend time in a stage that fails."""
    with clock("infer"):
        time.sleep(0.002)
        raise ValueError("no")


def test_stages_add_up_in_the_order_of_the_way() -> None:
    """Blocks and what was measured elsewhere; a block that fails counts too."""
    clock = Clock()
    clock.add("refine", 5.0)
    clock.add("refine", 2.5)
    with pytest.raises(ValueError, match="no"):
        fail(clock)
    with clock("decode"):
        pass
    assert list(clock.rounded()) == ["decode", "infer", "refine"] == [s for s in STAGES if s in clock.ms]
    assert clock.rounded()["refine"] == 7.5
    assert clock.rounded()["infer"] >= 2
