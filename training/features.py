"""The network inputs of inphase.features for a batch of tensors on the training device (a test holds the two together)."""

from collections.abc import Collection

from torch import Tensor, stack, where

from inphase.features import FEATURES, KNOWN_MASKED, KNOWN_PADDING, KNOWN_VALID
from inphase.pattern import MaskState
from training.simulate.detector import Measurement
from training.transform import forward


def features_of(measurement: Measurement, names: Collection[str] = FEATURES) -> dict[str, Tensor]:
    """Features of a batch of measurements, those that are wanted."""
    return volume_features(measurement.intensity, measurement.mask, measurement.hidden, names)


def volume_features(
    intensity: Tensor, mask: Tensor, hidden: Tensor, names: Collection[str] = FEATURES
) -> dict[str, Tensor]:
    """modulus (B, N, N, N), valid (B, N, N, N), autocorrelation (B, 2, N, N, N) from (B, N, N, N) tensors."""
    known = (mask == int(MaskState.VALID)) & ~hidden
    shown = intensity * known
    features: dict[str, Tensor] = {}
    if "modulus" in names:
        features["modulus"] = (shown / shown.amax((1, 2, 3), keepdim=True)).sqrt()
    if "valid" in names:
        valid = where(known, KNOWN_VALID, KNOWN_MASKED).to(intensity.dtype)
        features["valid"] = valid.masked_fill(mask == int(MaskState.PADDING), KNOWN_PADDING)
    if "autocorrelation" in names:
        correlation = forward(shown.cfloat(), inverse=True)
        middle = [n // 2 for n in correlation.shape[1:]]
        correlation = correlation / correlation[:, middle[0], middle[1], middle[2]].real.view(-1, 1, 1, 1)
        features["autocorrelation"] = stack([correlation.real, correlation.imag], 1)
    return features
