"""The ptychographic iterative engine, for batches of frames.

ePIE: Maiden & Rodenburg, Ultramicroscopy 109, 1256 (2009). rPIE: Maiden, Johnson & Li, Optica 4, 736 (2017), eqs. 20
and 24. A batch adds up what its frames want and divides by what they all light: of one frame that is the article's
update, of frames that do not overlap it is the article's for each.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from inphase.ptycho.likelihood import amplitude
from inphase.ptycho.scan import Misfit, Scan, State

TINY = 1e-20


@dataclass(eq=False)
class PIE:
    """alpha: 1 is ePIE; below it weakly lit pixels take longer steps (rPIE). step: of the object and of the probe."""

    scan: Scan
    state: State
    alpha: float = 1.0
    step: float = 1.0

    def advance(self, probe_too: bool, generator: np.random.Generator) -> Misfit:
        """One look at every fitted frame."""
        total = Misfit()
        for frames in self.scan.batches(generator):
            total += self._batch(frames, probe_too)
        return total

    def _batch(self, frames: Tensor, probe_too: bool) -> Misfit:
        scan, state, operator = self.scan, self.state, self.scan.waves
        waves = scan.forward(state, frames)
        modulus, intensity = scan.modulus[frames], waves.intensity
        _, factor = amplitude(intensity, modulus)
        change = operator.exit(waves, waves.field * (-0.5 * factor)[:, None])
        wanted, lit = torch.zeros_like(state.object), torch.zeros_like(state.object.real)
        operator.to_object(waves, change, wanted)
        operator.illumination(waves, lit)
        if probe_too:
            state.probe += self._damped(operator.to_probe(waves, change), operator.coverage(waves))
        state.object += self._damped(wanted, lit)
        return Misfit.of(intensity, modulus)

    def _damped(self, wanted: Tensor, weight: Tensor) -> Tensor:
        """step * wanted / ((1 - alpha) weight + alpha max weight)."""
        largest = weight.max()
        return wanted * (self.step / ((1 - self.alpha) * weight + self.alpha * largest + TINY))
