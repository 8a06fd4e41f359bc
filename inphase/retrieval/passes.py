"""The elementwise passes between the FFTs.

On the CPU each is one compiled sweep over memory (numba): torch would make several, which cost more than the FFTs. On
other devices they are torch expressions. `tests/inphase/retrieval/test_passes.py` holds the two equal.

The sweeps are written without branches, on real and imaginary parts, so that the compiler vectorises them. They run on
one thread: at 64^3 a sweep is shorter than waking a second thread of another pool than torch's, and at 128^3 it is
bound by memory.
"""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")

TINY = np.float32(1e-30)  # keeps 0 / 0 out of the projection of an empty voxel: it stays empty

FAST = {"contract", "reassoc", "arcp", "nsz", "afn"}  # not "ninf" or "nnan": a constraint of -inf means "keep"


def _compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile at the first call; the machine code is cached next to this file, else in the user's cache folder."""
    options = {"fastmath": FAST, "error_model": "numpy", "nogil": True}
    try:
        compiled: Callable[P, R] = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # no folder can be written: compile in every process (about a second)
        compiled = numba.njit(**options)(function)
    return compiled


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
    obj: NDArray[np.complex64], projected: NDArray[np.complex64], support: NDArray[np.bool_], keep: np.float32, mix: np.float32
) -> None:
    for k in range(projected.size):
        o, p, inside = obj[k], projected[k], np.float32(support[k])
        outside = np.float32(1) - inside
        a, b = outside * keep, outside * mix + inside
        projected[k] = complex(a * o.real + b * p.real, a * o.imag + b * p.imag)


def project_modulus(field: Tensor, constraint: Tensor) -> Tensor:
    """P_M in reciprocal space, in place: |F| becomes c where c >= 0, is cut at -c where c < 0; the phase is kept.

    field: (B, N, ...) complex64, contiguous. constraint: (N, ...) float32 (`Problem.constraint`). Returns `field`.
    """
    if field.device.type == "cpu":
        _project_modulus(field.numpy().reshape(len(field), -1), constraint.numpy().reshape(-1))
        return field
    ratio = constraint / (field.real.square() + field.imag.square() + float(TINY)).sqrt()
    return field.mul_(torch.maximum(ratio, (-ratio).clamp(max=1)))


def confine(projected: Tensor, support: Tensor) -> Tensor:
    """S P_M o, in place of `projected` (B, N, ...) complex64; support bool of the same shape."""
    if projected.device.type == "cpu":
        _confine(projected.numpy().reshape(-1), support.numpy().reshape(-1))
        return projected
    return projected.mul_(support)


def feed_back(obj: Tensor, projected: Tensor, support: Tensor, keep: float, mix: float) -> Tensor:
    """P_M o in the support, keep o + mix P_M o outside, in place of `projected`: HIO (1, -beta), RAAR (beta, 1 - 2 beta)."""
    if projected.device.type == "cpu":
        _feed_back(obj.numpy().reshape(-1), projected.numpy().reshape(-1), support.numpy().reshape(-1), np.float32(keep), np.float32(mix))
        return projected
    return projected.copy_(torch.where(support, projected, keep * obj + mix * projected))
