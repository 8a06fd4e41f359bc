"""The rocking curves of these benchmarks."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import inphase
from benchmarks import ROOT
from benchmarks.ladder import BINNED, WHOLE, crystal_of_s11
from benchmarks.trust.specimens import Kind, specimen
from inphase.formats import RawScan
from inphase.formats.scan import scan_of
from training.evaluate.measurements import REAL_DATA

RESULTS: Final = ROOT / "benchmarks/results"
GOOD: Final = 0.95  # amplitude correlation with the image of the whole curve
AIM_SHARE: Final = 0.55  # of the curve, of which the first good image is made
TURNS: Final = 3
SIMULATED: Final = (
    *((Kind.POLYHEDRON, seed) for seed in range(3)),
    *((kind, 0) for kind in (Kind.SUPERELLIPSOID, Kind.DOMAINS, Kind.DISLOCATION)),
    *((kind, 1) for kind in (Kind.SUPERELLIPSOID, Kind.DOMAINS, Kind.DISLOCATION)),
    (Kind.POLYHEDRON, 3),
)
WHAT: Final = (
    "Scan 54 is measured. S11 is the published image of a real crystal: its counts are simulated from that, on the "
    "detector as it was and binned 2 x 2. The others are simulated, their kinds those of [trust](trust.md)."
)


@dataclass(frozen=True)
class Measured:
    """A finished curve with a name. real: of a crystal that was measured. turns: how often it is replayed."""

    name: str
    scan: RawScan
    real: bool = False
    turns: int = TURNS

    @property
    def frames(self) -> int:
        """How many it has."""
        return len(self.scan.array)


def curves() -> Iterator[Measured]:
    """Scan 54 and the counts of the known object S11, where they lie below INPHASE_REAL_DATA, and simulated ones."""
    folder = REAL_DATA / "aps34idc_scan54"
    if folder.is_dir():
        scan = inphase.read(
            folder / "raw_tif", dark=folder / "dark.tif", flat=folder / "whitefield.tif", roi="0:256,0:256",
            spec=folder / "scan54.spec",
        )  # fmt: skip
        yield Measured("scan 54 (34-ID-C)", scan, real=True)
    if (REAL_DATA / "id01_s11").is_dir():
        yield Measured("S11, detector binned 2 x 2", scan_of(crystal_of_s11(REAL_DATA, BINNED)[0]), real=True)
        yield Measured("S11, whole detector", scan_of(crystal_of_s11(REAL_DATA, WHOLE)[0]), real=True, turns=1)
    for kind, seed in SIMULATED:
        yield Measured(f"{kind.value} {seed}", specimen(kind, seed).scan)


def some(simulated: int) -> list[Measured]:
    """Those of real crystals and so many simulated curves."""
    these = list(curves())
    return [curve for curve in these if curve.real] + [curve for curve in these if not curve.real][:simulated]
