"""The elementwise passes between the FFTs, on tensors of any device.

On the CPU each is one compiled sweep over memory (`sweeps`), shared between torch's threads: torch would make several,
which cost more than the FFTs. Elsewhere they are torch expressions. `tests/inphase/retrieval/test_passes.py` holds the
two equal. Volumes are (B, N, ...) complex64, supports (B, N, ...) bool, constraints (N, ...) or (B, N, ...) float32
(`Problem.constraint`), all contiguous. What changes an object does so in place: FFTs return new volumes, and whoever
kept those would scatter the volumes that live long among those that do not.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from inphase.retrieval import sweeps
from inphase.retrieval.terms import BULK
from inphase.retrieval.threads import BLOCK

TINY = float(sweeps.TINY)


def _on_cpu(tensor: Tensor) -> bool:
    return tensor.device.type == "cpu"


def _each(values: Tensor, volume: Tensor) -> Tensor:
    """(B,) -> (B, 1, ...) float32, to be multiplied with a volume."""
    return values.float().view(-1, *(1 for _ in volume.shape[1:]))


@lru_cache(maxsize=64)
def _numbers(*values: float) -> Tensor:
    """Operands of a sweep; making a tensor takes as long as a small sweep."""
    return torch.tensor(values, dtype=torch.float32)


def _parts(volume: Tensor, count: int) -> Tensor:
    """Where a sweep leaves `count` sums of every block."""
    return torch.zeros(len(volume), -(-volume[0].numel() // BLOCK), count, dtype=torch.float64)


def _total(parts: Tensor) -> Tensor:
    """(B, count) float64, block after block: `sum` would choose an order by the number of threads."""
    return parts.cumsum(1)[:, -1]


def _factor(power: Tensor, constraint: Tensor) -> Tensor:
    """What P_M multiplies a voxel of |F|^2 by."""
    ratio = constraint / (power + TINY).sqrt()
    return torch.maximum(ratio, (-ratio).clamp(max=1))


def project_modulus(field: Tensor, constraint: Tensor, out: Tensor | None = None) -> Tensor:
    """P_M in reciprocal space: |F| becomes c where c >= 0, is cut at -c where c < 0; the phase is kept.

    Into `out`, else in place; returns it.
    """
    if not _on_cpu(field):
        return torch.mul(field, _factor(_power(field), constraint), out=field if out is None else out)
    if out is None:
        sweeps.project_modulus(field, constraint)
        return field
    sweeps.project_into(field, constraint, out)
    return out


def coherent(field: Tensor, blurred: Tensor, constraint: Tensor) -> Tensor:
    """The modulus that coherent light would give, (B, N, ...)
    float32: c |F| / sqrt(blurred |F|^2) where c >= 0, c elsewhere.

    Under partial coherence P_M sets |F| to this (Clark et al., Nat. Commun. 3, 993 (2012)).
    """
    if _on_cpu(field):
        out = torch.empty(field.shape, dtype=torch.float32)
        sweeps.coherent(field, blurred, constraint, out)
        return out
    return torch.where(constraint >= 0, constraint * (_power(field) / (blurred + TINY)).sqrt(), constraint)


def intensity(field: Tensor) -> Tensor:
    """|F|^2, (B, N, ...) float32."""
    if not _on_cpu(field):
        return _power(field)
    out = torch.empty(field.shape, dtype=torch.float32)
    sweeps.intensity(field, out)
    return out


def confine(obj: Tensor, projected: Tensor, support: Tensor) -> None:
    """obj becomes S P_M o."""
    if _on_cpu(obj):
        sweeps.confine(obj, projected, support)
    else:
        torch.mul(projected, support, out=obj)


def feed_back(obj: Tensor, projected: Tensor, support: Tensor, keep: float, mix: float) -> None:
    """obj becomes P_M o in the support, keep o + mix P_M o outside: HIO (1, -beta), RAAR (beta, 1 - 2 beta)."""
    if _on_cpu(obj):
        sweeps.feed_back(obj, projected, support, _numbers(keep, mix))
    else:
        obj.copy_(torch.where(support, projected, keep * obj + mix * projected))


def flip_amplitude(obj: Tensor, projected: Tensor, support: Tensor) -> None:
    """obj becomes S P_M o with its amplitude a turned into 2 r - a, not below 0,
    where a >= BULK r (`terms.AF`); `projected` is overwritten.

    r is the amplitude in S that carries the intensity (`intensity_weighted_amplitude`). Not one sweep as the others
    are: a recipe has one such iteration.
    """
    confine(obj, projected, support)
    mean = amplitude(obj, projected)
    level = _each(intensity_weighted_amplitude(projected, mean), obj)
    size = projected.real
    obj *= torch.where(size >= BULK * level, 2 * level / size.clamp(min=TINY) - 1, 1.0).clamp(min=0)


def relax(obj: Tensor, support: Tensor, beta: float) -> None:
    """obj becomes f_S o: o in the support, o / beta outside (`terms.DM`)."""
    if _on_cpu(obj):
        sweeps.relax(obj, support, _numbers(1 / beta))
    else:
        obj.copy_(torch.where(support, obj, obj / beta))


def difference_map(obj: Tensor, projected: Tensor, second: Tensor, support: Tensor, beta: float) -> None:
    """obj, which is f_S o, becomes (1 + beta) P_M o in the support, o outside,
    less beta P_M f_S o (`second`) (`terms.DM`).
    """
    if _on_cpu(obj):
        sweeps.difference_map(obj, projected, second, support, _numbers(beta))
    else:
        obj.copy_(torch.where(support, (1 + beta) * projected, beta * obj) - beta * second)


def step(field: Tensor, along: Tensor, length: Tensor) -> None:
    """field becomes field + length * along; length (B,)."""
    if _on_cpu(field):
        sweeps.step(field, along, length.float())
    else:
        field.add_(along * _each(length, along))


def curvature(field: Tensor, along: Tensor, constraint: Tensor) -> Tensor:
    """Second derivative of 1/2 ||F - P_M F||^2 along a direction, (B, 2)
    float64: exact, and its upper bound ||along||^2.

    A voxel held to c adds |g|^2 - c / |F| (|g|^2 - (Re conj(F) g)^2 / |F|^2); one that is kept adds nothing.
    """
    if _on_cpu(field):
        parts = _parts(field, 2)
        sweeps.curvature(field, along, constraint, parts)
        return _total(parts)
    modulus2 = _power(field) + TINY
    power = _power(along)
    radial = field.real * along.real + field.imag * along.imag
    held = constraint.abs() / modulus2.sqrt()
    bend = torch.where((constraint >= 0) | (held < 1), power - held * (power - radial.square() / modulus2), 0.0)
    return torch.stack([_sum(bend), _sum(power)], 1)


def overlap(field: Tensor, constraint: Tensor, blurred: Tensor | None = None) -> Tensor:
    """sum |F| m and sum |F|^2 over the visible voxels, (B, 2) float64;
    `blurred` takes the place of |F|^2 where it is given.
    """
    if _on_cpu(field):
        parts = _parts(field, 2)
        if blurred is None:
            sweeps.overlap(field, constraint, parts)
        else:
            sweeps.overlap_blurred(blurred, constraint, parts)
        return _total(parts)
    power = (_power(field) if blurred is None else blurred) * (constraint >= 0)
    return torch.stack([_sum(power.sqrt() * constraint.clamp(min=0)), _sum(power)], 1)


def quotient(blurred: Tensor, constraint: Tensor) -> Tensor:
    """m^2 / blurred where m is visible, 0 elsewhere, in place; (B, N, ...) float32."""
    if _on_cpu(blurred):
        sweeps.quotient(blurred, constraint)
        return blurred
    return torch.div(constraint.clamp(min=0).square(), blurred.clamp(min=TINY), out=blurred)


def amplitude(obj: Tensor, out: Tensor) -> Tensor:
    """|o| goes into the complex volume `out`, ready for an FFT; its mean, (B,) float64."""
    if _on_cpu(obj):
        parts = _parts(obj, 1)
        sweeps.amplitude(obj, out, parts)
        return _total(parts)[:, 0] / obj[0].numel()
    modulus = obj.abs()
    out.copy_(modulus)
    return _sum(modulus) / obj[0].numel()


def weigh(volume: Tensor, windows: Sequence[Tensor]) -> Tensor:
    """volume times the product of windows, float32, one for each axis; in place."""
    *others, last = windows
    rows = torch.ones((), device=volume.device)
    for window in others:
        rows = rows[..., None] * window
    if _on_cpu(volume):
        sweeps.weigh(volume, rows.contiguous(), last)
        return volume
    return volume.mul_(rows[..., None] * last)


def intensity_weighted_amplitude(smooth: Tensor, mean: Tensor) -> Tensor:
    """sqrt(sum a^4 / sum a^2) of the real part, (B,) float64. mean (B,):
    its scale, lest fourth powers leave single precision.
    """
    mean = mean.clamp(min=TINY)
    if _on_cpu(smooth):
        parts = _parts(smooth, 2)
        sweeps.moments(smooth, (1 / mean).float(), parts)
        second, fourth = _total(parts).unbind(1)
    else:
        square = (smooth.real / _each(mean, smooth)).double().square()
        second, fourth = _sum(square), _sum(square.square())
    return mean * (fourth / second).sqrt()


def above(smooth: Tensor, cut: Tensor) -> tuple[Tensor, list[int]]:
    """Where the real part is at least `cut` (B,): bool (B, N, ...), and the number of such voxels per start."""
    if _on_cpu(smooth):
        support = torch.empty(smooth.shape, dtype=torch.bool)
        sweeps.above(smooth, cut.float(), support)
    else:
        support = smooth.real >= _each(cut, smooth)
    return support, counted(support)


def counted(support: Tensor) -> list[int]:
    """The number of voxels of each start's support."""
    if _on_cpu(support):  # an order of magnitude faster than torch's sum
        return [int(np.count_nonzero(one)) for one in support.numpy()]
    return [int(count) for count in support.flatten(1).sum(1)]


def _power(volume: Tensor) -> Tensor:
    return volume.real.square() + volume.imag.square()


def _sum(volume: Tensor) -> Tensor:
    """(B, ...) -> (B,) float64."""
    return volume.flatten(1).sum(1, dtype=torch.float64)
