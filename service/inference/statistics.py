"""What was computed for whom, counted: for /v2/models/.../stats and for Prometheus."""

import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from service.inference.order import Order


@dataclass(frozen=True)
class Spent:
    """How often, and for how many seconds in all."""

    count: int = 0
    seconds: float = 0.0

    def plus(self, seconds: float) -> "Spent":
        """Once more."""
        return Spent(self.count + 1, self.seconds + seconds)


@dataclass(frozen=True)
class Usage:
    """What became of the orders of one model version since the start.

    success, fail: from the order to its answer. queue: until its run began. infer: its run. runs: of the
    network, by how many patterns each had. last: when the last run ended, Unix time.
    """

    success: Spent = Spent()
    fail: Spent = Spent()
    queue: Spent = Spent()
    infer: Spent = Spent()
    runs: Counter[int] = field(default_factory=Counter)
    last: float = 0.0


class Statistics:
    """The usage of all model versions; may be asked and told from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._usage: dict[str, Usage] = {}

    def of(self, model: str) -> Usage:
        """Of name@version."""
        with self._lock:
            return self._usage.get(model, Usage())

    def models(self) -> dict[str, Usage]:
        """Of all that were computed, by name@version."""
        with self._lock:
            return dict(self._usage)

    def ran(self, orders: Sequence[Order], begun: float, *, well: bool) -> None:
        """One run of a network has ended. begun: `time.perf_counter`."""
        ended = time.perf_counter()
        with self._lock:
            usage = self._usage.get(orders[0].model, Usage())
            for order in orders:
                usage = _with(usage, order, begun, ended, well=well)
            runs = usage.runs + Counter({len(orders): 1})
            self._usage[orders[0].model] = replace(usage, runs=runs, last=time.time())


def _with(usage: Usage, order: Order, begun: float, ended: float, *, well: bool) -> Usage:
    queue, infer, whole = begun - order.since, ended - begun, ended - order.since
    return replace(
        usage,
        success=usage.success.plus(whole) if well else usage.success,
        fail=usage.fail if well else usage.fail.plus(whole),
        queue=usage.queue.plus(queue),
        infer=usage.infer.plus(infer),
    )
