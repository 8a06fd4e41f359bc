"""The Lightning module: simulate, predict, compare with the measured modulus, within a wall-clock budget."""

import copy
import math
import time
from typing import Any

import lightning
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from inphase.pattern import MaskState
from training.data import HELD_OUT_SEED, BatchNumbers, Sample, sample
from training.features import volume_features
from training.losses import calculated_modulus, modulus_error, outside_extent, unevenness
from training.networks import build
from training.settings import FitSettings, from_dict


class PhaseRetrieval(lightning.LightningModule):
    """Unsupervised: the R factor between the calculated and the measured modulus, and two penalties; no label is seen.

    `elapsed` seconds of training travel in the checkpoint, so that a resumed run goes on along the same schedule.
    """

    def __init__(self, settings: dict[str, Any], budget_s: float) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.settings: FitSettings = from_dict(settings)
        self.budget_s = budget_s
        self.elapsed = 0.0
        self.network = build(self.settings.architecture, **self.settings.network)
        self.network.to(memory_format=torch.channels_last_3d)
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        self._since = time.monotonic()

    def predict(self, network: torch.nn.Module, batch: Sample) -> tuple[Tensor, Tensor]:
        """Amplitude and phase (B, *box) of a batch."""
        m = batch.measurement
        amplitude, phase = network(**volume_features(m.intensity, m.mask, m.hidden))
        return amplitude, phase

    def errors(self, prediction: tuple[Tensor, Tensor], batch: Sample) -> tuple[Tensor, Tensor]:
        """(R, chi2), each (B,), of a prediction over the valid voxels."""
        m = batch.measurement
        known = (m.mask == int(MaskState.VALID)) & ~m.hidden
        return modulus_error(calculated_modulus(*prediction, self.settings.frame), m.intensity.sqrt(), known)

    def training_step(self, number: Tensor, _: int) -> Tensor:
        world = self.trainer.world_size
        batch = sample(
            self.settings, self.settings.seed, int(number) * world + self.global_rank, self.settings.batch, self.device
        )
        prediction = self.predict(self.network, batch)
        r_factor, chi2 = self.errors(prediction, batch)
        extent = torch.tensor(self.settings.frame, device=self.device) / batch.oversampling
        outside, uneven = outside_extent(prediction[0], extent).mean(), unevenness(prediction[0]).mean()
        loss = r_factor.mean() + self.settings.outside_weight * outside + self.settings.unevenness_weight * uneven
        figures = {"R": r_factor.mean(), "chi2": chi2.median(), "outside": outside, "uneven": uneven}
        self.log_dict(figures, prog_bar=True, batch_size=self.settings.batch)
        self.log(
            "crystals_per_s",
            (self.global_step + 1) * self.settings.batch * world / max(self.elapsed, 1e-3),
            prog_bar=True,
            batch_size=1,
        )
        return loss

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        now = time.monotonic()
        self.elapsed += now - self._since
        self._since = now
        progress = min(self.elapsed / self.budget_s, 1.0)
        warmup = min((self.global_step + 1) / self.settings.warmup_steps, 1.0)
        rate = self.settings.learning_rate * warmup * max(0.5 * (1 + math.cos(math.pi * progress)), 1e-3)
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = rate
        if progress >= 1.0:
            self.trainer.should_stop = True

    def on_train_start(self) -> None:
        self._since = time.monotonic()

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        # a young average follows the weights closely: its memory is never longer than a tenth of the run so far
        decay = min(self.settings.average_decay, 1 - 10 / (self.global_step + 10))
        with torch.no_grad():
            for mean, value in zip(self.average.parameters(), self.network.parameters(), strict=True):
                mean.lerp_(value, 1 - decay)

    def validation_step(self, number: Tensor, _: int) -> None:
        batch = sample(self.settings, HELD_OUT_SEED, int(number), self.settings.batch, self.device)
        r_factor, chi2 = self.errors(self.predict(self.average, batch), batch)
        figures = {"val_R": r_factor.mean(), "val_chi2": chi2.mean(), "val_chi2_median": chi2.median()}
        self.log_dict(figures, prog_bar=True, sync_dist=True, batch_size=self.settings.batch)

    def on_validation_end(self) -> None:
        self._since = time.monotonic()  # validation does not count against the budget

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(
            self.network.parameters(),
            self.settings.learning_rate,
            betas=(0.9, 0.98),
            weight_decay=self.settings.weight_decay,
        )

    def train_dataloader(self) -> DataLoader[int]:
        return DataLoader(BatchNumbers(self.global_step), batch_size=None)

    def val_dataloader(self) -> DataLoader[int]:
        return DataLoader(range(self.settings.validation_crystals // self.settings.batch), batch_size=None)  # type: ignore[arg-type]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["elapsed"] = self.elapsed

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.elapsed = checkpoint["elapsed"]
