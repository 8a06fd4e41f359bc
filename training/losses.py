"""What is asked of a prediction without a label: the measured modulus is the only target.

The modulus alone does not tell a crystal from a smooth blob of twice its size that carries the same central peak: where
the frame leaves room, a network finds the blob first. So two things that are known without a label are asked for as
well: the object stays within the extent that its oversampling allows, and its density is even.
"""

from torch import Tensor, ones_like

from inphase.pattern import MaskState
from training.simulate.crystals import grid
from training.simulate.detector import Measurement
from training.transform import far_modulus, spatial


def over_maximum(volumes: Tensor) -> Tensor:
    """Volumes (B, n, n, n), or images, >= 0, the largest voxel of each 1."""
    return volumes / volumes.amax(spatial(volumes), keepdim=True).clamp_min(1e-12)


def scale_to(calculated: Tensor, measured: Tensor, known: Tensor) -> Tensor:
    """Least-squares scale of the calculated modulus over the known voxels: (B, 1, 1, 1)."""
    over = spatial(measured)
    cross = (calculated * measured * known).sum(over, keepdim=True)
    return cross / (calculated.square() * known).sum(over, keepdim=True).clamp_min(1e-12)


def modulus_error(calculated: Tensor, measured: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """(R, chi2), each (B,): R = sum |s Fc - Fm| / sum Fm, chi2 = sum (s Fc - Fm)^2 / sum Fm^2 over the known voxels."""
    difference = (scale_to(calculated, measured, known) * calculated - measured) * known
    target = measured * known
    over = spatial(measured)
    r_factor = difference.abs().sum(over) / target.sum(over)
    return r_factor, difference.square().sum(over) / target.square().sum(over)


def modulus_errors(objects: Tensor, measurement: Measurement) -> tuple[Tensor, Tensor]:
    """`modulus_error` of predicted objects (B, m, m, m) complex against what the network was shown:
    R and chi2, each (B,).
    """
    frame = tuple(measurement.intensity.shape[1:])
    known = (measurement.mask == int(MaskState.VALID)) & ~measurement.hidden
    return modulus_error(far_modulus(objects, frame), measurement.intensity.sqrt(), known)


def outside_extent(amplitude: Tensor, extent: Tensor, margin: float = 1.5) -> Tensor:
    """Share (B,) of the intensity of amplitudes (B, m, m, m) outside a box of `extent` (B, 3) voxels around m // 2.

    The support constraint of phase retrieval; `margin` voxels on each side allow for a centre between two voxels.
    """
    inside = ones_like(amplitude)
    _, m0, m1, m2 = amplitude.shape
    distance = grid((m0, m1, m2), amplitude.device).abs()
    for axis in range(3):
        inside = inside * (distance[axis] <= extent[:, axis].view(-1, 1, 1, 1) / 2 + margin)
    intensity = amplitude.square()
    return (intensity * (1 - inside)).sum((1, 2, 3)) / intensity.sum((1, 2, 3)).clamp_min(1e-12)


def unevenness(amplitude: Tensor) -> Tensor:
    """1 - (sum a^2)^2 / (sum a sum a^3), (B,): 0 for a crystal of even density, 0.35 for a Gaussian blob, of any scale.

    Cauchy-Schwarz: the two sides are equal where every voxel is either empty or has one common amplitude.
    """
    first, second, third = (amplitude.pow(k).sum((1, 2, 3)) for k in (1, 2, 3))
    return 1 - second.square() / (first * third).clamp_min(1e-12)
