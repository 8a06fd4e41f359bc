"""Batches of groups of overlapping patterns, for networks of scans."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from training.simulate.raster import Raster, RasterSettings, scan


@dataclass(frozen=True)
class Groups:
    """B groups of C patterns of one probe.

    counts: (B, C, N, N) float32, the DC pixel at N // 2. known: (B, C, N, N) bool, where they were measured; elsewhere
    they are 0. patches: (B, C, N, N) complex64, what the object is in the windows, which only supervised objectives
    look at; None where nobody knows. offsets: (B, C, 2) float32, r_k - mu in pixels. probe: (N, N) complex64. scale:
    square root of photons of a unit amplitude. alone: whether networks are shown each pattern of a group by itself.
    """

    counts: Tensor
    known: Tensor
    patches: Tensor | None
    offsets: Tensor
    probe: Tensor
    scale: float
    alone: bool = False

    def features(self, names: Collection[str]) -> dict[str, Tensor]:
        """What networks of scans take: `patterns` (B, C, N, N), sqrt(counts) / scale; alone, (B C, 1, N, N)."""
        shown = self.measured_amplitudes
        return dict.fromkeys(names, shown.flatten(0, 1)[:, None] if self.alone else shown)

    @property
    def window(self) -> tuple[int, int]:
        """N, N."""
        rows, columns = self.counts.shape[-2:]
        return rows, columns

    @property
    def measured_amplitudes(self) -> Tensor:
        """sqrt(counts) / scale, (B, C, N, N)."""
        return self.counts.sqrt() / self.scale


@lru_cache(maxsize=3)
def scans(settings: RasterSettings, window: int, seed: int, held_out: int | None = None) -> Raster:
    """The training scans of a seed; with `held_out` one of an object of that seed, lit by the same beam."""
    if held_out is None:
        return scan(settings, window, seed)
    return scan(settings, window, held_out, scans(settings, window, seed).scale, count=1)


def groups(of: Raster, seed: int, number: int, batch: int, device: torch.device) -> Groups:
    """Batch `number` of groups in a random order, each once before any comes again."""
    per_epoch = len(of.groups) // batch
    if not per_epoch:
        raise ValueError(f"the scans have {len(of.groups)} groups, a batch takes {batch}")
    epoch, place = divmod(number, per_epoch)
    order = np.random.default_rng((seed, epoch)).permutation(len(of.groups))
    return chosen(of, order[place * batch : (place + 1) * batch], device)


def chosen(of: Raster, numbers: np.ndarray, device: torch.device) -> Groups:
    """These groups of the scans."""
    members = of.groups[numbers]
    flat = members.reshape(-1)
    return Groups(
        torch.from_numpy(of.counts[members]).to(device),
        torch.ones((), dtype=torch.bool, device=device).expand(*members.shape, *of.probe.shape),
        torch.from_numpy(of.patches(flat).reshape(*members.shape, *of.probe.shape)).to(device),
        torch.from_numpy(of.offsets.astype(np.float32)).expand(len(members), -1, -1).to(device),
        torch.from_numpy(of.probe).to(device),
        of.scale,
    )
