"""A whole raw rocking curve with the faults of a real one, and the crystal it came from."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import torch
from numpy.typing import NDArray

from inphase import fourier
from inphase.beamlines import APS_34IDC
from inphase.diffractometer import RockingScan
from training.simulate.crystals import CrystalSettings, crystals, smooth_fields

SATURATED = np.iinfo(np.uint32).max  # what an Eiger writes into gaps and broken pixels


@dataclass(frozen=True)
class ScanSettings:
    """A rocking curve as a beamline would record it; the defaults are the curve of `make demo`."""

    shape: tuple[int, int, int] = (201, 256, 256)  # frames, rows, columns
    oversampling: tuple[float, float, float] = (6.0, 4.0, 4.0)
    photons: float = 2e7
    peak: tuple[float, float, float] = (5.4, -13.3, 9.7)  # of the Bragg peak from the array's centre, in voxels
    phase_rms: float = 0.8  # rad inside the crystal
    background: float = 0.02  # counts per voxel and frame
    drift: float = 0.05  # relative slow change of the beam's flux over the scan
    gap_rows: tuple[int, int] = (150, 154)  # between two detector modules
    hot_pixels: int = 40  # in every frame
    spikes: int = 60  # single events of cosmic rays
    dead_pixels: int = 60
    beam: RockingScan = RockingScan(
        diffractometer=APS_34IDC,
        energy_kev=9.0,
        distance_m=0.85,
        pixel_m=(55e-6, 55e-6),
        angles_deg={"theta": 0.0, "chi": 90.0, "phi": 0.0, "delta": 32.0, "gamma": 12.6},
        steps_deg={"theta": 0.004},
    )


@dataclass(frozen=True)
class SimulatedScan:
    """Raw frames (frames, rows, columns) uint32 with their faults, and the object (same shape) complex64 behind them.

    The object carries the phase ramp of the off-centre peak: its far field has the peak where the frames have it.
    """

    frames: NDArray[np.uint32]
    truth: NDArray[np.complex64]
    settings: ScanSettings
    seed: int


def _object(settings: ScanSettings, generator: torch.Generator) -> NDArray[np.complex64]:
    """The crystal in the scan's full real-space frame, with the ramp that puts the peak in its place."""
    extent = [n / s for n, s in zip(settings.shape, settings.oversampling, strict=True)]
    m0, m1, m2 = (2 * math.ceil((e + 4) / 2) for e in extent)
    box = (m0, m1, m2)
    drawn = CrystalSettings(strain_free=0.0, phase_rms=(settings.phase_rms, settings.phase_rms), peak_offset=0.0)
    oversampling = torch.tensor([settings.oversampling])
    crystal: NDArray[np.complex64] = crystals(1, settings.shape, box, drawn, generator, oversampling)[0].numpy()
    for axis, (n, m, offset) in enumerate(zip(settings.shape, box, settings.peak, strict=True)):
        line = np.exp(2j * np.pi * offset / n * (np.arange(m) - m // 2)).astype(np.complex64)
        crystal = crystal * line.reshape([-1 if a == axis else 1 for a in range(3)])
    full = np.zeros(settings.shape, np.complex64)
    full[tuple(slice(n // 2 - m // 2, n // 2 - m // 2 + m) for n, m in zip(settings.shape, box, strict=True))] = crystal
    return full


def simulate_scan(
    seed: int, settings: ScanSettings | None = None, progress: Callable[[str], None] | None = None
) -> SimulatedScan:
    """A raw rocking curve and its truth. `progress` is told each stage by name."""
    settings = settings or ScanSettings()
    tell = progress or (lambda _: None)
    generator = torch.Generator().manual_seed(seed)
    random = np.random.default_rng(seed)
    tell("crystal")
    truth = _object(settings, generator)
    tell("far field")
    intensity = np.abs(fourier.forward(truth)) ** 2
    intensity *= settings.photons / intensity.sum()
    n, rows, columns = settings.shape
    flux = smooth_fields((n, 1, 1), torch.tensor([[float(n), 1.0, 1.0]]), CrystalSettings(strain_modes=3), generator)
    flux = 1 + settings.drift * (flux / flux.abs().max()).numpy()[0]
    tell("photons")
    frames = random.poisson(intensity * flux + settings.background).astype(np.uint32)
    tell("faults")

    def pixels(count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return random.integers(0, rows, count), random.integers(0, columns, count)

    r, c = pixels(settings.hot_pixels)
    frames[:, r, c] += random.poisson(random.lognormal(5.0, 1.5, settings.hot_pixels), (n, settings.hot_pixels)).astype(
        np.uint32
    )
    r, c = pixels(settings.spikes)
    frames[random.integers(0, n, settings.spikes), r, c] += random.integers(200, 20000, settings.spikes).astype(
        np.uint32
    )
    r, c = pixels(settings.dead_pixels)
    frames[:, r, c] = 0
    frames[:, slice(*settings.gap_rows)] = SATURATED
    return SimulatedScan(frames, truth, settings, seed)


def write(scan: SimulatedScan, path: Path) -> None:
    """The frames as an HDF5 file with the q-space steps; the truth beside it as <stem>.truth.npz."""
    geometry = scan.settings.beam.geometry()
    with h5py.File(path, "w") as file:
        frames = (1, *scan.frames.shape[1:])
        file.create_dataset("entry/data/data", data=scan.frames, chunks=frames, **hdf5plugin.Bitshuffle(cname="lz4"))
        file["q_steps"], file["q_centre"] = geometry.q_steps, geometry.q_centre
        for name in ("q_steps", "q_centre"):
            file[name].attrs["units"] = "1/m"
    middle = tuple(slice(n // 2 - n // 4, n // 2 + n // 4) for n in scan.truth.shape)  # oversampled: the rest is empty
    np.savez_compressed(
        path.with_suffix(".truth.npz"), object=scan.truth[middle], shape=scan.truth.shape, seed=scan.seed
    )
