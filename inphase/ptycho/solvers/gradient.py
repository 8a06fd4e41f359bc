"""Maximum likelihood by gradients: Adam on batches of frames, L-BFGS on all of them.

Thibault & Guizar-Sicairos, New J. Phys. 14, 063004 (2012).
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from inphase.ptycho.likelihood import Likelihood
from inphase.ptycho.scan import Misfit, Scan, State


@dataclass(eq=False)
class _Descent:
    """Object and probe in units in which both are of order 1: the probe in units of its largest value, the likelihood
    in units of the counts that a pixel of the object meets.
    """

    scan: Scan
    state: State
    likelihood: Likelihood

    def __post_init__(self) -> None:
        probe = self.state.probe
        self._unit = float(probe.abs().max())
        self._object = self.state.object.detach().clone()
        self._probe = probe.detach().clone() / self._unit
        self._object.grad, self._probe.grad = torch.zeros_like(self._object), torch.zeros_like(self._probe)

    def _publish(self) -> None:
        self.state.object, self.state.probe = self._object.clone(), self._probe * self._unit

    def _accumulate(self, frames: Tensor, probe_too: bool) -> tuple[Tensor, Misfit]:
        """Adds the gradients of a batch; its value."""
        operator = self.scan.waves
        assert self._object.grad is not None
        assert self._probe.grad is not None
        waves = operator.forward(self._object, self._probe * self._unit, self.state.positions[frames])
        modulus, intensity = self.scan.modulus[frames], waves.intensity
        value, factor = self.likelihood(intensity, modulus)
        change = operator.exit(waves, waves.field * factor[:, None])
        operator.to_object(waves, change, self._object.grad)
        if probe_too:
            self._probe.grad += operator.to_probe(waves, change) * self._unit
        return value.sum(), Misfit.of(intensity, modulus)

    def _clear(self) -> None:
        for parameter in (self._object, self._probe):
            assert parameter.grad is not None
            parameter.grad.zero_()


@dataclass(eq=False)
class Adam(_Descent):
    """A step after every batch. rate: of the object, whose amplitude is of order 1."""

    rate: float = 0.02

    def __post_init__(self) -> None:
        super().__post_init__()
        self._optimiser: torch.optim.Adam | None = None

    def advance(self, probe_too: bool, generator: np.random.Generator) -> Misfit:
        """One look at every fitted frame."""
        total = Misfit()
        for frames in self.scan.batches(generator):
            _, found = self._accumulate(frames, probe_too)
            self._step()
            total += found
        self._publish()
        return total

    def _step(self) -> None:
        if self._optimiser is None:
            # without a floor of the size of the gradients, pixels that no frame has lit would move as far as others
            groups = [
                {"params": [parameter], "eps": 0.1 * float(_rms(parameter.grad)) + 1e-12}
                for parameter in (self._object, self._probe)
                if parameter.grad is not None
            ]
            self._optimiser = torch.optim.Adam(groups, lr=self.rate)
        self._optimiser.step()
        self._clear()


@dataclass(eq=False)
class LBFGS(_Descent):
    """One iteration looks at every frame about once: limited-memory BFGS with a line search.

    The object's pixels are measured in units in which each is lit alike, which is what lets it converge.
    """

    memory: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        lit = torch.zeros_like(self._object.real)
        for frames in self.scan.blocks(self.scan.fitted):
            waves = self.scan.waves.windows(self._object, self.state.probe, self.state.positions[frames])
            self.scan.waves.illumination(waves, lit)
        self._weight = (lit / lit.max() + 1e-2).sqrt()
        self._scale = 1 / float(lit.max())
        self._variables = [self._object * self._weight, self._probe.clone()]
        self._optimiser = torch.optim.LBFGS(
            self._variables, lr=1.0, max_iter=1, max_eval=4, history_size=self.memory, line_search_fn="strong_wolfe"
        )

    def advance(self, probe_too: bool, generator: np.random.Generator) -> Misfit:
        """A step along the direction of the history."""
        found = Misfit()
        first = True

        def closure() -> float:
            nonlocal found, first
            self._object.copy_(self._variables[0] / self._weight)
            self._probe.copy_(self._variables[1])
            self._clear()
            value, misfit = 0.0, Misfit()
            for frames in self.scan.blocks(self.scan.fitted):
                part, met = self._accumulate(frames, probe_too)
                value += float(part)
                misfit += met
            assert self._object.grad is not None
            assert self._probe.grad is not None
            self._variables[0].grad = self._object.grad / self._weight * self._scale
            self._variables[1].grad = self._probe.grad * self._scale
            if first:
                found, first = misfit, False
            return value * self._scale

        self._optimiser.step(closure)
        self._object.copy_(self._variables[0] / self._weight)
        self._probe.copy_(self._variables[1])
        self._publish()
        return found


def _rms(gradient: Tensor) -> Tensor:
    """Root mean square of what is not zero."""
    power = gradient.real.square() + gradient.imag.square()
    return torch.sqrt(power.sum() / (power > 0).sum().clamp(min=1))
