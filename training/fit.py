"""Fit a network within a budget, from a checkpoint where there is one."""

import math
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger

from inphase.retrieval.memory import keep_pages
from training.curve import LearningCurve
from training.measured import measured_scan
from training.module import PhaseRetrieval
from training.settings import FitSettings
from training.weights import weights_of

CHECKPOINT_EVERY = timedelta(minutes=5)  # what a run that is killed may lose


def parse_time(text: str) -> float:
    """Seconds of DD:HH:MM:SS (leading parts may be missing); ValueError on anything else."""
    parts = text.split(":")
    if not 1 <= len(parts) <= 4 or not all(p.isdigit() for p in parts):
        raise ValueError(f"a time reads DD:HH:MM:SS, got {text!r}; 00:01:00:00 is an hour")
    weights = (1, 60, 3600, 86400)
    return float(sum(int(p) * w for p, w in zip(reversed(parts), weights, strict=False)))


def fit(
    settings: FitSettings,
    run: Path,
    *,
    seconds: float = math.inf,
    crystals: float = math.inf,
    devices: int | None = None,
    begin: Path | None = None,
) -> Path:
    """Train a network into the folder `run` until a budget is spent and return the last checkpoint.

    begin: checkpoint, or model.onnx of a version, whose weights it begins with, those of another run of the same
    network; None: a fresh one. ValueError where they do not fit; DataError where a measured scan cannot be learned
    from, before anything is written.
    """
    if settings.measured is not None:
        measured_scan(settings.measured, settings.frame[0])
    lightning.seed_everything(settings.seed)
    if begin is None:
        return train(PhaseRetrieval(settings.as_dict(), crystals, seconds), run, devices)
    return train(PhaseRetrieval.after(weights_of(begin), settings, crystals, seconds), run, devices)


def train(module: PhaseRetrieval, run: Path, devices: int | None = None) -> Path:
    """Train into the folder `run` until the module's budget is spent and return the last checkpoint.

    devices: processes, each with a GPU or on the CPU; None: all GPUs, or one process on the CPU. An interrupted run of
    the same folder goes on. Logs: `learning_curve.tsv`, CSV, and TensorBoard where it is installed. Raises ValueError
    without a budget.
    """
    if math.isinf(module.budget_s) and math.isinf(module.budget_crystals):
        raise ValueError("a fit needs a budget: a time, or a number of crystals")
    checkpoints = ModelCheckpoint(
        dirpath=run,
        filename="last",
        train_time_interval=CHECKPOINT_EVERY,
        enable_version_counter=False,
        save_on_train_epoch_end=True,
    )
    keep_pages()
    several = (devices or torch.cuda.device_count()) > 1
    trainer = lightning.Trainer(
        max_epochs=-1,
        devices=devices or "auto",
        # objectives that train one part after the other leave the rest without a gradient
        strategy="ddp_find_unused_parameters_true" if several else "auto",
        gradient_clip_val=module.settings.gradient_norm,
        callbacks=[checkpoints, LearningCurve(run / "learning_curve.tsv")],
        logger=loggers(run),
        val_check_interval=module.settings.validation_every,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        log_every_n_steps=25,
    )
    last = run / "last.ckpt"
    trainer.fit(module, ckpt_path=last if last.exists() else None, weights_only=True)
    trainer.save_checkpoint(last, weights_only=False)
    return last


def loggers(run: Path) -> list[Logger]:
    """Where the figures of a run go."""
    found: list[Logger] = [CSVLogger(run, name="log")]
    if find_spec("tensorboard"):  # a bare training machine may lack it
        found.append(TensorBoardLogger(run, name="tensorboard"))
    return found
