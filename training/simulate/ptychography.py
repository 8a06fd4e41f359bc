"""A ptychographic scan of a known object: counts by the textbook's sum, nothing shared with inphase.ptycho.

The object is band-limited, so that it can be cut out at fractions of a pixel without an error.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

MARGIN = 8  # pixels of the object around all windows


@dataclass(frozen=True)
class Scene:
    """object: (Y, X) complex128; probe: (modes, y, x) complex128, sum |P|^2 = photons; positions: (n, 2) of the
    windows' corners on the object; counts: (n, y, x), the DC pixel at N // 2 of the far field.
    """

    object: NDArray[np.complex128]
    probe: NDArray[np.complex128]
    positions: NDArray[np.float64]
    counts: NDArray[np.float64]


def scene(
    *,
    side: int = 32,
    frames: int = 8,
    step: float = 4.0,
    jitter: float = 1.0,
    photons: float = 1e6,
    modes: int = 1,
    fresnel_number: float | None = None,
    noise: bool = True,
    seed: int = 0,
) -> Scene:
    """frames x frames positions on a jittered raster.

    fresnel_number: of a pixel, p^2 / (lambda z), for the near field; None for the far field.
    """
    generator = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(np.arange(frames), np.arange(frames), indexing="ij"), -1).reshape(-1, 2)
    positions = MARGIN + step * grid + generator.uniform(-jitter, jitter, (frames**2, 2)) + jitter
    size = int(np.ceil(positions.max())) + side + MARGIN
    obj = sample(size, generator)
    probe = beam(side, modes) * np.sqrt(photons)
    counts = np.stack([_pattern(obj, probe, position, fresnel_number) for position in positions])
    return Scene(obj, probe, positions, generator.poisson(counts).astype(np.float64) if noise else counts)


class Fault(StrEnum):
    """What goes wrong with recorded positions."""

    JITTER = "random, 3 pixels rms per axis"
    DRIFT = "a drift that grows to 20 pixels"
    JUMP = "a jump of an eighth of the frames by 20 pixels"
    BACKLASH = "backlash, every second line is off by 6 pixels"


def misrecorded(
    positions: NDArray[np.float64], fault: Fault, per_line: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    """The positions (n, 2) of a raster in the order of its scan, lines of `per_line` frames, as a faulty stage tells
    them.
    """
    n = len(positions)
    off = np.zeros((n, 2))
    match fault:
        case Fault.JITTER:
            off = generator.normal(0, 3, (n, 2))
        case Fault.DRIFT:
            time = np.arange(n) / n
            off = np.column_stack([20 * time**2, 8 * np.sin(3 * time)])
        case Fault.JUMP:
            off[n // 3 : n // 3 + n // 8] = (12, -16)
        case Fault.BACKLASH:
            off[np.arange(n) // per_line % 2 == 1, 1] = 6
    return positions + off


def sample(size: int, generator: np.random.Generator) -> NDArray[np.complex128]:
    """(size, size): blobs in amplitude (0.5 to 1) and phase (-1 to 1 rad), and an F, which no symmetry maps onto
    itself.
    """
    blobs = [gaussian_filter(generator.normal(size=(size, size)), 2.5, mode="wrap") for _ in range(2)]
    letter = np.zeros((size, size))
    top, left, high = size // 4, size // 3, size // 2
    letter[top : top + high, left : left + high // 6] = 1
    letter[top : top + high // 6, left : left + high // 2] = 1
    letter[top + high // 3 : top + high // 2, left : left + high // 3] = 1
    letter = gaussian_filter(letter, 1.2, mode="wrap")
    amplitude = 0.75 + 0.1 * np.clip(blobs[0] / blobs[0].std(), -2, 2) - 0.2 * letter
    phase = 0.3 * np.clip(blobs[1] / blobs[1].std(), -2, 2) + 0.6 * letter
    spectrum = np.fft.fft2(amplitude * np.exp(1j * phase))
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(size), np.fft.fftfreq(size), indexing="ij"))
    limited: NDArray[np.complex128] = np.fft.ifft2(np.where(frequency < 0.4, spectrum, 0))
    return limited


def beam(side: int, modes: int = 1) -> NDArray[np.complex128]:
    """(modes, side, side): a soft, curved, astigmatic beam of one photon; further modes are flat and hold a fifth
    each."""
    rows, columns = np.meshgrid(*((np.arange(side) - side // 2) / side,) * 2, indexing="ij")
    first = np.exp(-(rows**2 + columns**2) / (2 * 0.13**2)) * np.exp(1j * (60 * rows**2 + 40 * columns**2 + 4 * rows))
    shares = [1 - 0.2 * (modes - 1)] + [0.2] * (modes - 1)
    kinds = (first, np.abs(first) * rows, np.abs(first) * columns)
    stacked = [np.sqrt(share) * kind / np.linalg.norm(kind) for share, kind in zip(shares, kinds, strict=False)]
    return np.asarray(stacked, np.complex128)


def _pattern(
    obj: NDArray[np.complex128],
    probe: NDArray[np.complex128],
    position: NDArray[np.float64],
    fresnel_number: float | None,
) -> NDArray[np.float64]:
    """sum over modes of |D[P(x) O(x + r)]|^2."""
    frequency = np.fft.fftfreq(len(obj))
    whole = np.floor(position).astype(int)
    part = position - whole
    ramp = np.exp(2j * np.pi * (part[0] * frequency[:, None] + part[1] * frequency))
    moved = np.fft.ifft2(np.fft.fft2(obj) * ramp)
    side = probe.shape[-1]
    exit_waves = probe * moved[whole[0] : whole[0] + side, whole[1] : whole[1] + side]
    if fresnel_number is None:
        field = np.fft.fftshift(np.fft.fft2(exit_waves, norm="ortho"), axes=(-2, -1))
    else:
        nu = np.fft.fftfreq(side)
        transfer = np.exp(-1j * np.pi * (nu[:, None] ** 2 + nu**2) / fresnel_number)
        field = np.fft.ifft2(np.fft.fft2(exit_waves) * transfer)
    intensity: NDArray[np.float64] = np.square(np.abs(field)).sum(axis=0)
    return intensity
