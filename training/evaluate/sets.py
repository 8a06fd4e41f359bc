"""The held-out crystals that every network is judged on, drawn beyond all seeds of training and validation."""

from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from inphase.formats import RawScan
from training.data import HELD_OUT_SEED, sample, stream
from training.settings import FitSettings
from training.simulate.crystals import CrystalSettings
from training.simulate.detector import DetectorSettings, Measurement, measure
from training.transform import embed

TEST_SEED = HELD_OUT_SEED + 100  # validation draws from the seeds below
ATOMISTIC = Path(__file__).parents[1] / "data" / "atomistic-held-out.h5"
FRAME = (64, 64, 64)


@dataclass(frozen=True)
class CrystalSet:
    """A kind of simulated measurement. Crystal i has 10^d to 10^(d + 1) photons in all, with d from `decades` in turn.

    shard: of atomistic crystals; None: the fast simulator draws them. part: how many, in units of the first set's
    number.
    """

    name: str
    what: str
    seed: int
    decades: tuple[int, ...]
    part: float = 1.0
    crystals: CrystalSettings = field(default_factory=CrystalSettings)
    detector: DetectorSettings = field(default_factory=DetectorSettings)
    shard: Path | None = None

    @property
    def absent(self) -> str:
        """Why the set cannot be evaluated; empty if it can."""
        return f"{self.shard.name} is not in training/data" if self.shard and not self.shard.exists() else ""

    def size(self, crystals: int) -> int:
        """Crystals of this set where the first one has `crystals`: as many of each decade."""
        several = len(self.decades)
        wanted = max(1, round(crystals * self.part / several)) * several
        return wanted if self.shard is None else min(wanted, len(_objects(self.shard)))

    def decade(self, number: int) -> int:
        """Of crystal `number`."""
        return self.decades[number % len(self.decades)]


SETS = (
    CrystalSet("fast", "the training distribution, 1e5 to 1e9 photons", TEST_SEED, (5, 6, 7, 8)),
    CrystalSet(
        "strong strain", "phases of 1.5 to 3 rad rms, 1e6 to 1e9 photons", TEST_SEED + 10, (6, 7, 8), 0.12,
        CrystalSettings(phase_rms=(1.5, 3.0), strain_free=0.0),
    ),
    CrystalSet("low counts", "1e4 to 1e5 photons", TEST_SEED + 20, (4,), 0.12),
    CrystalSet(
        "gaps", "every pattern with a gap of 3 to 6 pixels, bad pixels and a short rocking curve",
        TEST_SEED + 30, (6, 7, 8), 0.12,
        detector=DetectorSettings(
            gap_share=1.0, gap_width=(3, 6), bad_pixel_share=1.0, bad_pixel_fraction=0.01, short_range_share=1.0
        ),
    ),
    CrystalSet(
        "atomistic", "crystals relaxed atom by atom, 1e6 to 1e9 photons", TEST_SEED + 40, (6, 7, 8), 0.12,
        shard=ATOMISTIC,
    ),
    CrystalSet(
        "as in the papers", "oversampled by 2.6 to 3.4, 1e7 to 1e9 photons, a detector without faults, coherent light",
        TEST_SEED + 50, (7, 8), 0.5, CrystalSettings(oversampling=(2.6, 3.4)),
        DetectorSettings(
            background_share=0.0, coherence_share=0.0, bins=(1, 1), gap_share=0.0, bad_pixel_share=0.0,
            short_range_share=0.0,
        ),
    ),
)  # fmt: skip
PAPERS = SETS[-1].name


@dataclass(frozen=True)
class Truth:
    """A simulated crystal: object complex64 and the intensity that noise-free, coherent,
    unbinned light would give, float32.
    """

    object: NDArray[np.complex64]
    clean: NDArray[np.float32]

    @property
    def crystal(self) -> NDArray[np.bool_]:
        """Voxels with at least half of the crystal's density: its volume, and where its phase is compared."""
        inside: NDArray[np.bool_] = np.abs(self.object) >= 0.5 * np.abs(self.object).max()
        return inside


@dataclass(frozen=True)
class Specimen:
    """One held-out crystal: its measurement on the model grid as a file would hold it, and what is known of it."""

    scan: RawScan
    truth: Truth
    decade: int


def specimen(of: CrystalSet, number: int) -> Specimen:
    """Crystal `number` of a set; the same number, the same crystal."""
    decade = of.decade(number)
    detector = replace(of.detector, photons=(10.0**decade, 10.0 ** (decade + 1)))
    settings = replace(FitSettings(), frame=FRAME, crystals=of.crystals, detector=detector)
    if of.shard is None:
        made = sample(settings, of.seed, number, 1, torch.device("cpu"))
        objects, measured = made.objects, made.measurement
    else:
        objects = torch.from_numpy(_objects(of.shard)[number : number + 1].astype(np.complex64))
        measured = _measured(objects, detector, of.seed, number)
    scan = RawScan(
        measured.intensity[0].numpy(), None, f"{of.name} {number}", "simulated", mask=measured.mask[0].numpy()
    )
    return Specimen(scan, Truth(embed(objects, FRAME)[0].numpy(), measured.clean[0].numpy()), decade)


def _measured(objects: torch.Tensor, detector: DetectorSettings, seed: int, number: int) -> Measurement:
    inside = objects[0].abs() > 0.1
    places = inside.nonzero()
    extent = (places.amax(0) - places.amin(0) + 1).float()[None]
    generator = torch.Generator().manual_seed(stream(seed, number))
    return measure(objects, FRAME, extent, detector, generator)


@cache
def _objects(shard: Path) -> NDArray[np.complex64]:
    from training.simulate.atomistic import shards

    return np.asarray(shards.read(shard))
