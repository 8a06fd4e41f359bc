"""Hundreds of callers at once: each gets its own answer, soon, and nobody is computed for who has left."""

import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from inphase.models.prediction import Tensors
from service.inference.batcher import Batcher
from service.inference.waiting import Cap
from tests.service.inference.networks import GRID, Told, tensors, version

OUTPUTS = ("amplitude", "phase")


@contextmanager
def batcher(patterns: int = 8, nbytes: int = 2**30) -> Iterator[Batcher]:
    """One that computes."""
    found = Batcher(1, lambda provider: Cap(patterns, nbytes))
    found.start()
    try:
        yield found
    finally:
        found.stop()


class Convolution:
    """A network of onnxruntime that mixes neighbours, and never two patterns."""

    version = version()
    provider = "CPUExecutionProvider"

    def __init__(self) -> None:
        kernel = np.random.default_rng(3).normal(size=(2, 1, 3, 3, 3)).astype(np.float32)
        graph = helper.make_graph(
            [
                helper.make_node("Unsqueeze", ["modulus", "one"], ["channel"]),
                helper.make_node("Conv", ["channel", "kernel"], ["mixed"], pads=[1] * 6),
                helper.make_node("Split", ["mixed"], ["amplitude", "phase"], axis=1, num_outputs=2),
            ],
            "convolution",
            [helper.make_tensor_value_info("modulus", TensorProto.FLOAT, ["b", *GRID])],
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, ["b", 1, *GRID])
                for name in ("amplitude", "phase")
            ],
            [numpy_helper.from_array(kernel, "kernel"), numpy_helper.from_array(np.array([1]), "one")],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self.sizes: list[int] = []

    def infer(self, tensors: Tensors) -> Tensors:
        """Two convolutions of each pattern."""
        self.sizes.append(len(tensors["modulus"]))
        return dict(zip(OUTPUTS, self._session.run(None, dict(tensors)), strict=True))


def test_hundreds_of_callers_get_what_each_would_get_alone() -> None:
    """Four hundred distinct patterns of forty owners from forty threads, in runs of up to eight."""
    random = np.random.default_rng(7)
    patterns: list[NDArray[np.float32]] = list(random.normal(size=(400, 1, *GRID)).astype(np.float32))
    network = Convolution()
    alone = [network.infer({"modulus": pattern}) for pattern in patterns]
    network.sizes.clear()
    together = threading.Barrier(40)

    def ask(number: int) -> Tensors:
        if number < 40:
            together.wait(20)  # so that they come at once
        return line.submit(network, {"modulus": patterns[number]}, f"owner-{number % 40}").result(20)

    with batcher() as line, ThreadPoolExecutor(40) as threads:
        answers = list(threads.map(ask, range(400)))
        usage = line.statistics.of("toy@1")
    for answer, expected in zip(answers, alone, strict=True):
        for name in OUTPUTS:
            assert answer[name].shape == expected[name].shape
            # sums of 27 products of single precision, in whatever order the library takes for so many rows
            np.testing.assert_allclose(answer[name], expected[name], rtol=1e-5, atol=1e-5)
    assert sum(network.sizes) == usage.success.count == 400
    assert 1 < max(network.sizes) <= 8


def test_a_lone_caller_does_not_wait() -> None:
    """It runs by itself, though a run has room for eight."""
    network = Told()
    network.open.set()
    with batcher() as line:
        for value in range(5):
            line.submit(network, tensors(value), "a").result(20)
    assert network.runs == [[0], [1], [2], [3], [4]]


def test_what_comes_during_a_run_runs_together() -> None:
    """In one run, of all owners."""
    network = Told()
    with batcher() as line:
        first = line.submit(network, tensors(0), "a")
        assert network.running.wait(20)
        others = [line.submit(network, tensors(value), owner) for value, owner in ((1, "a"), (2, "a"), (3, "b"))]
        network.open.set()
        for value, answer in enumerate([first, *others]):
            np.testing.assert_array_equal(answer.result(20)["amplitude"], 2 * tensors(value)["modulus"])
    assert network.runs == [[0], [1, 3, 2]]


def test_who_leaves_is_not_computed() -> None:
    """Neither is anybody else's turn lost."""
    network = Told()
    with batcher(patterns=1) as line:
        first = line.submit(network, tensors(0), "a")
        assert network.running.wait(20)
        left, stays = line.submit(network, tensors(1), "a"), line.submit(network, tensors(2), "a")
        assert left.cancel()
        network.open.set()
        stays.result(20)
        assert first.done()
    assert network.runs == [[0], [2]]


def test_one_bad_pattern_spoils_no_others() -> None:
    """The run that fails is taken apart: who is at fault gets the error."""
    network = Told(bad=2.0)
    with batcher() as line:
        line.submit(network, tensors(0), "a")
        assert network.running.wait(20)
        answers = [line.submit(network, tensors(value), "a") for value in (1, 2, 3)]
        network.open.set()
        for value in (1, 3):
            np.testing.assert_array_equal(answers[value - 1].result(20)["phase"], -tensors(value)["modulus"])
        with pytest.raises(ValueError, match="a bad number"):
            answers[1].result(20)
        usage = line.statistics.of("toy@1")
    assert (usage.success.count, usage.fail.count) == (3, 1)


def test_nobody_waits_for_a_batcher_that_leaves() -> None:
    """What is computed is ended; what waits, and what comes later, is cancelled."""
    network = Told()
    with batcher(patterns=1) as line:
        first = line.submit(network, tensors(0), "a")
        assert network.running.wait(20)
        waiting = line.submit(network, tensors(1), "a")
        stopping = threading.Thread(target=line.stop)
        stopping.start()
        with pytest.raises(CancelledError):
            waiting.result(20)
        network.open.set()
        stopping.join(20)
        np.testing.assert_array_equal(first.result(20)["phase"], -tensors(0)["modulus"])
        with pytest.raises(CancelledError):
            line.submit(network, tensors(2), "a").result(20)
    assert network.runs == [[0]]
