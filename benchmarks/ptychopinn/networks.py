"""Networks of scans as the pages about them ask them, and the scans that they are asked about."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks import ROOT
from benchmarks.ptycho import r_factor
from inphase import ptycho
from inphase.models.card import ScanCard
from inphase.models.families import scan as family
from inphase.models.repository import ModelVersion, Repository
from inphase.models.session import Session
from inphase.ptycho.stitching import stitched
from training.data import HELD_OUT_SEED
from training.module import PhaseRetrieval
from training.networks.network import multiplies_in_bfloat16
from training.overlap import Overlap
from training.settings import FitSettings, from_dict
from training.simulate.raster import Raster, RasterSettings, scan

_KEPT = ROOT / "build/ptychopinn"
TEST_SEED = HELD_OUT_SEED + 1
TILE = 10  # pixels of the square that the paper keeps of each group
NETWORKS = ("ptychopinn", "ptychonn")
TEXTURES = {"lines": "Lines", "grf": "GRF", "large": "large features", "lines-flat": "Lines, flat probe"}
BATCH = 64


@dataclass(frozen=True)
class Exported:
    """A network of scans."""

    version: ModelVersion

    @cached_property
    def session(self) -> Session:
        return Session(self.version, threads=1)

    @property
    def card(self) -> ScanCard:
        assert isinstance(self.version.card, ScanCard)
        return self.version.card


@dataclass(frozen=True)
class Run:
    """A training that the weights have been through: so many groups, behind this probe."""

    groups: int
    probe: str


@dataclass(frozen=True)
class Trained(Exported):
    """A network and what it was trained on."""

    texture: str

    @property
    def settings(self) -> FitSettings:
        return from_dict(self.version.content["training"]["settings"])

    @property
    def raster(self) -> RasterSettings:
        assert self.settings.raster is not None
        return self.settings.raster

    @property
    def runs(self) -> list[Run]:
        """The first one first."""
        told = self.version.content["training"]
        return [
            Run(record["crystals_seen"], record["settings"]["raster"]["probe"])
            for record in (*told.get("earlier", ()), told)
        ]

    @property
    def minutes(self) -> float:
        """CPU minutes of one thread that its training takes here."""
        seconds = float(kept(f"step-{self.key}", partial(_step_seconds, self.settings)))
        return seconds * sum(run.groups for run in self.runs) / self.settings.batch / 60

    @property
    def key(self) -> str:
        """Of what is measured of it."""
        return f"{self.version.label}-{self.card.sha256[:8]}"

    @property
    def title(self) -> str:
        return "PtychoPINN" if self.settings.architecture == "ptychopinn" else "PtychoNN"

    def parts(self, of: Raster) -> NDArray[np.complex64]:
        """Of all groups, (g, C, m, m)."""
        blocks = np.array_split(of.groups, -(-len(of.groups) // BATCH))
        answers = (
            self.session.infer(family.features(self.card, of.counts[some], np.ones(of.counts[some].shape, bool)))
            for some in blocks
        )
        return np.concatenate([family.decode(self.card, answer) for answer in answers])

    def raster_of(self, other: "Trained", stride: int) -> RasterSettings:
        """Groups as this network takes them, `stride` pixels apart, on an object of the other one's kind."""
        step = self.raster.step if self.raster.neighbours > 1 else stride
        shaped = replace(self.raster, texture=other.raster.texture, phase=other.raster.phase)
        return replace(shaped, objects=1, stride=stride, step=step)


def tiled(network: Trained, of: Raster) -> tuple[NDArray[np.complex128], NDArray[np.complex64]]:
    """The paper's image, squares of 10 x 10 pixels side by side, and the truth there.

    Of a network of groups each is the middle of the group's merged object, of one of single patterns that of the part.
    """
    parts = torch.from_numpy(network.parts(of))
    side, box = len(of.probe), parts.shape[-1]
    offsets = torch.from_numpy(of.offsets.astype(np.float32)).expand(len(parts), -1, -1)
    merged = Overlap(offsets, side, box).merged(parts).numpy()
    begin = side // 2 - TILE // 2
    squares = merged[:, begin : begin + TILE, begin : begin + TILE]
    corners = of.windows[of.groups][:, :, 1:].mean(axis=1) + begin
    origin = corners.min(axis=0)
    size = tuple(int(n) + TILE for n in corners.max(axis=0) - origin)
    image, _ = stitched(squares, corners - origin, (size[0], size[1]), np.ones((TILE, TILE)))
    row, column = origin.astype(int)
    return image, of.objects[0, row : row + size[0], column : column + size[1]]


def kept(name: str, made: Callable[[], Any]) -> Any:
    """What was measured under this name, or what is measured now."""
    path = _KEPT / f"{name}.json"
    if not path.exists():
        _KEPT.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(made()))
    return json.loads(path.read_text())


def corner(of: Raster, step: int) -> ptycho.Measurement:
    """The patterns of a corner of the object, 32 x 32 or as many as there are."""
    positions = of.windows[:, 1:].astype(np.float64)
    here = (positions < 32 * step).all(axis=1)
    return ptycho.from_arrays(of.counts[here], positions[here], probe=of.probe)


@dataclass(frozen=True)
class Stitched:
    """A network's image of a scan, as `ptycho.predict` makes it, and the truth on its pixels."""

    measured: ptycho.Measurement
    found: ptycho.Predicted
    truth: NDArray[np.complex64]

    @classmethod
    def of(cls, network: Trained, of: Raster) -> "Stitched":
        measured = corner(of, network.raster.step)
        found = ptycho.predict(measured, network.session)
        rows, columns = found.object.shape
        return cls(measured, found, of.objects[0, :rows, :columns])

    @property
    def texts(self) -> list[str]:
        """Correlation, errors, PSNR, FRC, R, for a table."""
        inner = np.zeros_like(self.found.covered)
        inner[24:-24, 24:-24] = self.found.covered[24:-24, 24:-24]  # pixels that the discs of several windows light
        score = ptycho.compared(self.found.object, self.truth, inner)
        corners = self.measured.positions_px - self.measured.positions_px.min(axis=0)
        assert self.measured.probe is not None
        r = r_factor(self.measured, self.found.object, self.measured.probe, corners)
        phase = [f"{score.phase_mae:.3f}", f"{score.phase_psnr:.1f}" if np.isfinite(score.phase_psnr) else "-"]
        return [
            f"{score.correlation:.4f}", f"{score.amplitude_mae:.4f}", f"{score.amplitude_psnr:.1f}", *phase,
            f"{score.frc_half:.2f}", f"{r:.3f}",
        ]  # fmt: skip


def trained(models: Path) -> dict[tuple[str, str], Trained]:
    """The networks that there are, by network and texture."""
    repository = Repository(models, "ptychopinn-lines")
    return {
        (network, texture): Trained(repository.resolve(f"{network}-{texture}"), texture)
        for texture in TEXTURES
        for network in NETWORKS
        if f"{network}-{texture}" in repository.names()
    }


def test_raster(network: Trained, other: Trained, stride: int) -> Raster:
    """A held-out object of the other one's texture in this network's beam, scanned as this network takes it."""
    settings = network.raster_of(other, stride)
    return scan(settings, network.card.grid[0], TEST_SEED, network.card.scale)


def _step_seconds(settings: FitSettings) -> float:
    """CPU seconds of a step of training: the median of twelve, after three."""
    assert settings.raster is not None
    module = PhaseRetrieval(replace(settings, raster=replace(settings.raster, objects=1)).as_dict(), budget_crystals=1)
    module.network.mixed = settings.precision == "bfloat16" and multiplies_in_bfloat16(module.device)
    optimizer = torch.optim.AdamW(module.network.parameters(), settings.learning_rate)
    spent = []
    for number in range(15):
        begin = time.process_time()
        loss, _ = module.pursue(module.network, module.draw(settings.seed, number))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        spent.append(time.process_time() - begin)
    return float(np.median(spent[3:]))


def in_turns(ways: dict[str, Callable[[], None]], times: int) -> dict[str, list[float]]:
    """CPU seconds of each way, A B C A B C; once before, which is not counted."""
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(times + 1):
        for name, way in ways.items():
            begin = time.process_time()
            way()
            if turn:
                spent[name].append(time.process_time() - begin)
    return spent
