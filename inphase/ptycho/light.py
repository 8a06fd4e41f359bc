"""How much of the beam falls on parts of the object that are known, wherever it is put."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from inphase.ptycho.scan import Scan, State

LIT = 0.05  # of the strongest illumination: what has less is not known


@dataclass(frozen=True, eq=False)
class Light:
    """shares: (Y - y + 1, X - x + 1) float32, by the corner of a window: the share of the probe's photons that falls on
    pixels which the fitted frames of a scan have lit, 0 to 1.
    """

    shares: Tensor

    @classmethod
    def of(cls, scan: Scan, state: State) -> Self:
        """Of the fitted frames, at their positions. A correlation of what is lit with the probe, by FFT."""
        lit = torch.zeros_like(state.object.real)
        for frames in scan.blocks(scan.fitted):
            waves = scan.waves.windows(state.object, state.probe, state.positions[frames])
            scan.waves.illumination(waves, lit)
        known = (lit > LIT * lit.max()).to(lit.dtype)
        power = (state.probe.real.square() + state.probe.imag.square()).sum(0)
        power = power / power.sum()
        spectrum = torch.fft.rfft2(known) * torch.fft.rfft2(power, s=known.shape).conj()
        rows, columns = (whole - window + 1 for whole, window in zip(known.shape, power.shape, strict=True))
        return cls(torch.fft.irfft2(spectrum, s=known.shape)[:rows, :columns].clamp(0, 1))

    def share(self, positions: Tensor) -> Tensor:
        """(...) of windows on the object, positions (..., 2)."""
        corners = positions.round().long()
        return self.shares[corners[..., 0], corners[..., 1]]
