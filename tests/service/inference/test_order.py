"""Orders, alone and together."""

import numpy as np
import pytest

from service.inference.order import Order, together
from tests.service.inference.networks import Told, tensors


def test_what_runs_together_is_alike() -> None:
    """Another model, other sides and another type are not."""
    network, other = Told(), Told("other")
    order = Order(network, tensors(1), "a")
    assert order.like(Order(network, tensors(2), "b"))
    assert not order.like(Order(other, tensors(2), "a"))
    assert not order.like(Order(network, tensors(2, (4, 4, 6)), "a"))
    assert not order.like(Order(network, {"modulus": np.ones((1, 4, 4, 4))}, "a"))


@pytest.mark.parametrize("count", [1, 3])
def test_each_gets_its_own_rows(count: int) -> None:
    """In one run of the network."""
    network = Told()
    network.open.set()
    answers = together([Order(network, tensors(n), "a") for n in range(count)])
    assert network.runs == [list(range(count))]
    for n, answer in enumerate(answers):
        np.testing.assert_array_equal(answer["amplitude"], 2 * tensors(n)["modulus"])
        np.testing.assert_array_equal(answer["phase"], -tensors(n)["modulus"])


def test_several_patterns_of_one_order_stay_together() -> None:
    """Beside those of another one."""
    network = Told()
    network.open.set()
    three = {"modulus": np.concatenate([tensors(n)["modulus"] for n in (4, 5, 6)])}
    first, second = together([Order(network, three, "a"), Order(network, tensors(7), "b")])
    np.testing.assert_array_equal(first["amplitude"], 2 * three["modulus"])
    np.testing.assert_array_equal(second["amplitude"], 2 * tensors(7)["modulus"])


def test_bytes_are_those_that_the_network_takes() -> None:
    """A feature that it does not take counts for nothing."""
    found = tensors(1) | {"valid": np.ones((1, 4, 4, 4), np.float32)}
    assert Order(Told(), found, "a").nbytes == 4 * 64
