"""The learning curve of a run: what it knew of crystals that it has not seen, against crystals and seconds."""

from pathlib import Path

import lightning
from lightning.pytorch.callbacks import Callback

from training.module import PhaseRetrieval


class LearningCurve(Callback):
    """A row for each validation, tab-separated: step, crystals, seconds of training, the held-out figures.

    A run that goes on appends to the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        assert isinstance(pl_module, PhaseRetrieval)
        if not trainer.is_global_zero:
            return
        figures = {k: float(v) for k, v in sorted(trainer.callback_metrics.items()) if k.startswith("val_")}
        row = {"step": pl_module.global_step, "crystals": pl_module.seen, "seconds": round(pl_module.elapsed)} | figures
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            if not file.tell():
                print(*row, sep="\t", file=file)
            print(
                *(f"{value:.6g}" if isinstance(value, float) else value for value in row.values()), sep="\t", file=file
            )
