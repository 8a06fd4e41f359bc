"""What an objective is."""

from typing import ClassVar, Protocol, TypeVar

from torch import Tensor

from training.networks.network import Network

Batch = TypeVar("Batch", contravariant=True)


class Objective(Protocol[Batch]):
    """What a network is trained for on batches of one type; objectives inherit from it.

    Calling it gives the loss and the figures to log, among them `chi2`. features: of the batch (training.features), of
    which the network takes those that its `inputs` name. batch: the measurement and, for those who learn from labels,
    the truth; a `training.data.Sample` of patterns that stand alone, `training.groups.Groups` of those of scans.
    """

    supervised: ClassVar[bool] = False  # whether it looks at the truth: a measured pattern has none

    def __call__(
        self, network: Network, features: dict[str, Tensor], batch: Batch
    ) -> tuple[Tensor, dict[str, Tensor]]: ...

    def prepare(self, network: Network, progress: float, step: int) -> None:
        """Called before every step with its number and the share of the budget that is spent:
        for what changes on the way.
        """
