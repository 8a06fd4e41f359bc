"""The network inputs of inphase.features for a batch of tensors on the training device (a test holds the two
together).
"""

from collections.abc import Collection

from torch import Tensor, complex64, from_numpy, stack, tensordot, where

from inphase.features import FEATURES, KNOWN_MASKED, KNOWN_PADDING, KNOWN_VALID, halving
from inphase.pattern import MaskState
from training.simulate.detector import Measurement
from training.transform import forward, spatial


def features_of(measurement: Measurement, names: Collection[str] = FEATURES) -> dict[str, Tensor]:
    """Features of a batch of measurements, those that are wanted."""
    return volume_features(measurement.intensity, measurement.mask, measurement.hidden, names)


def volume_features(
    intensity: Tensor, mask: Tensor, hidden: Tensor, names: Collection[str] = FEATURES
) -> dict[str, Tensor]:
    """modulus (B, N, ...), valid (B, N, ...), autocorrelation (B, 2, N, ...) from (B, N, ...) tensors;
    reduced of three axes.
    """
    known = (mask == int(MaskState.VALID)) & ~hidden
    shown = intensity * known
    features: dict[str, Tensor] = {}
    if "modulus" in names:
        features["modulus"] = (shown / shown.amax(spatial(shown), keepdim=True)).sqrt()
    if "valid" in names:
        valid = where(known, KNOWN_VALID, KNOWN_MASKED).to(intensity.dtype)
        features["valid"] = valid.masked_fill(mask == int(MaskState.PADDING), KNOWN_PADDING)
    if "autocorrelation" in names:
        correlation = forward(shown.to(complex64), inverse=True, rank=shown.ndim - 1)
        middle = correlation[(slice(None), *(slice(n // 2, n // 2 + 1) for n in shown.shape[1:]))]
        correlation = correlation / middle.real
        features["autocorrelation"] = stack([correlation.real, correlation.imag], 1)
    if "reduced" in names:
        features["reduced"] = reduce(shown)
    return features


def reduce(intensity: Tensor) -> Tensor:
    """inphase.features.reduced_modulus of a batch: (B, n0, n1, n2) -> (B, n0 / 2, n1 / 2, n2 / 2); differentiable."""
    for _ in range(3):  # tensordot puts the halved axis last: after three they are in order again
        matrix = from_numpy(halving(intensity.shape[1])).to(intensity.device)
        intensity = tensordot(intensity, matrix, dims=([1], [1]))
    # a young network's object may be empty, and so its pattern
    relative = intensity / intensity.amax((1, 2, 3), keepdim=True).clamp_min(1e-12)
    return relative.clamp_min(1e-10).sqrt()  # whose slope at zero would be infinite
