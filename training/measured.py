"""A measured scan to learn from: its patterns in groups of neighbours, and a part of them that is never learned from.

Positions of a measurement lie anywhere, so that no network knows how those of a group lie to each other. It is shown
each pattern alone, and the constraint map makes one object of what it draws of the neighbours (`training.overlap`).
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from inphase import ptycho
from inphase.errors import DataError
from inphase.pattern import MaskState
from inphase.ptycho.optics import NearField
from training.groups import Groups
from training.simulate.raster import far_field

NEAREST = 6  # frames around each, of which some make a group with it, as in the paper
MIDDLE = 0.7  # root mean square amplitude of an object where a network draws at most 1


@dataclass(frozen=True)
class MeasuredSettings:
    """Which scan is learned from.

    scan: its file, as `inphase.ptycho.read` takes it; empty in a configuration for any. reconstruction: an npz of
    `inphase.ptycho.write`, whose probe and positions replace those of the scan; None where these are good. held_out,
    seed: share of the frames that nothing is learned from, those that `inphase.ptycho.Options(hold_out=..., seed=...)`
    hides. neighbours: patterns of a group.
    """

    scan: str = ""
    reconstruction: str | None = None
    held_out: float = 0.5
    seed: int = 0
    neighbours: int = 4

    def __post_init__(self) -> None:
        if not 0 < self.held_out <= 0.5:
            raise ValueError(f"the share of frames held out lies above 0 and up to 0.5, not at {self.held_out}")
        if not 1 <= self.neighbours <= NEAREST + 1:
            raise ValueError(f"a group has 1 to {NEAREST + 1} patterns, not {self.neighbours}")


@dataclass(frozen=True, eq=False)
class MeasuredScan:
    """measured: all frames, with the probe and the positions that are learned with. fitted, held_out: their numbers."""

    measured: ptycho.Measurement
    fitted: NDArray[np.intp]
    held_out: NDArray[np.intp]

    @classmethod
    def read(cls, settings: MeasuredSettings, window: int) -> Self:
        """The scan for patterns of (window, window). Raises DataError where it cannot be read or learned from."""
        if not settings.scan:
            raise DataError("the configuration names no scan to learn from: --set measured.scan=FILE")
        measured = ptycho.read(settings.scan)
        options = ptycho.Options(hold_out=settings.held_out, seed=settings.seed)
        held_out = options.held_out(len(measured), np.random.default_rng(settings.seed))
        fitted = np.setdiff1d(np.arange(len(measured)), held_out)
        if settings.reconstruction is not None:
            measured = lit_by(measured, Path(settings.reconstruction), len(held_out), settings.seed)
        if wrong := _unfit(measured, window) or _too_few(settings, len(fitted), len(held_out)):
            raise DataError(f"{settings.scan}: {wrong}")
        return cls(measured, fitted, held_out)

    @property
    def probe(self) -> NDArray[np.complex64]:
        """(N, N), its strongest pixel 1."""
        assert self.measured.probe is not None
        beam: NDArray[np.complex64] = self.measured.probe[0] / np.abs(self.measured.probe[0]).max()
        return beam

    @property
    def photons(self) -> float:
        """Mean counts of a pattern that is learned from."""
        return float(self.measured.counts(self.fitted).sum(dtype=np.float64)) / len(self.fitted)

    @property
    def scale(self) -> float:
        """Square root of photons of a unit amplitude: an object of amplitude `MIDDLE` gives the mean counts, in those
        pixels of the detector that were measured.
        """
        known = (self.measured.mask[self.fitted] == MaskState.VALID).mean(axis=0)
        light = float((known * far_field(self.probe[None])[0]).sum())
        return float(np.sqrt(self.photons / light) / MIDDLE)

    def groups(self, held_out: bool, neighbours: int, epoch_seed: tuple[int, int]) -> NDArray[np.intp]:
        """(n, C): each frame with some of those nearest to it, all learned from or all held out, in a random order."""
        frames = self.held_out if held_out else self.fitted
        generator = np.random.default_rng(epoch_seed)
        where = self.measured.positions_px[frames]
        _, around = cKDTree(where).query(where, min(NEAREST + 1, len(frames)))
        others = generator.permuted(np.reshape(around, (len(frames), -1))[:, 1:], axis=1)[:, : neighbours - 1]
        groups: NDArray[np.intp] = frames[np.column_stack([np.arange(len(frames)), others])]
        return generator.permutation(groups)

    def chosen(self, groups: NDArray[np.intp], device: torch.device) -> Groups:
        """These groups of frames (B, C)."""
        where = self.measured.positions_px[groups]
        offsets = where - where.mean(axis=1, keepdims=True)
        return Groups(
            torch.from_numpy(self.measured.counts(groups).astype(np.float32)).to(device),
            torch.from_numpy(self.measured.mask[groups] == MaskState.VALID).to(device),
            None,
            torch.from_numpy(offsets.astype(np.float32)).to(device),
            torch.from_numpy(self.probe).to(device),
            self.scale,
            alone=True,
        )


@lru_cache(maxsize=1)
def measured_scan(settings: MeasuredSettings, window: int) -> MeasuredScan:
    """The scan of these settings, read once."""
    return MeasuredScan.read(settings, window)


def measured_groups(
    of: MeasuredScan, neighbours: int, seed: int, held_out: bool, number: int, batch: int, device: torch.device
) -> Groups:
    """Batch `number`: every frame is the first of one group before any is again."""
    per_epoch = len(of.held_out if held_out else of.fitted) // batch
    if not per_epoch:
        raise ValueError(f"the scan has {len(of.fitted)} frames to learn from, a batch takes {batch}")
    epoch, place = divmod(number, per_epoch)
    groups = of.groups(held_out, neighbours, (seed, epoch))
    return of.chosen(groups[place * batch : (place + 1) * batch], device)


def lit_by(measured: ptycho.Measurement, path: Path, frames_held_out: int, seed: int) -> ptycho.Measurement:
    """The measurement in the beam of a reconstruction of it, which hid what is to be held out.

    Raises DataError where the file is none, is of other frames, or has learned from others.
    """
    found = ptycho.read_reconstruction(path)
    report = found.report
    if (report.frames_held_out, report.seed) != (frames_held_out, seed):
        raise DataError(
            f"{path}: its probe has seen frames that are to be held out: {report.frames_held_out} were hidden from it "
            f"by the seed {report.seed}, and {frames_held_out} by the seed {seed} shall be: reconstruct with this "
            "share (`--hold-out`) and seed"
        )
    return measured.in_beam_of(found)


def _unfit(measured: ptycho.Measurement, window: int) -> str | None:
    if measured.shape != (window, window):
        return f"patterns have {measured.shape} pixels, and the configuration says {(window, window)}"
    if isinstance(measured.optics, NearField):
        return "the scan is in the near field, and networks learn from the far field"
    if measured.probe is None:
        return "no probe is known: reconstruct the scan, and name the result as `measured.reconstruction`"
    if len(measured.probe) > 1:
        return f"the probe has {len(measured.probe)} modes, and networks learn with one: reconstruct with one mode"
    return None


def _too_few(settings: MeasuredSettings, fitted: int, held_out: int) -> str | None:
    if min(fitted, held_out) >= settings.neighbours:
        return None
    return f"{fitted} frames to learn from and {held_out} held out make no groups of {settings.neighbours}"
