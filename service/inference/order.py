"""What is asked of a network, and how several of it are computed as one."""

import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np

from inphase.models.prediction import Network, Tensors


@dataclass(frozen=True, eq=False)
class Order:
    """The tensors of one pattern, or of several that stay together, the batch axis first.

    answer: cancelled by a caller who leaves before its turn. since: `time.perf_counter`.
    """

    network: Network
    tensors: Tensors
    owner: str
    answer: "Future[Tensors]" = field(default_factory=Future)
    since: float = field(default_factory=time.perf_counter)

    @property
    def model(self) -> str:
        """name@version."""
        return self.network.version.label

    @property
    def patterns(self) -> int:
        """How many there are."""
        return len(self.tensors[self.network.version.card.inputs[0]])

    @property
    def nbytes(self) -> int:
        """Bytes of the tensors that the network takes."""
        return sum(self.tensors[name].nbytes for name in self.network.version.card.inputs)

    def like(self, other: "Order") -> bool:
        """Whether both can be rows of the same tensors: same model, sides and types."""
        return self.model == other.model and all(
            self.tensors[name].shape[1:] == other.tensors[name].shape[1:]
            and self.tensors[name].dtype == other.tensors[name].dtype
            for name in self.network.version.card.inputs
        )


def together(orders: Sequence[Order]) -> list[Tensors]:
    """One run of the network for orders that are alike: the answer of each, in their order."""
    first = orders[0]
    if len(orders) == 1:
        return [first.network.infer(first.tensors)]
    stacked = {
        name: np.concatenate([order.tensors[name] for order in orders]) for name in first.network.version.card.inputs
    }
    outputs = first.network.infer(stacked)
    ends = np.cumsum([order.patterns for order in orders])
    return [
        {name: rows[end - order.patterns : end] for name, rows in outputs.items()}
        for order, end in zip(orders, ends.tolist(), strict=True)
    ]
