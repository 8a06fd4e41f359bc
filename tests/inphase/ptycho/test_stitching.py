"""inphase.ptycho.stitching: parts of a known object make that object, in any order."""

import numpy as np

from inphase.ptycho.stitching import stitched

RNG = np.random.default_rng(2)
OBJECT = RNG.normal(size=(20, 26)) + 1j * RNG.normal(size=(20, 26))
CORNERS = np.stack(np.meshgrid(np.arange(0, 13, 3), np.arange(0, 19, 3), indexing="ij"), -1).reshape(-1, 2)
WEIGHT = RNG.uniform(0.1, 1, (8, 8))


def parts() -> np.ndarray:
    """(n, 8, 8) of the object at the corners."""
    return np.stack([OBJECT[r : r + 8, c : c + 8] for r, c in CORNERS])


def test_exact_parts_make_the_object() -> None:
    """Where any reaches; elsewhere there is nothing, and the weights are those of the parts that reach."""
    found, cover = stitched(parts(), CORNERS.astype(float), (24, 30), WEIGHT)
    np.testing.assert_allclose(found[:20, :26], OBJECT, rtol=1e-12)
    assert not found[20:].any()
    assert not cover[20:].any()
    expected = sum(WEIGHT[10 - r, 11 - c] for r, c in CORNERS.tolist() if 0 <= 10 - r < 8 and 0 <= 11 - c < 8)
    np.testing.assert_allclose(cover[10, 11], expected)


def test_the_order_of_arrival_does_not_matter_and_lost_parts_only_leave_their_place() -> None:
    """The same object, to rounding, where it is covered."""
    noisy = parts() + 0.1 * RNG.normal(size=(len(CORNERS), 8, 8))
    order = RNG.permutation(len(CORNERS))
    first, cover = stitched(noisy, CORNERS.astype(float), (20, 26), WEIGHT)
    second, again = stitched(noisy[order], CORNERS[order].astype(float), (20, 26), WEIGHT)
    np.testing.assert_allclose(second, first, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(again, cover, rtol=1e-12)
    kept = order[2:]
    fewer, left = stitched(parts()[kept], CORNERS[kept].astype(float), (20, 26), WEIGHT)
    np.testing.assert_allclose(fewer[left > 0], OBJECT[left > 0], rtol=1e-12)


def test_a_part_between_pixels_is_shared_by_distance() -> None:
    """One pixel at (2.25, 3.5) gives 3/8 to each of the nearer two, and comes back from all as it was."""
    found, cover = stitched(np.full((1, 1, 1), 2j), np.array([(2.25, 3.5)]), (6, 6), np.ones((1, 1)))
    np.testing.assert_allclose(cover[2:4, 3:5], [[0.375, 0.375], [0.125, 0.125]])
    assert cover.sum() == 1
    np.testing.assert_allclose(found[2:4, 3:5], 2j)
