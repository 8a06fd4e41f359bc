"""Volumes a slab at a time: every plane once, in its order, and no digit of a sum changed."""

import threading
import time

import numpy as np
import pytest

from inphase import slabs


@pytest.fixture(autouse=True)
def small_slabs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slabs of a few planes, so that small volumes have many; and threads, wherever this runs."""
    monkeypatch.setattr(slabs, "SLAB", 600)
    monkeypatch.setattr(slabs, "THREADS", 4)


@pytest.mark.parametrize(
    ("planes", "voxels", "step"), [(1, 5, 1), (40, 100, 1), (41, 100, 3), (7, 10**6, 2), (97, 1, 5)]
)
def test_every_plane_is_in_one_slab_and_steps_stay_together(planes: int, voxels: int, step: int) -> None:
    """The slabs follow each other from the first plane to the last, and begin at multiples of the step."""
    found = slabs.over(lambda slab: slab, planes, voxels, step)
    assert [plane for slab in found for plane in range(slab.start, slab.stop)] == list(range(planes))
    assert all(slab.start % step == 0 for slab in found)


def test_large_volumes_are_shared_by_threads_and_small_ones_are_not() -> None:
    """Two slabs wait for each other, which one thread could not; what two slabs would hold is one."""
    meeting = threading.Barrier(2, timeout=30.0)
    assert len(slabs.over(lambda slab: meeting.wait(), 4, 400)) == 4
    assert slabs.over(lambda slab: threading.current_thread() is threading.main_thread(), 12, 100) == [True]


def test_what_goes_wrong_in_a_slab_is_raised() -> None:
    """As it came."""

    def fail(slab: slice) -> None:
        raise KeyError(slab.start)

    with pytest.raises(KeyError):
        slabs.over(fail, 40, 100)


@pytest.mark.parametrize("by_caller", [True, False])
def test_nobody_goes_on_after_a_slab_went_wrong(by_caller: bool) -> None:
    """Whichever thread it was, and though what it raises is what an empty queue raises."""
    looked: list[int] = []
    meeting = threading.Barrier(4, timeout=30.0)

    def look(slab: slice) -> None:
        looked.append(slab.start)
        if len(looked) <= 4:
            meeting.wait()  # every thread has a slab
        if (threading.current_thread() is threading.main_thread()) == by_caller:
            raise IndexError(slab.start)
        time.sleep(0.01)

    with pytest.raises(IndexError):
        slabs.over(look, 4000, 100)
    assert len(looked) < 100  # of 667


@pytest.mark.parametrize("shape", [(40, 33, 21), (7, 10), (20000,), (1, 1, 1), (70, 31, 97)])
def test_the_sum_is_that_of_numpy_to_the_last_digits(shape: tuple[int, ...]) -> None:
    """Numbers over eight decades, whose float32 sum would be off by 1e-5. numpy's own order may change: a few units in
    the last place are left to it.
    """
    draw = np.random.default_rng(2)
    volume = (10 ** draw.uniform(-3, 5, shape)).astype(np.float32)
    expected = pytest.approx(float(volume.sum(dtype=np.float64)), rel=1e-14)
    assert slabs.total(volume) == expected
    assert slabs.total_of(np.array_split(volume.ravel(), 7)) == expected


def test_sums_of_counts_are_exact() -> None:
    """Whole numbers below 2^53 have one sum."""
    counts = np.random.default_rng(3).integers(0, 2**20, (60, 40, 30))
    assert slabs.total(counts.astype(np.float32)) == int(counts.sum())


def test_ends_and_numbers_are_those_of_the_whole() -> None:
    """Beside numpy's, and not a number where any voxel is none."""
    volume = np.random.default_rng(4).normal(size=(50, 20, 10)).astype(np.float32)
    assert (slabs.least(volume), slabs.largest(volume)) == (volume.min(), volume.max())
    assert slabs.number(lambda slab: volume[slab] > 1, volume) == int((volume > 1).sum())
    volume[33, 4, 5] = np.nan
    assert np.isnan(slabs.least(volume))
    assert np.isnan(slabs.largest(volume))


def test_a_copy_is_another_array_with_the_same_values() -> None:
    """What is written to it is not in the volume."""
    volume = np.random.default_rng(5).integers(0, 9, (50, 20, 10)).astype(np.uint8)
    copy = slabs.copied(volume)
    np.testing.assert_array_equal(copy, volume)
    assert not np.shares_memory(copy, volume)


def test_dark_is_what_has_no_value_but_zero() -> None:
    """One voxel that is not zero is enough."""
    volume = np.zeros((30, 20, 10), np.float32)
    assert slabs.dark(volume)
    volume[29, 19, 9] = -1
    assert not slabs.dark(volume)
