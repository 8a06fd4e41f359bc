"""The elementwise passes between the FFTs.

On the CPU each is one compiled sweep over memory (numba): torch would make several, which cost more than the FFTs. On
other devices they are torch expressions. `tests/inphase/retrieval/test_passes.py` holds the two equal.

The sweeps are written without branches, on real and imaginary parts, so that the compiler vectorises them. They run on
one thread: at 64^3 a sweep is shorter than waking a second thread of another pool than torch's, and at 128^3 it is
bound by memory.
"""

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")

TINY = np.float32(1e-30)  # keeps 0 / 0 out of the projection of an empty voxel: it stays empty

# without "ninf" and "nnan": a constraint of -inf means "keep"
FAST = {"contract", "reassoc", "arcp", "nsz", "afn"}


def _compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile at the first call; the machine code is cached next to this file, else in the user's cache folder."""
    try:
        return cast(Callable[P, R], numba.njit(fastmath=FAST, error_model="numpy", nogil=True, cache=True)(function))
    except RuntimeError:  # no folder can be written: compile in every process, which takes seconds
        return cast(Callable[P, R], numba.njit(fastmath=FAST, error_model="numpy", nogil=True)(function))


@_compiled
def _project_modulus(field: NDArray[np.complex64], constraint: NDArray[np.float32]) -> None:
    for start in range(field.shape[0]):
        row = field[start]
        for k in range(row.size):
            f = row[k]
            ratio = constraint[k] / np.sqrt(f.real * f.real + f.imag * f.imag + TINY)
            scale = max(ratio, min(np.float32(1), -ratio))
            row[k] = complex(f.real * scale, f.imag * scale)


@_compiled
def _confine(projected: NDArray[np.complex64], support: NDArray[np.bool_]) -> None:
    for k in range(projected.size):
        p, inside = projected[k], np.float32(support[k])
        projected[k] = complex(p.real * inside, p.imag * inside)


@_compiled
def _feed_back(
    obj: NDArray[np.complex64],
    projected: NDArray[np.complex64],
    support: NDArray[np.bool_],
    keep: np.float32,
    mix: np.float32,
) -> None:
    for k in range(projected.size):
        o, p, inside = obj[k], projected[k], np.float32(support[k])
        outside = np.float32(1) - inside
        a, b = outside * keep, outside * mix + inside
        projected[k] = complex(a * o.real + b * p.real, a * o.imag + b * p.imag)


@_compiled
def _gradient(
    obj: NDArray[np.complex64],
    projected: NDArray[np.complex64],
    support: NDArray[np.bool_],
    previous: NDArray[np.complex64],
    direction: NDArray[np.complex64],
    sums: NDArray[np.float64],
) -> None:
    for b in range(obj.shape[0]):
        square, change, slope = np.float64(0), np.float64(0), np.float64(0)
        o, p, s, q, d = obj[b], projected[b], support[b], previous[b], direction[b]
        for k in range(o.size):
            inside = np.float32(s[k])
            x, y = inside * (o[k].real - p[k].real), inside * (o[k].imag - p[k].imag)
            square += x * x + y * y
            change += x * (x - q[k].real) + y * (y - q[k].imag)
            slope += x * d[k].real + y * d[k].imag
            p[k] = complex(x, y)
        sums[b, 0], sums[b, 1], sums[b, 2] = square, change, slope


@_compiled
def _curvature(
    field: NDArray[np.complex64],
    along: NDArray[np.complex64],
    constraint: NDArray[np.float32],
    sums: NDArray[np.float64],
) -> None:
    for b in range(field.shape[0]):
        curvature, bound = np.float64(0), np.float64(0)
        f, g = field[b], along[b]
        for k in range(f.size):
            modulus2 = f[k].real * f[k].real + f[k].imag * f[k].imag + TINY
            power = g[k].real * g[k].real + g[k].imag * g[k].imag
            radial = f[k].real * g[k].real + f[k].imag * g[k].imag
            held = abs(constraint[k]) / np.sqrt(modulus2)
            bend = power - held * (power - radial * radial / modulus2)
            curvature += bend if constraint[k] >= 0 or held < 1 else np.float32(0)
            bound += power
        sums[b, 0], sums[b, 1] = curvature, bound


def _on_cpu(tensor: Tensor) -> bool:
    return tensor.device.type == "cpu"


def project_modulus(field: Tensor, constraint: Tensor) -> Tensor:
    """P_M in reciprocal space, in place: |F| becomes c where c >= 0, is cut at -c where c < 0; the phase is kept.

    field: (B, N, ...) complex64, contiguous. constraint: (N, ...) float32 (`Problem.constraint`). Returns `field`.
    """
    if _on_cpu(field):
        _project_modulus(field.numpy().reshape(len(field), -1), constraint.numpy().reshape(-1))
        return field
    ratio = constraint / (field.real.square() + field.imag.square() + float(TINY)).sqrt()
    return field.mul_(torch.maximum(ratio, (-ratio).clamp(max=1)))


def confine(projected: Tensor, support: Tensor) -> Tensor:
    """S P_M o, in place of `projected` (B, N, ...) complex64; support bool of the same shape."""
    if _on_cpu(projected):
        _confine(projected.numpy().reshape(-1), support.numpy().reshape(-1))
        return projected
    return projected.mul_(support)


def feed_back(obj: Tensor, projected: Tensor, support: Tensor, keep: float, mix: float) -> Tensor:
    """P_M o in the support, keep o + mix P_M o outside, in place of `projected`: HIO (1, -beta), RAAR (beta, 1 - 2 beta)."""
    if _on_cpu(projected):
        _feed_back(
            obj.numpy().reshape(-1),
            projected.numpy().reshape(-1),
            support.numpy().reshape(-1),
            np.float32(keep),
            np.float32(mix),
        )
        return projected
    return projected.copy_(torch.where(support, projected, keep * obj + mix * projected))


def gradient(obj: Tensor, projected: Tensor, support: Tensor, previous: Tensor, direction: Tensor) -> Tensor:
    """g = S (o - P_M o), in place of `projected` (all (B, N, ...)); returns (B, 3) float64: g.g, g.(g - previous), g.direction."""
    if _on_cpu(obj):
        sums = np.zeros((len(obj), 3))
        o, p, s, q, d = (t.numpy().reshape(len(obj), -1) for t in (obj, projected, support, previous, direction))
        _gradient(o, p, s, q, d, sums)
        return torch.from_numpy(sums)
    torch.sub(obj, projected, out=projected).mul_(support)
    return torch.stack([_dot(projected, other) for other in (projected, projected - previous, direction)], 1)


def curvature(field: Tensor, along: Tensor, constraint: Tensor) -> Tensor:
    """Second derivative of 1/2 ||F - P_M F||^2 along a direction, (B, 2) float64: exact, and its upper bound ||direction||^2.

    A voxel held to c adds |g|^2 - c / |F| (|g|^2 - (Re conj(F) g)^2 / |F|^2); one that is kept adds nothing.
    """
    if _on_cpu(field):
        sums = np.zeros((len(field), 2))
        _curvature(
            field.numpy().reshape(len(field), -1),
            along.numpy().reshape(len(field), -1),
            constraint.numpy().reshape(-1),
            sums,
        )
        return torch.from_numpy(sums)
    modulus2 = field.real.square() + field.imag.square() + float(TINY)
    power = along.real.square() + along.imag.square()
    radial = field.real * along.real + field.imag * along.imag
    held = constraint.abs() / modulus2.sqrt()
    bend = torch.where((constraint >= 0) | (held < 1), power - held * (power - radial.square() / modulus2), 0.0)
    return torch.stack([t.flatten(1).sum(1, dtype=torch.float64) for t in (bend, power)], 1)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Real inner product of each start, (B,) float64."""
    return (a.real * b.real + a.imag * b.imag).flatten(1).sum(1, dtype=torch.float64)
