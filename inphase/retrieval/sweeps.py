"""Compiled sweeps over the volumes (numba): each reads and writes every voxel once. `passes` is their door.

They are written without branches, on real and imaginary parts, so that the compiler vectorises them, and run on one
thread: at 64^3 a sweep is shorter than waking a second thread of another pool than torch's, at 128^3 memory bounds it.
Volumes are (B, voxels) complex64, C order, supports (B, voxels) bool, constraints (voxels,) float32.
"""

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

P = ParamSpec("P")
R = TypeVar("R")

TINY = np.float32(1e-30)  # keeps 0 / 0 out of the projection of an empty voxel: it stays empty

# sums run in single precision over blocks, vectorised, and in double over the blocks: relative error below 1e-6
BLOCK = 4096

# without "ninf" and "nnan": a constraint of -inf means "keep"
FAST = {"contract", "reassoc", "arcp", "nsz", "afn"}


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile at the first call; the machine code is cached next to this file, else in the user's cache folder."""
    try:
        return cast(Callable[P, R], numba.njit(fastmath=FAST, error_model="numpy", nogil=True, cache=True)(function))
    except RuntimeError:  # neither can be written: compile in every process, which takes seconds
        return cast(Callable[P, R], numba.njit(fastmath=FAST, error_model="numpy", nogil=True)(function))


@compiled
def confine(projected: NDArray[np.complex64], support: NDArray[np.bool_]) -> None:
    """projected becomes S P_M o."""
    for b in range(projected.shape[0]):
        p, s = projected[b], support[b]
        for k in range(p.size):
            inside = np.float32(s[k])
            p[k] = complex(p[k].real * inside, p[k].imag * inside)


@compiled
def feed_back(
    obj: NDArray[np.complex64],
    projected: NDArray[np.complex64],
    support: NDArray[np.bool_],
    keep: np.float32,
    mix: np.float32,
) -> None:
    """projected becomes itself inside the support, keep * obj + mix * projected outside."""
    for b in range(projected.shape[0]):
        o, p, s = obj[b], projected[b], support[b]
        for k in range(p.size):
            inside = np.float32(s[k])
            outside = np.float32(1) - inside
            x, y = outside * keep, outside * mix + inside
            p[k] = complex(x * o[k].real + y * p[k].real, x * o[k].imag + y * p[k].imag)


@compiled
def difference_map(
    obj: NDArray[np.complex64],
    projected: NDArray[np.complex64],
    second: NDArray[np.complex64],
    support: NDArray[np.bool_],
    beta: np.float32,
) -> None:
    """projected becomes (1 + beta) times itself inside the support, obj outside, less beta * second."""
    for b in range(projected.shape[0]):
        o, p, q, s = obj[b], projected[b], second[b], support[b]
        for k in range(p.size):
            inside = np.float32(s[k])
            x, y = np.float32(1) - inside, inside * (np.float32(1) + beta)
            p[k] = complex(
                x * o[k].real + y * p[k].real - beta * q[k].real, x * o[k].imag + y * p[k].imag - beta * q[k].imag
            )


@compiled
def gradient(
    obj: NDArray[np.complex64],
    projected: NDArray[np.complex64],
    support: NDArray[np.bool_],
    previous: NDArray[np.complex64],
    direction: NDArray[np.complex64],
    sums: NDArray[np.float64],
) -> None:
    """projected becomes g = o - P_M o inside the support, nothing is touched outside; sums: g.g, g.(g - previous), g.direction."""
    for b in range(obj.shape[0]):
        square, change, slope = np.float64(0), np.float64(0), np.float64(0)
        o, p, s, q, d = obj[b], projected[b], support[b], previous[b], direction[b]
        for k in range(o.size):
            if s[k]:  # a branch: the support is a small part of the grid, and it is connected
                x, y = o[k].real - p[k].real, o[k].imag - p[k].imag
                square += x * x + y * y
                change += x * (x - q[k].real) + y * (y - q[k].imag)
                slope += x * d[k].real + y * d[k].imag
                p[k] = complex(x, y)
        sums[b, 0], sums[b, 1], sums[b, 2] = square, change, slope


@compiled
def curvature(
    field: NDArray[np.complex64],
    along: NDArray[np.complex64],
    constraint: NDArray[np.float32],
    sums: NDArray[np.float64],
) -> None:
    """sums: the loss's second derivative along a direction and its upper bound per start (`passes.curvature`)."""
    for b in range(field.shape[0]):
        curve, bound = np.float64(0), np.float64(0)
        for first in range(0, field.shape[1], BLOCK):
            f, g, c = (
                field[b, first : first + BLOCK],
                along[b, first : first + BLOCK],
                constraint[first : first + BLOCK],
            )
            part, whole = np.float32(0), np.float32(0)
            for k in range(f.size):
                modulus2 = f[k].real * f[k].real + f[k].imag * f[k].imag + TINY
                power = g[k].real * g[k].real + g[k].imag * g[k].imag
                radial = f[k].real * g[k].real + f[k].imag * g[k].imag
                held = abs(c[k]) / np.sqrt(modulus2)
                bend = power - held * (power - radial * radial / modulus2)
                part += bend if c[k] >= 0 or held < 1 else np.float32(0)
                whole += power
            curve += part
            bound += whole
        sums[b, 0], sums[b, 1] = curve, bound


@compiled
def redirect(
    direction: NDArray[np.complex64],
    gradient: NDArray[np.complex64],
    support: NDArray[np.bool_],
    ratio: NDArray[np.float32],
) -> None:
    """direction becomes ratio * direction - gradient inside the support, 0 outside."""
    for b in range(direction.shape[0]):
        d, g, s, r = direction[b], gradient[b], support[b], ratio[b]
        for k in range(d.size):
            inside = np.float32(s[k])
            d[k] = complex(inside * (r * d[k].real - g[k].real), inside * (r * d[k].imag - g[k].imag))


@compiled
def step(obj: NDArray[np.complex64], direction: NDArray[np.complex64], length: NDArray[np.float32]) -> None:
    """obj becomes obj + length * direction."""
    for b in range(obj.shape[0]):
        o, d, t = obj[b], direction[b], length[b]
        for k in range(o.size):
            o[k] = complex(o[k].real + t * d[k].real, o[k].imag + t * d[k].imag)


@compiled
def factor(f: np.complex64, c: np.float32) -> np.float32:
    """What P_M multiplies a voxel by: c / |F| for c >= 0, at most 1 and never above -c / |F| for c < 0."""
    ratio = c / np.sqrt(f.real * f.real + f.imag * f.imag + TINY)
    return max(ratio, min(np.float32(1), -ratio))


@compiled
def project_modulus(field: NDArray[np.complex64], constraint: NDArray[np.float32]) -> None:
    """field becomes P_M F."""
    for b in range(field.shape[0]):
        f = field[b]
        for k in range(f.size):
            scale = factor(f[k], constraint[k])
            f[k] = complex(f[k].real * scale, f[k].imag * scale)


@compiled
def project_into(field: NDArray[np.complex64], constraint: NDArray[np.float32], out: NDArray[np.complex64]) -> None:
    """out becomes P_M F. Another function, because a loop whose input may be its output is not vectorised."""
    for b in range(field.shape[0]):
        f, target = field[b], out[b]
        for k in range(f.size):
            scale = factor(f[k], constraint[k])
            target[k] = complex(f[k].real * scale, f[k].imag * scale)


@compiled
def overlap(field: NDArray[np.complex64], constraint: NDArray[np.float32], sums: NDArray[np.float64]) -> None:
    """sum |F| c and sum |F|^2 where c >= 0, per start."""
    for b in range(field.shape[0]):
        product, power = np.float64(0), np.float64(0)
        for first in range(0, field.shape[1], BLOCK):
            f, c = field[b, first : first + BLOCK], constraint[first : first + BLOCK]
            part, whole = np.float32(0), np.float32(0)
            for k in range(f.size):
                square = f[k].real * f[k].real + f[k].imag * f[k].imag
                square = square if c[k] >= 0 else np.float32(0)
                part += np.sqrt(square) * max(c[k], np.float32(0))
                whole += square
            product += part
            power += whole
        sums[b, 0], sums[b, 1] = product, power


@compiled
def amplitude(obj: NDArray[np.complex64], out: NDArray[np.complex64], sums: NDArray[np.float64]) -> None:
    """out becomes |o| + 0i; sums: of |o| per start."""
    for b in range(obj.shape[0]):
        total = np.float64(0)
        for first in range(0, obj.shape[1], BLOCK):
            o, target = obj[b, first : first + BLOCK], out[b, first : first + BLOCK]
            part = np.float32(0)
            for k in range(o.size):
                modulus = np.sqrt(o[k].real * o[k].real + o[k].imag * o[k].imag)
                target[k] = complex(modulus, np.float32(0))
                part += modulus
            total += part
        sums[b] = total


@compiled
def weigh(volume: NDArray[np.complex64], weights: NDArray[np.float32]) -> None:
    """volume becomes weights * volume; weights (voxels,)."""
    for b in range(volume.shape[0]):
        v = volume[b]
        for k in range(v.size):
            v[k] = complex(weights[k] * v[k].real, weights[k] * v[k].imag)


@compiled
def moments(smooth: NDArray[np.complex64], scale: NDArray[np.float32], sums: NDArray[np.float64]) -> None:
    """sum a^2 and sum a^4 of the real part times `scale`, per start."""
    for b in range(smooth.shape[0]):
        second, fourth = np.float64(0), np.float64(0)
        factor = scale[b]
        for first in range(0, smooth.shape[1], BLOCK):
            a = smooth[b, first : first + BLOCK]
            part, whole = np.float32(0), np.float32(0)
            for k in range(a.size):
                square = (a[k].real * factor) * (a[k].real * factor)
                part += square
                whole += square * square
            second += part
            fourth += whole
        sums[b, 0], sums[b, 1] = second, fourth


@compiled
def above(smooth: NDArray[np.complex64], cut: NDArray[np.float32], support: NDArray[np.bool_]) -> None:
    """Where the real part is at least `cut`."""
    for b in range(smooth.shape[0]):
        a, s, least = smooth[b], support[b], cut[b]
        for k in range(a.size):
            s[k] = a[k].real >= least
