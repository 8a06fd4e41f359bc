"""Rocking scans that several tests use."""

from inphase.beamlines import APS_34IDC
from inphase.diffractometer import RockingScan

# APS 34-ID-C scan 54: 9 keV, camera at 0.5 m, 55 um pixels, 201 steps of 0.005 deg
SCAN_54 = RockingScan(
    diffractometer=APS_34IDC,
    energy_kev=9.0,
    distance_m=0.5,
    pixel_m=(55e-6, 55e-6),
    angles_deg={"theta": 0.2200042, "chi": 90.0, "phi": -5.0, "delta": 32.174, "gamma": 12.6346},
    steps_deg={"theta": 0.005},
)
