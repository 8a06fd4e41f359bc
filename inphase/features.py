"""What a volume network sees of a pattern: the one definition shared by the service and the training (card
`features`).
"""

from collections.abc import Collection
from functools import cache
from typing import Final

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from inphase import fourier
from inphase.pattern import MaskState

# how much of a voxel's value is known: the network's mask channel
KNOWN_VALID: Final = 1.0
KNOWN_PADDING: Final = 0.5  # not measured, but outside the range: small
KNOWN_MASKED: Final = 0.0

FEATURES: Final = ("modulus", "valid", "autocorrelation", "reduced")  # what a card may name as inputs


BLOCK: Final = 16  # voxels of a block that are brought to half as many


@cache
def halving(n: int) -> NDArray[np.float32]:
    """(n / 2, n) block-wise cosine transform of a line, its lower half back: n a multiple of 16.
    Constants stay as they are.
    """
    if n % BLOCK:
        raise ValueError(f"blocks of {BLOCK} voxels need a multiple of them, got a line of {n}")
    whole = scipy.fft.dct(np.eye(BLOCK), axis=0, norm="ortho")
    half = scipy.fft.idct(np.eye(BLOCK // 2), axis=0, norm="ortho")
    one = half @ whole[: BLOCK // 2] * np.sqrt(0.5)
    return np.kron(np.eye(n // BLOCK), one).astype(np.float32)


def reduced_modulus(intensity: NDArray[np.float32]) -> NDArray[np.float32]:
    """Modulus on half as many voxels per axis, over its maximum:
    block-wise cosine transforms of the intensity (3D-CDI-NN 2020).

    The range in reciprocal space stays, the oversampling is halved: the frame in real space, not the voxel.
    """
    halved = intensity
    for axis, n in enumerate(intensity.shape):
        halved = np.moveaxis(np.tensordot(halving(n), halved, axes=(1, axis)), 0, axis)
    halved = halved.clip(0.0)
    return np.asarray(np.sqrt(halved / halved.max()))


def feature_shape(name: str, grid: tuple[int, ...]) -> tuple[int, ...]:
    """Sides of a feature of one pattern on a grid (N, ...), without the batch axis."""
    if name == "autocorrelation":
        return (2, *grid)
    return tuple(n // 2 for n in grid) if name == "reduced" else grid


def volume_features(
    intensity: NDArray[np.float32],
    mask: NDArray[np.uint8],
    free: NDArray[np.bool_] | None = None,
    names: Collection[str] = FEATURES,
) -> dict[str, NDArray[np.float32]]:
    """Network inputs of one centred pattern, with a batch axis of one; `names` are those that are wanted.

    intensity: (N, ...) float32 >= 0; mask: three-state, same shape; free: voxels to hide from the network.
    Raises ValueError where nothing was counted.

    modulus: (1, N, ...), sqrt(I) over its maximum, 0 where not known. valid: (1, N, ...), 1 valid, 0.5 padding,
    0 masked or hidden. autocorrelation: (1, 2, N, ...), real and imaginary part of the inverse transform of the
    known intensity over its value at the centre. reduced: (1, N / 2, ...), see reduced_modulus.
    """
    known = mask == MaskState.VALID
    if free is not None:
        known &= ~free
    shown = np.where(known, intensity, np.float32(0.0))
    peak = float(shown.max())
    if not peak > 0.0:
        raise ValueError("the pattern has no counts among its valid voxels")
    features: dict[str, NDArray[np.float32]] = {}
    if "modulus" in names:
        features["modulus"] = np.sqrt(shown / np.float32(peak))[None]
    if "valid" in names:
        valid = np.where(known, np.float32(KNOWN_VALID), np.float32(KNOWN_MASKED))
        valid[mask == MaskState.PADDING] = KNOWN_PADDING
        features["valid"] = valid[None]
    if "autocorrelation" in names:
        correlation = fourier.autocorrelation(shown)
        correlation /= correlation[tuple(n // 2 for n in correlation.shape)].real
        parts = np.stack([correlation.real, correlation.imag]).astype(np.float32, copy=False)
        features["autocorrelation"] = parts[None]
    if "reduced" in names:
        features["reduced"] = reduced_modulus(shown)[None]
    return features
