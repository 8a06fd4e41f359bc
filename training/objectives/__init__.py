"""What networks are trained for, one file each, registered by name."""

from collections.abc import Callable
from typing import Any

from training.objectives.autophasenn import MeanAbsoluteError
from training.objectives.cdinn import ShapePhaseFourier
from training.objectives.correlation import Correlation
from training.objectives.likeness import Likeness
from training.objectives.modulus import ModulusError
from training.objectives.objective import Objective
from training.objectives.outline import Outline
from training.objectives.ptychonn import LitPatches
from training.objectives.ptychopinn import Diffraction
from training.objectives.wu2d import RealAndReciprocal

OBJECTIVES: dict[str, Callable[..., Objective[Any]]] = {
    "modulus": ModulusError,
    "autophasenn": MeanAbsoluteError,
    "correlation": Correlation,
    "likeness": Likeness,
    "cdinn": ShapePhaseFourier,
    "wu2d": RealAndReciprocal,
    "outline": Outline,
    "ptychopinn": Diffraction,
    "ptychonn": LitPatches,
}


def build(name: str, **options: object) -> Objective[Any]:
    """The objective of this name with these options; KeyError names the known ones."""
    if name not in OBJECTIVES:
        raise KeyError(f"unknown objective {name!r}; known: {', '.join(sorted(OBJECTIVES))}")
    return OBJECTIVES[name](**options)
