"""What a training run is: one YAML file, read into data classes."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

import yaml

from training.measured import MeasuredSettings
from training.simulate.crystals import CrystalSettings
from training.simulate.detector import DetectorSettings
from training.simulate.domains import DomainSettings
from training.simulate.frames import FrameSettings
from training.simulate.particles import ParticleSettings
from training.simulate.raster import RasterSettings

T = TypeVar("T")
PRECISIONS = ("bfloat16", "single")
OPTIMIZERS = ("adam", "sgd", "muon")
GROUPS: dict[str, type[Any]] = {
    "crystals": CrystalSettings,
    "detector": DetectorSettings,
    "particles": ParticleSettings,
    "frames": FrameSettings,
}
# to what GROUPS name
ALTERNATIVES: dict[str, type[Any]] = {
    "domains": DomainSettings,
    "raster": RasterSettings,
    "measured": MeasuredSettings,
}


class _Loader(yaml.SafeLoader):
    """PyYAML's, which reads 1e9 and 1.0e9 as numbers too, as YAML 1.2 has it."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


@dataclass(frozen=True)
class FitSettings:
    """A training run, in the units and conventions of docs/architecture.md.

    A frame of three axes is a rocking curve of `crystals` seen by the `detector`, one of two axes a detector frame of
    `particles`, or of crystals of `domains` where there are any, seen as `frames` says; with a `raster` it is a pattern
    of ptychographic scans, and with a `measured` one of a scan that was measured; what budgets, batches and validations
    count as crystals are then groups of patterns.
    """

    architecture: str = "inphase-bcdi"
    network: dict[str, Any] = field(default_factory=dict)  # options of the architecture
    frame: tuple[int, ...] = (64, 64, 64)
    box: tuple[int, ...] = (32, 32, 32)  # where the object is predicted
    batch: int = 8
    objective: str = "modulus"
    objective_options: dict[str, Any] = field(default_factory=dict)
    # of the elapsed budget; "plateau": halved where the validation loss no longer falls; "steps": by the crystals seen
    schedule: str = "cosine"
    learning_rate: float = 1.5e-3
    plateau_patience: int = 2  # validations
    step_crystals: int = 1_425_000  # of the schedule "steps": after so many the rate is multiplied by step_factor
    step_factor: float = 0.95
    optimizer: str = "adam"  # or "sgd", or "muon"
    betas: tuple[float, float] = (0.9, 0.98)  # of Adam, and of what Muon leaves to it; the first is the momentum of SGD
    weight_decay: float = 1e-4  # decoupled; 0 makes AdamW plain Adam
    warmup_steps: int = 40
    gradient_norm: float = 1.0
    # exponential average of the weights, which is what gets evaluated and exported; 0: the weights themselves
    average_decay: float = 0.998
    precision: str = "bfloat16"  # of the network's products, where the hardware multiplies in it; or "single"
    budget: int | None = None  # crystals to learn from, where the command names no time
    seed: int = 1
    validation_crystals: int = 64
    validation_every: int = 250  # steps
    crystals: CrystalSettings = field(default_factory=CrystalSettings)
    detector: DetectorSettings = field(default_factory=DetectorSettings)
    particles: ParticleSettings = field(default_factory=ParticleSettings)
    frames: FrameSettings = field(default_factory=FrameSettings)
    domains: DomainSettings | None = None
    raster: RasterSettings | None = None
    measured: MeasuredSettings | None = None

    def __post_init__(self) -> None:
        if len(self.frame) != len(self.box) or len(self.frame) not in (2, 3):
            raise ValueError(f"frame {self.frame} and box {self.box} have the same number of axes, two or three")
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(f"unknown optimizer {self.optimizer!r}; known: {', '.join(OPTIMIZERS)}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"unknown precision {self.precision!r}; known: {', '.join(PRECISIONS)}")
        if self.family == "scan" and (len(self.frame) != 2 or self.frame[0] != self.frame[1]):
            raise ValueError(f"the patterns of a scan are squares, not {self.frame}")
        if self.domains and (len(self.frame) != 2 or self.box[0] != self.box[1]):
            raise ValueError(f"crystals of domains have two axes and a square box, not {self.frame} and {self.box}")
        if sum(getattr(self, name) is not None for name in ALTERNATIVES) > 1:
            raise ValueError("a run learns from one of: crystals of domains, a raster, a measured scan")

    @property
    def family(self) -> str:
        """Of the network's card."""
        if self.raster or self.measured:
            return "scan"
        return "volume" if len(self.frame) == 3 else "image"

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for checkpoints and cards."""
        return asdict(self)


def _filled(kind: type[T], values: Mapping[str, Any], where: str) -> T:
    known = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    if unknown := sorted(set(values) - known):
        raise ValueError(f"unknown setting {unknown[0]!r} in {where}; known: {', '.join(sorted(known))}")
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


def from_dict(values: Mapping[str, Any]) -> FitSettings:
    """Settings from plain values; unknown names raise ValueError."""
    flat = dict(values)
    for name, kind in GROUPS.items():
        flat[name] = _filled(kind, flat.get(name, {}), name)
    for name, kind in ALTERNATIVES.items():
        if flat.get(name) is not None:
            flat[name] = _filled(kind, flat[name], name)
    return _filled(FitSettings, flat, "the configuration")


def read(path: Path, changes: Iterable[str] = ()) -> FitSettings:
    """Settings from a YAML file. changes: `batch=64`, `crystals.strain_free=0`, as on the command line;
    ValueError on others.
    """
    values = yaml.load(path.read_text(), _Loader) or {}
    for change in changes:
        name, equals, text = change.partition("=")
        if not equals:
            raise ValueError(f"a change reads NAME=VALUE, got {change!r}")
        *groups, last = name.split(".")
        inner = values
        for group in groups:
            inner = inner.setdefault(group, {})
            if not isinstance(inner, dict):
                raise ValueError(f"{group!r} of {change!r} holds no settings")
        inner[last] = yaml.load(text, _Loader)
    return from_dict(values)
