"""What an objective is."""

from typing import ClassVar, Protocol

from torch import Tensor

from training.data import Sample
from training.networks.network import Network


class Objective(Protocol):
    """What a network is trained for; objectives inherit from it.

    Calling it gives the loss and the figures to log, among them `chi2`. features: of the batch (training.features), of
    which the network takes those that its `inputs` name. batch: the measurement and, for those who learn from labels,
    the truth.
    """

    supervised: ClassVar[bool] = False  # whether it looks at the truth: a measured pattern has none

    def __call__(
        self, network: Network, features: dict[str, Tensor], batch: Sample
    ) -> tuple[Tensor, dict[str, Tensor]]: ...

    def prepare(self, network: Network, progress: float, step: int) -> None:
        """Called before every step with its number and the share of the budget that is spent:
        for what changes on the way.
        """
