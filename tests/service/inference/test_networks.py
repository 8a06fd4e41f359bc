"""A network as one caller sees it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue

import numpy as np
import pytest

from inphase.errors import CancelledError
from inphase.models.repository import Repository, UnknownModelError
from inphase.models.session import Sessions
from service.inference.batcher import Batcher
from service.inference.networks import Networks, QueuedNetwork
from service.inference.waiting import Cap
from tests.service.inference.networks import Told, tensors


def test_a_network_is_loaded_when_it_is_asked_for(models_dir: Path) -> None:
    """And answers as its session does."""
    sessions = Sessions(Repository(models_dir), threads=1)
    line = Batcher(1, lambda provider: Cap(1, 1))
    line.start()
    networks = Networks(sessions, line)
    version = sessions.repository.resolve("blind")
    try:
        assert networks.loaded(version, "a") is None
        network = networks.get("blind", "a")
        assert networks.loaded(version, "a") == network
        assert (network.version, network.provider) == (version, sessions.provider(version))
        shapes = {"modulus": (1, 64, 64, 64), "valid": (1, 64, 64, 64), "autocorrelation": (1, 2, 64, 64, 64)}
        zeros = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
        np.testing.assert_array_equal(network.infer(zeros)["amplitude"], network.session.infer(zeros)["amplitude"])
    finally:
        line.stop()
    with pytest.raises(UnknownModelError, match="nobody"):
        networks.get("nobody", "a")


def test_a_caller_who_leaves_while_it_waits_is_told_so() -> None:
    """Its thread is free at once, and its pattern is not computed."""
    network = Told()
    line = Batcher(1, lambda provider: Cap(1, 1))
    line.start()
    leave: Queue[Callable[[], object]] = Queue()
    queued = QueuedNetwork(network, line, "a", leave.put)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(queued.infer, tensors(0))
        assert network.running.wait(20)
        leave.get(timeout=20)
        second = threads.submit(queued.infer, tensors(1))
        leave.get(timeout=20)()  # it waits, and leaves
        with pytest.raises(CancelledError, match="left before its turn"):
            second.result(20)
        network.open.set()
        assert first.result(20)["amplitude"].shape == (1, 4, 4, 4)
        line.stop()
    assert network.runs == [[0]]
