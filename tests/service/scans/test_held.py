"""Frames in memory: those of late, up to a number of bytes."""

import numpy as np
import pytest

from service.scans.held import Held

GROUP = np.arange(24, dtype=np.uint32).reshape(2, 3, 4)


def test_the_oldest_groups_make_room() -> None:
    """Room for two of three; a group that is larger than all the room is not held, and drives nothing out."""
    held = Held(2 * GROUP.nbytes)
    for name in ("a", "b", "c"):
        held.keep("scan", name, GROUP + 0)
    held.keep("scan", "large", np.zeros((9, 3, 4), np.uint32))
    assert all(held.get("scan", name) is None for name in ("a", "large"))
    for name in ("b", "c"):
        np.testing.assert_array_equal(held.get("scan", name), GROUP)


def test_what_is_held_cannot_be_changed() -> None:
    """It is given to several looks."""
    held = Held()
    held.keep("scan", "a", GROUP + 0)
    found = held.get("scan", "a")
    assert found is not None
    with pytest.raises(ValueError, match="read-only"):
        found[0] = 1


def test_a_scan_is_forgotten_alone() -> None:
    """The groups of others stay."""
    held = Held()
    held.keep("one", "a", GROUP + 0)
    held.keep("two", "a", GROUP + 1)
    held.forget("one")
    assert held.get("one", "a") is None
    np.testing.assert_array_equal(held.get("two", "a"), GROUP + 1)
