"""Whose turn it is."""

import numpy as np
import pytest

from service.inference.order import Order
from service.inference.waiting import Cap, Waiting, cap_of
from tests.service.inference.networks import Told, tensors

MIB = 2**20


def line(patterns: int, nbytes: int = MIB) -> Waiting:
    """An empty one."""
    return Waiting(lambda order: Cap(patterns, nbytes))


def add(waiting: Waiting, network: Told, owner: str, *values: float, grid: tuple[int, ...] = (4, 4, 4)) -> list[Order]:
    """Orders of one owner."""
    orders = [Order(network, tensors(value, grid), owner) for value in values]
    for order in orders:
        waiting.add(order)
    return orders


def taken(waiting: Waiting) -> list[list[float]]:
    """The numbers of all runs until nobody waits."""
    runs = []
    while batch := waiting.take():
        runs.append([float(order.tensors["modulus"].flat[0]) for order in batch])
    assert len(waiting) == 0
    return runs


def test_owners_take_turns() -> None:
    """One who asks a hundred times keeps nobody waiting for more than one run."""
    waiting, network = line(1), Told()
    add(waiting, network, "flood", *range(100))
    add(waiting, network, "b", 1000, 1001)
    add(waiting, network, "c", 2000)
    assert taken(waiting)[:6] == [[0], [1000], [2000], [1], [1001], [2]]


def test_owners_share_a_run() -> None:
    """Where a run has room for four, each owner has a place before one has a second."""
    waiting, network = line(4), Told()
    add(waiting, network, "flood", *range(5))
    add(waiting, network, "b", 100)
    add(waiting, network, "c", 200)
    assert taken(waiting) == [[0, 100, 200, 1], [2, 3, 4]]


def test_models_take_turns() -> None:
    """Also where one of them has more owners."""
    waiting, one, other = line(1), Told("one"), Told("other")
    for number in range(4):
        add(waiting, one, f"owner-{number}", number)
    add(waiting, other, "owner-0", 100, 101)
    assert taken(waiting) == [[0], [100], [1], [101], [2], [3]]


def test_a_run_has_one_shape() -> None:
    """Those of another one wait for the next run, and nobody's orders overtake each other."""
    waiting, network = line(8), Told()
    add(waiting, network, "a", 1)
    add(waiting, network, "a", 2, grid=(4, 4, 6))
    add(waiting, network, "a", 3)
    add(waiting, network, "b", 10, 11)
    assert taken(waiting) == [[1, 10, 11], [2], [3]]


@pytest.mark.parametrize(("nbytes", "runs"), [(2 * 256, [[0, 1], [2]]), (1, [[0], [1], [2]]), (MIB, [[0, 1, 2]])])
def test_a_run_is_bounded_in_bytes(nbytes: int, runs: list[list[float]]) -> None:
    """A pattern has 256; one that is larger than the bound runs alone."""
    waiting, network = line(8, nbytes), Told()
    add(waiting, network, "a", 0, 1, 2)
    assert taken(waiting) == runs


def test_who_has_left_is_dropped() -> None:
    """Before its turn, without costing its owner one; what has been taken cannot be cancelled any more."""
    waiting, network = line(1), Told()
    first, second, third = add(waiting, network, "a", 0, 1, 2)
    add(waiting, network, "b", 10)
    assert second.answer.cancel()
    assert [order.answer for order in waiting.take()] == [first.answer]
    assert not first.answer.cancel()
    assert taken(waiting) == [[10], [2]]
    assert not third.answer.cancelled()


def test_all_have_left() -> None:
    """Then there is nothing to do."""
    waiting, network = line(2), Told()
    for order in add(waiting, network, "a", 0, 1):
        order.answer.cancel()
    assert waiting.take() == []
    assert len(waiting) == 0


def test_what_is_cleared_is_cancelled() -> None:
    """Nobody waits for ever."""
    waiting = line(1)
    orders = add(waiting, Told(), "a", 0, 1)
    waiting.clear()
    assert all(order.answer.cancelled() for order in orders)
    assert waiting.take() == []


def test_every_order_is_taken_once_whatever_the_mixture() -> None:
    """Three models, five owners, three sizes of runs, at random."""
    random = np.random.default_rng(5)
    networks = [Told(name) for name in ("one", "two", "three")]
    for patterns in (1, 3, 8):
        waiting = line(patterns)
        for value in range(200):
            add(waiting, networks[random.integers(3)], f"owner-{random.integers(5)}", value)
        runs = taken(waiting)
        assert sorted(value for run in runs for value in run) == list(range(200))
        assert max(map(len, runs)) == patterns


def test_processors_compute_one_pattern_at_a_time() -> None:
    """Unless it is set; cards compute several."""
    assert cap_of("CPUExecutionProvider", None, MIB) == Cap(1, MIB)
    assert cap_of("OpenVINOExecutionProvider", None, MIB) == Cap(1, MIB)
    assert cap_of("CUDAExecutionProvider", None, MIB) == Cap(8, MIB)
    assert cap_of("CPUExecutionProvider", 4, MIB) == cap_of("CUDAExecutionProvider", 4, MIB) == Cap(4, MIB)
