"""What a volume network sees of a pattern: the one definition shared by the service and the training (card `features`)."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from inphase import fourier
from inphase.pattern import MaskState

# how much of a voxel's value is known: the network's mask channel
KNOWN_VALID: Final = 1.0
KNOWN_PADDING: Final = 0.5  # not measured, but outside the range: small
KNOWN_MASKED: Final = 0.0


def volume_features(
    intensity: NDArray[np.float32], mask: NDArray[np.uint8], free: NDArray[np.bool_] | None = None
) -> dict[str, NDArray[np.float32]]:
    """Network inputs of one centred pattern, with a batch axis of one.

    intensity: (n0, n1, n2) float32 >= 0; mask: three-state, same shape; free: voxels to hide from the network.

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
    modulus = np.sqrt(shown / np.float32(peak))
    valid = np.where(known, np.float32(KNOWN_VALID), np.float32(KNOWN_MASKED))
    valid[mask == MaskState.PADDING] = KNOWN_PADDING
    correlation = fourier.autocorrelation(shown)
    centre = correlation[tuple(n // 2 for n in correlation.shape)].real
    correlation /= centre
    parts = np.stack([correlation.real, correlation.imag]).astype(np.float32, copy=False)
    return {"modulus": modulus[None], "valid": valid[None], "autocorrelation": parts[None]}
