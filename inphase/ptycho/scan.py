"""What stays on the device while a reconstruction lasts: the measured moduli, and how frames make batches."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inphase.errors import CancelledError
from inphase.pattern import MaskState
from inphase.ptycho.measurement import Measurement
from inphase.ptycho.operator import ExitWaves, Waves
from inphase.ptycho.positions import spread_order
from inphase.ptycho.propagation import propagation

Cancelled = Callable[[], bool]

WORSE = 1.5  # times the median frame's misfit; and
SPREADS = 5.0  # standard deviations of the bulk above it: a frame beyond both fits far worse than the others


@dataclass(eq=False)
class State:
    """What a reconstruction changes. object: (Y, X) complex64; probe: (modes, y, x) complex64; positions: (n, 2)
    float64, the windows' corners on the object.
    """

    object: Tensor
    probe: Tensor
    positions: Tensor


@dataclass(frozen=True, eq=False)
class Scan:
    """modulus: (n, y, x) float32, square root of the counts in the order of the field's pixels, -1 where unknown.

    fitted: the frames that solvers see, in an order in which neighbours lie near each other; held_out: the others.
    batch: frames that are computed together. cancelled: asked before every batch.
    """

    modulus: Tensor
    waves: ExitWaves
    fitted: NDArray[np.intp]
    held_out: NDArray[np.intp]
    batch: int
    cancelled: Cancelled

    @classmethod
    def of(
        cls,
        measured: Measurement,
        held_out: NDArray[np.intp],
        batch: int,
        device: torch.device,
        cancelled: Cancelled,
    ) -> Self:
        """The measurement on a device."""
        onwards = propagation(measured.optics, measured.shape, device)
        known = measured.mask == MaskState.VALID
        modulus = np.where(known, np.sqrt(measured.counts(), dtype=np.float32), np.float32(-1))
        order = spread_order(measured.positions_px, min(measured.shape) / 4)
        return cls(
            torch.from_numpy(onwards.arranged(modulus)).to(device),
            ExitWaves(onwards, measured.shape),
            order[~np.isin(order, held_out)],
            held_out,
            batch,
            cancelled,
        )

    @property
    def photons(self) -> float:
        """Mean counts of a fitted frame."""
        seen = self.modulus[torch.from_numpy(self.fitted).to(self.modulus.device)]
        return float(seen.clamp(min=0).square().sum(dtype=torch.float64)) / len(self.fitted)

    def batches(self, generator: np.random.Generator) -> Iterator[Tensor]:
        """Every fitted frame once, in batches whose windows overlap as little as they can, in random order."""
        count = -(-len(self.fitted) // self.batch)
        rolled = np.roll(self.fitted, int(generator.integers(len(self.fitted))))
        for start in generator.permutation(count):
            yield self._frames(rolled[start::count])

    def blocks(self, frames: NDArray[np.intp]) -> Iterator[Tensor]:
        """Some frames in their order, a batch at a time."""
        for start in range(0, len(frames), self.batch):
            yield self._frames(frames[start : start + self.batch])

    def _frames(self, frames: NDArray[np.intp]) -> Tensor:
        if self.cancelled():
            raise CancelledError("the reconstruction was cancelled")
        return torch.from_numpy(frames.copy()).to(self.modulus.device)

    def forward(self, state: State, frames: Tensor) -> Waves:
        """Frames by the model as it stands."""
        return self.waves.forward(state.object, state.probe, state.positions[frames])


@dataclass(frozen=True)
class Misfit:
    """Sums over known pixels: residual of |sqrt I - m|, measured of m. R = residual / measured."""

    residual: float = 0.0
    measured: float = 0.0

    @classmethod
    def of(cls, intensity: Tensor, modulus: Tensor) -> Self:
        """Of a batch."""
        residual = residuals(intensity, modulus)
        return cls(float(residual.sum(dtype=torch.float64)), float(modulus.clamp(min=0).sum(dtype=torch.float64)))

    def __add__(self, other: "Misfit") -> "Misfit":
        return Misfit(self.residual + other.residual, self.measured + other.measured)

    @property
    def r_factor(self) -> float:
        """sum |sqrt I - m| / sum m; NaN of nothing."""
        return self.residual / self.measured if self.measured > 0 else float("nan")


def residuals(intensity: Tensor, modulus: Tensor) -> Tensor:
    """|sqrt I - m| of every pixel (B, y, x), 0 where it is unknown."""
    return torch.where(modulus >= 0, (torch.sqrt(intensity) - modulus).abs(), 0.0)


def r_factors(intensity: Tensor, modulus: Tensor) -> Tensor:
    """(B,) float64: sum |sqrt I - m| / sum m of each frame (B, y, x); NaN of one without counts."""
    measured = modulus.clamp(min=0).sum((1, 2), dtype=torch.float64)
    return residuals(intensity, modulus).sum((1, 2), dtype=torch.float64) / measured


def outliers(values: NDArray[np.float64]) -> NDArray[np.intp]:
    """Which of the misfits of frames (n,) are far larger than the others."""
    median = float(np.median(values))
    spread = 1.4826 * float(np.median(np.abs(values - median)))
    return np.flatnonzero(values > max(WORSE * median, median + SPREADS * spread))
