"""Difference map and relaxed averaged alternating reflections on all exit waves at once.

With P_O the overlap projection (exit waves that one object and one probe make) and P_M the modulus projection:
psi <- beta (psi + P_M(2 P_O psi - psi) - P_O psi) + (1 - beta) P_O psi. beta = 1 is the difference map of Thibault et
al., Ultramicroscopy 109, 338 (2009); below it Luke's relaxation, Inverse Problems 21, 37 (2005).
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from inphase.ptycho.likelihood import amplitude
from inphase.ptycho.operator import Waves
from inphase.ptycho.scan import Misfit, Scan, State

FLOOR = 1e-3  # of the largest illumination: below it a pixel of the object stays nearly as it is


@dataclass(eq=False)
class RAAR:
    """Keeps the exit waves of all fitted frames: n modes y x complex64."""

    scan: Scan
    state: State
    beta: float = 0.75

    def __post_init__(self) -> None:
        self._exits: dict[int, Tensor] = {}

    def advance(self, probe_too: bool, generator: np.random.Generator) -> Misfit:
        """One iteration: reflect, project and average every exit wave, then find object and probe anew."""
        total = Misfit()
        for number, frames in enumerate(self.scan.blocks(self.scan.fitted)):
            total += self._reflect(number, frames)
        self._overlap(probe_too)
        return total

    def _reflect(self, number: int, frames: Tensor) -> Misfit:
        waves = self.scan.forward(self.state, frames)
        modulus = self.scan.modulus[frames]
        made = waves.probes * waves.patches  # P_O psi
        before = self._exits.get(number, made)
        reflected = 2 * made - before
        self._exits[number] = (
            self.beta * (before - made + self._project(waves, reflected, modulus)) + (1 - self.beta) * made
        )
        return Misfit.of(waves.intensity, modulus)

    def _project(self, waves: Waves, exits: Tensor, modulus: Tensor) -> Tensor:
        """P_M: the exit waves whose field has the measured modulus where it is known."""
        propagation = self.scan.waves.propagation
        field = propagation.forward(exits, waves.fractions)
        _, factor = amplitude((field.real.square() + field.imag.square()).sum(1), modulus)
        return propagation.adjoint(field * (1 - 0.5 * factor)[:, None], waves.fractions)

    def _overlap(self, probe_too: bool) -> None:
        """Least squares for the object with the probe as it was, then for the probe with the new object."""
        operator, state = self.scan.waves, self.state
        given, lit = torch.zeros_like(state.object), torch.zeros_like(state.object.real)
        for number, frames in enumerate(self.scan.blocks(self.scan.fitted)):
            waves = self._windows(frames)
            operator.to_object(waves, self._exits[number], given)
            operator.illumination(waves, lit)
        floor = FLOOR * lit.max()
        state.object = (given + floor * state.object) / (lit + floor)
        if not probe_too:
            return
        probe, covered = torch.zeros_like(state.probe), torch.zeros_like(state.probe[0].real)
        for number, frames in enumerate(self.scan.blocks(self.scan.fitted)):
            waves = self._windows(frames)
            probe += operator.to_probe(waves, self._exits[number])
            covered += operator.coverage(waves)
        floor = FLOOR * covered.max()
        state.probe = (probe + floor * state.probe) / (covered + floor)

    def _windows(self, frames: Tensor) -> Waves:
        """Patches and probes of frames, without their fields."""
        return self.scan.waves.windows(self.state.object, self.state.probe, self.state.positions[frames])
