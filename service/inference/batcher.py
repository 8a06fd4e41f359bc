"""Computes what waits before the networks. A lone order is computed at once; only what waits together runs together."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from inphase.models.prediction import Network, Tensors
from service.inference.order import Order, together
from service.inference.statistics import Statistics
from service.inference.waiting import Cap, Waiting


class Batcher:
    """`runs` threads, each of which computes one run of a network at a time, between `start` and `stop`.

    cap: of a run on an execution provider.
    """

    def __init__(self, runs: int, cap: Callable[[str], Cap]) -> None:
        self.statistics = Statistics()
        self._waiting = Waiting(lambda order: cap(order.network.provider))
        self._changed = threading.Condition()
        self._leaving = False
        self._threads = [
            threading.Thread(target=self._run, name=f"inference-{number}", daemon=True) for number in range(runs)
        ]

    @property
    def waiting(self) -> int:
        """How many orders wait for their turn."""
        with self._changed:
            return len(self._waiting)

    def start(self) -> None:
        """From here on orders are computed."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """What is being computed is ended, what waits is cancelled."""
        with self._changed:
            self._leaving = True
            self._waiting.clear()
            self._changed.notify_all()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    def submit(self, network: Network, tensors: Tensors, owner: str) -> "Future[Tensors]":
        """The answer to come; who cancels it before its turn is not computed."""
        order = Order(network, tensors, owner)
        with self._changed:
            if self._leaving:
                order.answer.cancel()
            else:
                self._waiting.add(order)
                self._changed.notify()
        return order.answer

    def _run(self) -> None:
        while batch := self._next():
            self._compute(batch)
            del batch  # an idle thread holds nobody's tensors

    def _next(self) -> list[Order]:
        with self._changed:
            while not (batch := self._waiting.take()) and not self._leaving:
                self._changed.wait()
            return batch

    def _compute(self, batch: Sequence[Order]) -> None:
        begun = time.perf_counter()
        try:
            answers = together(batch)
        except Exception as error:
            if len(batch) > 1:  # whose fault it is shows when each is alone
                for order in batch:
                    self._compute([order])
                return
            self.statistics.ran(batch, begun, well=False)
            batch[0].answer.set_exception(error)
        else:
            self.statistics.ran(batch, begun, well=True)
            for order, answer in zip(batch, answers, strict=True):
                order.answer.set_result(answer)
