"""What was computed, counted."""

import time

from service.inference.order import Order
from service.inference.statistics import Statistics, Usage
from tests.service.inference.networks import Told, tensors


def test_runs_and_orders_are_counted() -> None:
    """Three orders in a run of two and one that failed; another model has nothing."""
    statistics, network = Statistics(), Told()
    now = time.perf_counter()
    orders = [Order(network, tensors(n), "a", since=now - 2.0) for n in range(3)]
    statistics.ran(orders[:2], now - 1.0, well=True)
    statistics.ran(orders[2:], now - 1.0, well=False)
    usage = statistics.of("toy@1")
    assert (usage.success.count, usage.fail.count, usage.queue.count, usage.infer.count) == (2, 1, 3, 3)
    assert usage.runs == {2: 1, 1: 1}
    assert abs(usage.queue.seconds - 3.0) < 1e-6  # one second each
    assert 3.0 <= usage.infer.seconds < 4.0  # a second each, and what this test takes
    assert 4.0 <= usage.success.seconds < 5.0
    assert abs(usage.last - time.time()) < 60
    assert statistics.of("other@1") == Usage()
