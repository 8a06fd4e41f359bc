"""Stray positions are left out before they cost anything."""

import numpy as np
import pytest

from inphase.errors import DataError, TooLargeError
from inphase.ptycho.positions import canvas, field, linked, spread_order, typical_step

GRID = 5.0 * np.stack(np.meshgrid(np.arange(10), np.arange(10), indexing="ij"), -1).reshape(-1, 2)
IDS = np.arange(100)


def test_one_stray_position_does_not_widen_the_object() -> None:
    """At 12,000 pixels it would take a gigabyte; it is left out by name, and the object stays as large as the field."""
    positions = GRID.copy()
    positions[17] = (12_000, 11_500)
    kept = field(positions, (32, 32), IDS, "scan")
    assert list(np.flatnonzero(~kept.keep)) == [17]
    assert "17" in kept.notes[0]
    assert canvas(positions[kept.keep], (32, 32), 0) == (77, 77)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_positions_that_are_no_numbers_are_left_out(wrong: float) -> None:
    """The rest is kept."""
    positions = GRID.copy()
    positions[[3, 4], [0, 1]] = wrong
    kept = field(positions, (32, 32), IDS, "scan")
    assert list(np.flatnonzero(~kept.keep)) == [3, 4]
    assert "not finite" in kept.notes[0]


@pytest.mark.parametrize(("factor", "says"), [(1e6, "unit"), (1e-7, "metres taken for pixels"), (0.0, "nothing was")])
def test_wrong_units_are_told(factor: float, says: str) -> None:
    """Windows that never overlap, and a scan that does not move."""
    with pytest.raises(DataError, match=says):
        field(GRID * factor, (32, 32), IDS, "scan")


def test_positions_within_a_pixel_of_each_other_are_told() -> None:
    """Micrometres taken for pixels; frames that were taken again at the same place say nothing of the step."""
    assert "0.5 pixels" in " ".join(field(GRID / 10, (32, 32), IDS, "scan").notes)
    again = np.repeat(GRID[:50], 2, axis=0)
    assert field(again, (32, 32), IDS, "scan").notes == ()
    assert typical_step(again) == 5
    assert typical_step(np.array([[0.0, 0.0], [np.nan, 1.0]])) == 0


def test_two_fields_apart_are_refused() -> None:
    """Half of the frames would be lost: nobody says which half."""
    with pytest.raises(DataError, match="50 of 100"):
        field(GRID + np.where(IDS[:, None] < 50, 0, 500), (32, 32), IDS, "scan")


def test_object_beyond_all_bounds_is_refused() -> None:
    """A chain of overlapping windows that leads far away."""
    line = np.column_stack([np.arange(3000), np.arange(3000)]) * 10.0
    with pytest.raises(TooLargeError, match="30022 x 30022"):
        field(line, (32, 32), np.arange(3000), "scan")


def test_batches_of_the_order_lie_apart() -> None:
    """Every tenth frame: further from its neighbours than those of a random order."""
    order = spread_order(GRID, 8)
    assert sorted(order) == list(range(100))

    def nearest(batch: np.ndarray) -> float:
        distance = np.linalg.norm(GRID[batch][:, None] - GRID[batch][None], axis=-1)
        return float(np.median((distance + 1e9 * np.eye(len(batch))).min(axis=1)))

    random = np.random.default_rng(0).permutation(100)
    apart, chance = (np.mean([nearest(o[start::10]) for start in range(10)]) for o in (order, random))
    assert apart > 1.2 * chance


@pytest.mark.parametrize("size", [20.0, 100.0, 250.0])
def test_what_lies_together_is_what_pairs_say(size: float) -> None:
    """Of dense and of sparse positions, against every pair of them: the largest set is as large, and one."""
    generator = np.random.default_rng(int(size))
    for _ in range(30):
        positions = generator.uniform(-size, size, (40, 2))
        near = np.abs(positions[:, None] - positions).max(axis=-1) <= 30.0
        reached = np.linalg.matrix_power(near.astype(float), 40) > 0
        found = linked(positions, 30.0)
        assert np.count_nonzero(found) == np.count_nonzero(reached, axis=1).max()
        np.testing.assert_array_equal(reached[int(np.flatnonzero(found)[0])], found)
