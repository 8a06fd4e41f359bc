"""The elementwise passes between the FFTs, on tensors of any device.

On the CPU each is one compiled sweep over memory (`sweeps`): torch would make several, which cost more than the FFTs.
Elsewhere they are torch expressions. `tests/inphase/retrieval/test_passes.py` holds the two equal.
Volumes are (B, N, ...) complex64, contiguous, supports (B, N, ...) bool, constraints (N, ...) float32 (`Problem.constraint`).
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inphase.retrieval import sweeps

TINY = float(sweeps.TINY)


def _on_cpu(tensor: Tensor) -> bool:
    return tensor.device.type == "cpu"


def _rows(tensor: Tensor) -> NDArray[Any]:
    """(B, ...) -> (B, voxels), the same memory."""
    rows: NDArray[Any] = tensor.numpy().reshape(len(tensor), -1)
    return rows


def _each(values: Tensor, volume: Tensor) -> Tensor:
    """(B,) -> (B, 1, ...) float32, to be multiplied with a volume."""
    return values.float().view(-1, *(1 for _ in volume.shape[1:]))


def project_modulus(field: Tensor, constraint: Tensor, out: Tensor | None = None) -> Tensor:
    """P_M in reciprocal space: |F| becomes c where c >= 0, is cut at -c where c < 0; the phase is kept.

    Into `out`, else in place; returns it.
    """
    if not _on_cpu(field):
        ratio = constraint / (field.real.square() + field.imag.square() + TINY).sqrt()
        return torch.mul(field, torch.maximum(ratio, (-ratio).clamp(max=1)), out=field if out is None else out)
    if out is None:
        sweeps.project_modulus(_rows(field), constraint.numpy().reshape(-1))
        return field
    sweeps.project_into(_rows(field), constraint.numpy().reshape(-1), _rows(out))
    return out


def confine(projected: Tensor, support: Tensor) -> Tensor:
    """S P_M o, in place of `projected`."""
    if _on_cpu(projected):
        sweeps.confine(_rows(projected), _rows(support))
        return projected
    return projected.mul_(support)


def feed_back(obj: Tensor, projected: Tensor, support: Tensor, keep: float, mix: float) -> Tensor:
    """P_M o in the support, keep o + mix P_M o outside, in place of `projected`: HIO (1, -beta), RAAR (beta, 1 - 2 beta)."""
    if _on_cpu(projected):
        sweeps.feed_back(_rows(obj), _rows(projected), _rows(support), np.float32(keep), np.float32(mix))
        return projected
    return projected.copy_(torch.where(support, projected, keep * obj + mix * projected))


def difference_map(obj: Tensor, projected: Tensor, second: Tensor, support: Tensor, beta: float) -> Tensor:
    """(1 + beta) P_M o in the support, o outside, less beta P_M f_S o (`second`), in place of `projected` (`terms.DM`)."""
    if _on_cpu(projected):
        sweeps.difference_map(_rows(obj), _rows(projected), _rows(second), _rows(support), np.float32(beta))
        return projected
    return projected.copy_(torch.where(support, (1 + beta) * projected, obj) - beta * second)


def project_blurred(field: Tensor, blurred: Tensor, constraint: Tensor) -> Tensor:
    """P_M under partial coherence, in place: F is multiplied by c / sqrt(blurred |F|^2) as `project_modulus` does by c / |F|."""
    ratio = constraint / (blurred + TINY).sqrt()
    return field.mul_(torch.maximum(ratio, (-ratio).clamp(max=1)))


def gradient(obj: Tensor, projected: Tensor, support: Tensor, previous: Tensor, direction: Tensor) -> Tensor:
    """g = o - P_M o inside the support, in place of `projected`, whose voxels outside are left undefined.

    Returns (B, 3) float64, sums over the support: g.g, g.(g - previous), g.direction.
    """
    if _on_cpu(obj):
        sums = np.zeros((len(obj), 3))
        sweeps.gradient(_rows(obj), _rows(projected), _rows(support), _rows(previous), _rows(direction), sums)
        return torch.from_numpy(sums)
    torch.sub(obj, projected, out=projected).mul_(support)
    return torch.stack([_dot(projected, other) for other in (projected, projected - previous, direction)], 1)


def redirect(direction: Tensor, gradient: Tensor, support: Tensor, ratio: Tensor) -> None:
    """direction becomes ratio * direction - gradient inside the support, 0 outside; ratio (B,)."""
    if _on_cpu(direction):
        sweeps.redirect(_rows(direction), _rows(gradient), _rows(support), ratio.numpy().astype(np.float32))
    else:
        direction.mul_(_each(ratio, direction)).sub_(gradient).mul_(support)


def step(obj: Tensor, direction: Tensor, length: Tensor) -> None:
    """obj becomes obj + length * direction; length (B,)."""
    if _on_cpu(obj):
        sweeps.step(_rows(obj), _rows(direction), length.numpy().astype(np.float32))
    else:
        obj.add_(direction * _each(length, direction))


def curvature(field: Tensor, along: Tensor, constraint: Tensor) -> Tensor:
    """Second derivative of 1/2 ||F - P_M F||^2 along a direction, (B, 2) float64: exact, and its upper bound ||along||^2.

    A voxel held to c adds |g|^2 - c / |F| (|g|^2 - (Re conj(F) g)^2 / |F|^2); one that is kept adds nothing.
    """
    if _on_cpu(field):
        sums = np.zeros((len(field), 2))
        sweeps.curvature(_rows(field), _rows(along), constraint.numpy().reshape(-1), sums)
        return torch.from_numpy(sums)
    modulus2 = field.real.square() + field.imag.square() + TINY
    power = along.real.square() + along.imag.square()
    radial = field.real * along.real + field.imag * along.imag
    held = constraint.abs() / modulus2.sqrt()
    bend = torch.where((constraint >= 0) | (held < 1), power - held * (power - radial.square() / modulus2), 0.0)
    return torch.stack([_sum(bend), _sum(power)], 1)


def overlap(field: Tensor, constraint: Tensor) -> Tensor:
    """sum |F| m and sum |F|^2 over the visible voxels, (B, 2) float64."""
    if _on_cpu(field):
        sums = np.zeros((len(field), 2))
        sweeps.overlap(_rows(field), constraint.numpy().reshape(-1), sums)
        return torch.from_numpy(sums)
    modulus = field.abs() * (constraint >= 0)
    return torch.stack([_sum(modulus * constraint.clamp(min=0)), _sum(modulus.square())], 1)


def amplitude(obj: Tensor) -> tuple[Tensor, Tensor]:
    """|o| as a new complex volume, ready for an FFT, and its mean, (B,) float64."""
    if _on_cpu(obj):
        out, sums = torch.empty_like(obj), np.zeros(len(obj))
        sweeps.amplitude(_rows(obj), _rows(out), sums)
        return out, torch.from_numpy(sums) / obj[0].numel()
    modulus = obj.abs()
    return modulus.to(obj.dtype), _sum(modulus) / obj[0].numel()


def weigh(volume: Tensor, weights: Tensor) -> Tensor:
    """weights * volume, in place; weights (N, ...) float32."""
    if _on_cpu(volume):
        sweeps.weigh(_rows(volume), weights.numpy().reshape(-1))
        return volume
    return volume.mul_(weights)


def intensity_weighted_amplitude(smooth: Tensor, mean: Tensor) -> Tensor:
    """sqrt(sum a^4 / sum a^2) of the real part, (B,) float64. mean (B,): its scale, lest fourth powers leave single precision."""
    mean = mean.clamp(min=TINY)
    if _on_cpu(smooth):
        sums = np.zeros((len(smooth), 2))
        sweeps.moments(_rows(smooth), (1 / mean).numpy().astype(np.float32), sums)
        second, fourth = torch.from_numpy(sums).unbind(1)
    else:
        square = (smooth.real / _each(mean, smooth)).double().square()
        second, fourth = _sum(square), _sum(square.square())
    return mean * (fourth / second).sqrt()


def above(smooth: Tensor, cut: Tensor) -> tuple[Tensor, list[int]]:
    """Where the real part is at least `cut` (B,): bool (B, N, ...), and the number of such voxels per start."""
    if _on_cpu(smooth):
        support = torch.empty(smooth.shape, dtype=torch.bool)
        sweeps.above(_rows(smooth), cut.numpy().astype(np.float32), _rows(support))
        return support, [int(np.count_nonzero(row)) for row in _rows(support)]
    support = smooth.real >= _each(cut, smooth)
    return support, support.flatten(1).sum(1).tolist()


def _sum(volume: Tensor) -> Tensor:
    """(B, ...) -> (B,) float64."""
    return volume.flatten(1).sum(1, dtype=torch.float64)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Real inner product of each start, (B,) float64."""
    return _sum(a.real * b.real + a.imag * b.imag)
