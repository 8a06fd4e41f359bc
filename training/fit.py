"""Fit a network within a wall-clock budget, from a checkpoint where there is one."""

from pathlib import Path

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger

from training.module import PhaseRetrieval
from training.settings import FitSettings


def seconds(text: str) -> float:
    """Seconds of DD:HH:MM:SS (leading parts may be missing); ValueError on anything else."""
    parts = text.split(":")
    if not 1 <= len(parts) <= 4 or not all(p.isdigit() for p in parts):
        raise ValueError(f"a time reads DD:HH:MM:SS, got {text!r}; 00:01:00:00 is an hour")
    weights = (1, 60, 3600, 86400)
    return float(sum(int(p) * w for p, w in zip(reversed(parts), weights, strict=False)))


def fit(settings: FitSettings, run: Path, max_time: str) -> Path:
    """Train into the folder `run` and return the last checkpoint. An interrupted run of the same folder goes on."""
    lightning.seed_everything(settings.seed)
    bf16 = torch.cuda.is_available()
    checkpoints = ModelCheckpoint(
        dirpath=run,
        filename="last",
        every_n_train_steps=100,
        enable_version_counter=False,
        save_on_train_epoch_end=True,
    )
    trainer = lightning.Trainer(
        max_epochs=-1,
        precision="bf16-mixed" if bf16 else "32-true",
        gradient_clip_val=settings.gradient_norm,
        callbacks=[checkpoints],
        logger=CSVLogger(run, name="log"),
        val_check_interval=settings.validation_every,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        log_every_n_steps=25,
    )
    last = run / "last.ckpt"
    module = PhaseRetrieval(settings.as_dict(), seconds(max_time))
    trainer.fit(module, ckpt_path=last if last.exists() else None)
    trainer.save_checkpoint(last)
    return last
