"""The network inputs of inphase.features for a batch of tensors on the training device (a test holds the two together)."""

from torch import Tensor, stack, where

from inphase.features import KNOWN_MASKED, KNOWN_PADDING, KNOWN_VALID
from inphase.pattern import MaskState
from training.simulate.detector import Measurement
from training.transform import forward


def features_of(measurement: Measurement) -> dict[str, Tensor]:
    """All features of a batch of measurements, by name."""
    return volume_features(measurement.intensity, measurement.mask, measurement.hidden)


def volume_features(intensity: Tensor, mask: Tensor, hidden: Tensor) -> dict[str, Tensor]:
    """modulus (B, N, N, N), valid (B, N, N, N), autocorrelation (B, 2, N, N, N) from (B, N, N, N) tensors."""
    known = (mask == int(MaskState.VALID)) & ~hidden
    shown = intensity * known
    modulus = (shown / shown.amax((1, 2, 3), keepdim=True)).sqrt()
    valid = where(known, KNOWN_VALID, KNOWN_MASKED).to(modulus.dtype)
    valid = valid.masked_fill(mask == int(MaskState.PADDING), KNOWN_PADDING)
    correlation = forward(shown.cfloat(), inverse=True)
    middle = [n // 2 for n in correlation.shape[1:]]
    correlation = correlation / correlation[:, middle[0], middle[1], middle[2]].real.view(-1, 1, 1, 1)
    return {"modulus": modulus, "valid": valid, "autocorrelation": stack([correlation.real, correlation.imag], 1)}
