"""The real measurements that every comparison uses."""

import os
from dataclasses import dataclass
from pathlib import Path

from inphase import formats
from inphase.formats import RawScan
from inphase.imaging.clock import Clock
from inphase.imaging.options import Options
from inphase.imaging.prepared import PreparedPattern
from inphase.imaging.way import begin
from inphase.models.prediction import Network
from inphase.pattern import Domain

CHECKOUT = Path(__file__).parents[2]
REAL_DATA = Path(os.environ.get("INPHASE_REAL_DATA", CHECKOUT.parent / "shared" / "data"))


@dataclass(frozen=True)
class RealCase:
    """A measurement, and how it is read and prepared."""

    title: str
    path: str
    options: Options
    dark: str | None = None
    flat: str | None = None
    roi: str | None = None

    @property
    def present(self) -> bool:
        """Whether the data folder has it."""
        return (REAL_DATA / self.path).exists()

    def read(self) -> RawScan:
        """The measurement with the detector's maps."""
        dark, flat = (REAL_DATA / name if name else None for name in (self.dark, self.flat))
        return formats.read(REAL_DATA / self.path, domain=self.options.domain, dark=dark, flat=flat, roi=self.roi)


REAL_CASES = (
    RealCase(
        "Scan 54 (APS 34-ID-C, gold; raw TIFF folder, bad-pixel map and flat field)",
        "aps34idc_scan54/raw_tif",
        Options(grid="model"),  # networks are compared on their grid
        "aps34idc_scan54/dark.tif",
        "aps34idc_scan54/whitefield.tif",
        "0:256,0:256",
    ),
    RealCase("3D-CDI-NN crystal (64^3, counts)", "3d_cdi_nn/ft_crop_64.tif", Options(grid="model")),
    RealCase(
        "3D-CDI-NN crystal (64^3, modulus)",
        "3d_cdi_nn/ft_crop_64.npy",
        Options(domain=Domain.MODULUS, preprocess="modulus", grid="model"),
    ),
)


def measured(case: RealCase, network: Network | None = None) -> PreparedPattern:
    """Read and prepared as `inphase.reconstruct` does it, with the network's guess where there is a network."""
    return begin(case.read(), case.options, network, Clock())[0]
