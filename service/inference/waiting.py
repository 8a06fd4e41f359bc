"""The line before the networks: models take turns, and so do the owners of what waits for one of them."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from service.inference.order import Order

_GPU: Final = ("TensorrtExecutionProvider", "CUDAExecutionProvider")
_PATTERNS_ON_GPU: Final = 8  # on processors two patterns cost twice as much as one: docs/decisions/0039


@dataclass(frozen=True)
class Cap:
    """What one run computes at most, beside the first order. patterns: so many. nbytes: of their tensors."""

    patterns: int
    nbytes: int


def cap_of(provider: str, patterns: int | None, nbytes: int) -> Cap:
    """The cap of runs on an execution provider. patterns: None where it was not set."""
    return Cap(patterns or (_PATTERNS_ON_GPU if provider in _GPU else 1), nbytes)


class Waiting:
    """Orders that wait. Not for several threads at once: the batcher has a lock.

    cap: of a run of an order's network. Who was served stands behind all others of the same model; the orders of one
    owner keep their order.
    """

    def __init__(self, cap: Callable[[Order], Cap]) -> None:
        self._cap = cap
        self._models: dict[str, dict[str, deque[Order]]] = {}

    def __len__(self) -> int:
        return sum(len(orders) for owners in self._models.values() for orders in owners.values())

    def add(self, order: Order) -> None:
        """One more."""
        self._models.setdefault(order.model, {}).setdefault(order.owner, deque()).append(order)

    def take(self) -> list[Order]:
        """What is computed next: orders that are alike, one at least unless nobody waits.

        They have begun: their callers cannot cancel them any more. Those that were cancelled before are dropped here.
        """
        while self._models:
            model = next(iter(self._models))
            owners = self._models.pop(model)
            batch = self._batch(owners)
            if owners:
                self._models[model] = owners  # behind the other models
            if batch:
                return batch
        return []

    def clear(self) -> None:
        """Cancel all of them."""
        for owners in self._models.values():
            for orders in owners.values():
                for order in orders:
                    order.answer.cancel()
        self._models.clear()

    def _batch(self, owners: dict[str, deque[Order]]) -> list[Order]:
        batch: list[Order] = []
        passed: set[str] = set()  # owners whose next order does not fit into this run
        while (owner := next((name for name in owners if name not in passed), None)) is not None:
            orders = owners[owner]
            if batch and not self._fits(orders[0], batch):
                passed.add(owner)
                continue
            order = orders.popleft()
            begun = order.answer.set_running_or_notify_cancel()
            if not orders:
                del owners[owner]
            elif begun:
                owners[owner] = owners.pop(owner)  # behind the other owners
            if begun:
                batch.append(order)
        return batch

    def _fits(self, order: Order, batch: list[Order]) -> bool:
        cap = self._cap(order)
        return len(batch) < cap.patterns and (len(batch) + 1) * order.nbytes <= cap.nbytes and order.like(batch[0])
