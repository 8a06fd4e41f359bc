"""A crystal, and results as a service would give them, for the tests of the examples."""

import comparison
import numpy as np
from numpy.typing import NDArray

from inphase import fourier
from inphase.formats.result import Result

N = 24


def crystal() -> NDArray[np.complex64]:
    """A small ellipsoid with a soft surface, off-centre features and a smooth phase, on a grid of 24^3 voxels."""
    z, y, x = np.mgrid[:N, :N, :N] - N // 2
    amplitude = 1 / (1 + np.exp(2 * (np.sqrt((z / 1.0) ** 2 + (y / 1.3) ** 2 + (x / 0.8) ** 2) - 4)))
    amplitude *= 1 + 0.1 * x / 4
    return (amplitude * np.exp(0.1j * (z + y * x / 3))).astype(np.complex64)


def result(obj: NDArray[np.complex64], start: list[int], bins: list[int]) -> Result:
    """A result as the service would give it."""
    modulus = np.abs(fourier.forward(obj)).astype(np.float32)
    document = {
        "metrics": {"final": {"chi2": 0.0}},
        "preprocess": {"binning": bins, "steps": [{"name": "centring", "numbers": {"start": start}}]},
        "canonical": {"ramp": [0.0, 0.0, 0.0]},
    }
    support = comparison.support(obj)
    return Result(obj, support, np.angle(obj), modulus, np.zeros(obj.shape, np.uint8), None, document)
