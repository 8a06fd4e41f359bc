"""The Lightning module: simulate, predict, pursue the objective, within a budget."""

import copy
import math
import time
from collections.abc import Sequence
from typing import Any, Self

import lightning
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from training import networks, objectives
from training.data import HELD_OUT_SEED, BatchNumbers, Sample, batch_of
from training.groups import Groups
from training.muon import Muon
from training.networks.network import Network, channels_last, multiplies_in_bfloat16
from training.schedule import SCHEDULES
from training.settings import FitSettings, from_dict

SETTLING = 10  # batches, of which the averaged network's normalisation is estimated


class PhaseRetrieval(lightning.LightningModule):
    """A network under training, and the average of its weights, which is what is evaluated and exported.

    The budget is a number of crystals, seconds of training, or whichever is spent first; schedules follow it. What is
    spent (`elapsed` seconds, crystals `seen`) travels in the checkpoint: a resumed run goes on along the same schedule.
    earlier: the `record` of each run that its weights have been through before.
    """

    def __init__(
        self,
        settings: dict[str, Any],
        budget_crystals: float = math.inf,
        budget_s: float = math.inf,
        earlier: Sequence[dict[str, Any]] = (),
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.settings: FitSettings = from_dict(settings)
        self.budget_crystals, self.budget_s = budget_crystals, budget_s
        self.elapsed, self.seen = 0.0, 0
        self.earlier = list(earlier)
        self._schedule_state: dict[str, Any] | None = None
        self.objective = objectives.build(self.settings.objective, **self.settings.objective_options)
        self.network = networks.build(self.settings.architecture, **self.settings.network)
        channels_last(self.network)
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        self._since = time.monotonic()

    @classmethod
    def after(cls, given: "PhaseRetrieval", settings: FitSettings, budget_crystals: float, budget_s: float) -> Self:
        """A run of these settings that begins with the weights that `given` came to.
        ValueError where the networks differ.
        """
        networks_of = [(s.architecture, s.network) for s in (given.settings, settings)]
        if networks_of[0] != networks_of[1]:
            raise ValueError(f"weights of {networks_of[0]} do not fit a network of {networks_of[1]}")
        module = cls(settings.as_dict(), budget_crystals, budget_s, [*given.earlier, given.record])
        # the average is what was judged and exported: it goes on from there
        module.network.load_state_dict(given.average.state_dict())
        module.average.load_state_dict(given.average.state_dict())
        return module

    @property
    def record(self) -> dict[str, Any]:
        """What this run was, for the card: its settings, of which the budget is the run's own and not that of its
        configuration, and what was spent.
        """
        crystals, seconds = (
            None if math.isinf(budget) else round(budget) for budget in (self.budget_crystals, self.budget_s)
        )
        return {
            "settings": {**self.settings.as_dict(), "budget": crystals},
            "budget_s": seconds,
            "crystals_seen": self.seen,
            "wall_time_s": round(self.elapsed),
        }

    def pursue(self, network: Network, batch: Sample | Groups) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss and figures of a network on a batch."""
        return self.objective(network, batch.features(network.inputs), batch)

    @property
    def progress(self) -> float:
        """Share of the budget that is spent."""
        return min(max(self.seen / self.budget_crystals, self.elapsed / self.budget_s), 1.0)

    def draw(self, seed: int, number: int) -> Sample | Groups:
        """Batch `number` of a seed, on the device."""
        return batch_of(self.settings, seed, number, self.settings.batch, self.device)

    def training_step(self, number: Tensor, _: int) -> Tensor:
        batch = self.draw(self.settings.seed, int(number) * self.trainer.world_size + self.global_rank)
        loss, figures = self.pursue(self.network, batch)
        if not loss.isfinite():  # its gradient would undo all that is learned
            raise FloatingPointError(
                f"the loss of step {self.global_step} is {loss:g}: go on from the last checkpoint at a lower rate"
            )
        self.log_dict({"loss": loss} | figures, prog_bar=True, batch_size=self.settings.batch)
        self.log("crystals_per_s", self.seen / max(self.elapsed, 1e-3), prog_bar=True, batch_size=1)
        return loss

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        now = time.monotonic()
        self.elapsed += now - self._since
        self._since = now
        if self.trainer.world_size > 1:  # all take the same rate, train the same parts and stop at the same step
            self.elapsed = self.trainer.strategy.broadcast(self.elapsed)
        self.schedule.before_step(self.global_step, self.seen, self.progress)
        self.objective.prepare(self.network, self.progress, self.global_step)

    def on_train_start(self) -> None:
        # the average stays in single precision, in which it is exported: what is said of it is said of the version
        self.network.mixed = self.settings.precision == "bfloat16" and multiplies_in_bfloat16(self.device)
        self._since = time.monotonic()

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        # a young average follows the weights closely: its memory is never longer than a tenth of the run so far
        decay = min(self.settings.average_decay, 1 - 10 / (self.global_step + 10))
        with torch.no_grad():
            for mean, value in zip(self.average.parameters(), self.network.parameters(), strict=True):
                mean.lerp_(value, 1 - decay)
            for kept, found in zip(self.average.buffers(), self.network.buffers(), strict=True):
                kept.copy_(found)
        self.seen += self.settings.batch * self.trainer.world_size
        if self.progress >= 1.0:
            self.trainer.should_stop = True

    def on_validation_epoch_start(self) -> None:
        self.settle()

    def on_train_end(self) -> None:
        self.settle()  # what is saved last is what is exported

    @torch.no_grad()
    def settle(self) -> None:
        """Estimate the normalisation of the averaged network anew, where it has any, from a few batches of training.

        The running means belong to other weights than the averaged ones: with them a network of images had a loss of
        0.079 where it has 0.065. Without an average they are those of the last steps, which long ones leave behind: an
        AutoPhaseNN whose batches had a likeness of 0.78 was judged at 0.18.
        """
        layers = normalisations(self.average)
        if not layers:
            return
        was = self.average.training
        self.average.train()
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None  # the mean of all batches
        for number in range(SETTLING):
            features = self.draw(self.settings.seed, number).features(self.average.inputs)
            networks.predict(self.average, features)
        self.average.train(was)

    def validation_step(self, number: Tensor, _: int) -> None:
        batch = self.draw(HELD_OUT_SEED, int(number))
        loss, figures = self.pursue(self.average, batch)
        shown = {f"val_{name}": value for name, value in ({"loss": loss} | figures).items()}
        self.log_dict(shown, prog_bar=True, sync_dist=True, batch_size=self.settings.batch)

    def on_validation_epoch_end(self) -> None:
        self.schedule.validated(float(self.trainer.callback_metrics["val_loss"]))

    def on_validation_end(self) -> None:
        self._since = time.monotonic()  # validation does not count against the budget

    def configure_optimizers(self) -> torch.optim.Optimizer:
        s = self.settings
        parameters = self.network.parameters()
        optimizer: torch.optim.Optimizer
        match s.optimizer:
            case "sgd":
                optimizer = torch.optim.SGD(parameters, s.learning_rate, s.betas[0], weight_decay=s.weight_decay)
            case "muon":
                optimizer = Muon(parameters, s.learning_rate, s.betas, s.weight_decay)
            case _:
                optimizer = torch.optim.AdamW(parameters, s.learning_rate, betas=s.betas, weight_decay=s.weight_decay)
        self.schedule = SCHEDULES[s.schedule](optimizer, s)
        if self._schedule_state is not None:
            self.schedule.load_state_dict(self._schedule_state)
        return optimizer

    def train_dataloader(self) -> DataLoader[int]:
        return DataLoader(BatchNumbers(self.global_step), batch_size=None)

    def val_dataloader(self) -> DataLoader[int]:
        batches = range(self.settings.validation_crystals // self.settings.batch)
        return DataLoader(batches, batch_size=None)  # type: ignore[arg-type]  # a range has what is used of a Dataset

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint |= {"elapsed": self.elapsed, "seen": self.seen, "schedule": self.schedule.state_dict()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.elapsed, self.seen = checkpoint["elapsed"], checkpoint["seen"]
        self._schedule_state = checkpoint["schedule"]


def normalisations(network: nn.Module) -> list[nn.BatchNorm2d | nn.BatchNorm3d]:
    """Layers that normalise a batch by its own mean and variance, and keep running ones."""
    return [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d | nn.BatchNorm3d)]
