"""A small measurement as an Eiger writes it, of a crystal whose far field is known."""

from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
from numpy.typing import NDArray

SHAPE = (40, 300, 320)
PEAK = (20, 110, 205)
REACH = 48  # pixels around the peak in which the crystal's light is drawn
GAP = slice(150, 158)  # rows without pixels
FULL = 2**16 - 1


def crystal(photons: float = 2e6, seed: int = 0) -> NDArray[np.uint16]:
    """Counts (frames, rows, columns) around the peak of a box with a strained corner, 40 x 96 x 96."""
    sides = (SHAPE[0], 2 * REACH, 2 * REACH)
    box = np.zeros(sides, np.complex128)
    middle = tuple(slice(n // 2 - half, n // 2 + half) for n, half in zip(sides, (5, 12, 10), strict=True))
    box[middle] = 1.0
    z, y, x = np.ogrid[tuple(slice(-n // 2, n - n // 2) for n in sides)]
    box *= np.exp(0.6j * np.exp(-(z**2 + (y - 8) ** 2 + (x - 6) ** 2) / 40.0))
    light = abs(np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(box)))) ** 2
    counts = np.random.default_rng(seed).poisson(light * photons / light.sum())
    return counts.astype(np.uint16)


def measurement(seed: int = 0, peak: tuple[int, int, int] = PEAK, background: float = 0.01) -> NDArray[np.uint16]:
    """Whole frames with the crystal's peak, a faint background, a gap of the detector and a hot pixel."""
    rng = np.random.default_rng(seed)
    frames = rng.poisson(background, SHAPE).astype(np.uint16)
    add(frames, crystal(seed=seed), peak)
    frames[:, GAP] = FULL
    frames[:, 40, 60] = 30_000  # hot in all frames, and brighter than the peak
    return frames


def add(frames: NDArray[np.uint16], counts: NDArray[np.uint16], peak: tuple[int, int, int]) -> None:
    """The light of a crystal, its peak at that row and column."""
    _, row, column = peak
    frames[:, row - REACH : row + REACH, column - REACH : column + REACH] += counts


def write(
    folder: Path,
    frames: NDArray[np.uint16],
    *,
    pieces: int = 2,
    virtual: bool = False,
    mask: NDArray[np.uint8] | None = None,
) -> Path:
    """The master file, with its data in files beside it, linked or put together in a virtual dataset."""
    each = -(-len(frames) // pieces)
    master = folder / "scan_master.h5"
    layout = h5py.VirtualLayout(frames.shape, frames.dtype)
    with h5py.File(master, "w") as file:
        data = file.create_group("entry/data")
        detector = file.create_group("entry/instrument/detector")
        if mask is not None:
            detector["pixel_mask"] = mask.astype(np.uint32)
        for number in range(pieces):
            name = f"scan_data_{number + 1:06d}.h5"
            part = frames[number * each : (number + 1) * each]
            store(folder / name, part)
            if virtual:
                source = h5py.VirtualSource(name, "entry/data/data", part.shape)
                layout[number * each : number * each + len(part)] = source
            else:
                data[f"data_{number + 1:06d}"] = h5py.ExternalLink(name, "entry/data/data")
        if virtual:
            data.create_virtual_dataset("data", layout)
    return master


def store(path: Path, frames: NDArray[np.generic], **options: object) -> None:
    """One chunk a frame, bitshuffle and LZ4, unless the options say otherwise."""
    given = options or {"chunks": (1, *frames.shape[1:]), "compression": hdf5plugin.Bitshuffle(cname="lz4")}
    with h5py.File(path, "w") as file:
        file.create_dataset("entry/data/data", data=frames, **given)
