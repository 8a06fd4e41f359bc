"""Learning rates: how they follow the budget, or the validation loss."""

import math
from typing import Any, Protocol

from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from training.settings import FitSettings


class Schedule(Protocol):
    """Sets the learning rate of an optimizer. Its state travels in the checkpoint."""

    def before_step(self, step: int, seen: int, progress: float) -> None:
        """seen: crystals so far. progress: share of the budget that is spent."""

    def validated(self, loss: float) -> None:
        """Called after every validation."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class Cosine:
    """Half a cosine of the elapsed budget, after a warm-up counted in steps."""

    def __init__(self, optimizer: Optimizer, settings: FitSettings) -> None:
        self._optimizer, self._settings = optimizer, settings

    def before_step(self, step: int, seen: int, progress: float) -> None:
        warmup = min((step + 1) / self._settings.warmup_steps, 1.0)
        rate = self._settings.learning_rate * warmup * max(0.5 * (1 + math.cos(math.pi * progress)), 1e-3)
        for group in self._optimizer.param_groups:
            group["lr"] = rate

    def validated(self, loss: float) -> None:
        pass

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


class Plateau:
    """Halved where the validation loss has not fallen for `plateau_patience` validations (AutoPhaseNN 2022,
    Methods).
    """

    def __init__(self, optimizer: Optimizer, settings: FitSettings) -> None:
        self._scheduler = ReduceLROnPlateau(optimizer, factor=0.5, patience=settings.plateau_patience)

    def before_step(self, step: int, seen: int, progress: float) -> None:
        pass

    def validated(self, loss: float) -> None:
        self._scheduler.step(loss)

    def state_dict(self) -> dict[str, Any]:
        return dict(self._scheduler.state_dict())

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._scheduler.load_state_dict(state)


class Steps:
    """Multiplied by `step_factor` after every `step_crystals` crystals (Wu et al. 2021, appendix A)."""

    def __init__(self, optimizer: Optimizer, settings: FitSettings) -> None:
        self._optimizer, self._settings = optimizer, settings

    def before_step(self, step: int, seen: int, progress: float) -> None:
        s = self._settings
        for group in self._optimizer.param_groups:
            group["lr"] = s.learning_rate * s.step_factor ** (seen // s.step_crystals)

    def validated(self, loss: float) -> None:
        pass

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


SCHEDULES: dict[str, type[Cosine] | type[Plateau] | type[Steps]] = {
    "cosine": Cosine,
    "plateau": Plateau,
    "steps": Steps,
}
