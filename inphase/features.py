"""What a volume network sees of a pattern: the one definition shared by the service and the training (card `features`)."""

from collections.abc import Collection
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inphase import fourier
from inphase.pattern import MaskState

# how much of a voxel's value is known: the network's mask channel
KNOWN_VALID: Final = 1.0
KNOWN_PADDING: Final = 0.5  # not measured, but outside the range: small
KNOWN_MASKED: Final = 0.0

FEATURES: Final = ("modulus", "valid", "autocorrelation")  # what a card may name as inputs


def volume_features(
    intensity: NDArray[np.float32],
    mask: NDArray[np.uint8],
    free: NDArray[np.bool_] | None = None,
    names: Collection[str] = FEATURES,
) -> dict[str, NDArray[np.float32]]:
    """Network inputs of one centred pattern, with a batch axis of one; `names` are those that are wanted.

    intensity: (n0, n1, n2) float32 >= 0; mask: three-state, same shape; free: voxels to hide from the network.
    Raises ValueError where nothing was counted.

    modulus: (1, n0, n1, n2), sqrt(I) over its maximum, 0 where not known. valid: (1, n0, n1, n2), 1 valid, 0.5 padding,
    0 masked or hidden. autocorrelation: (1, 2, n0, n1, n2), real and imaginary part of the inverse transform of the
    known intensity over its value at the centre.
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
    return features
