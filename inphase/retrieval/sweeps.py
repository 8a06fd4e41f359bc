"""The sweeps over the volumes: each reads and writes every voxel once. `passes` is their door, `team` runs them.

They are written without branches, on real and imaginary parts, so that the compiler vectorises them; a loop whose input
may be its output is not, hence two functions for P_M. What `words` holds is declared above each, in this order.
All that is compiled stands in this file: the compiler's cache looks for changes nowhere else.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numba
import numpy as np
from numba import carray, types  # type: ignore[attr-defined]
from numba.core import cgutils
from numba.extending import intrinsic

from inphase.retrieval.threads import FAST, Kind, sweep

TINY = np.float32(1e-30)  # keeps 0 / 0 out of the projection of an empty voxel: it stays empty

HEAD = 5  # words: next piece, starts, voxels, voxels of a piece and of a block; then address and size of each operand

RUN = 128  # voxels: whether any of them lies in the support is asked at once


def _as_pointer(typing: Any, address: Any) -> Any:
    """An address as void*."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(types.intp), code


def _raise_first(typing: Any, words: Any) -> Any:
    """The first word, which is raised by one, atomically."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.atomic_rmw("add", arguments[0], context.get_constant(types.intp, 1), "monotonic")

    return types.intp(types.CPointer(types.intp)), code  # type: ignore[no-untyped-call]


_pointer: Any = intrinsic(_as_pointer)
_claim: Any = intrinsic(_raise_first)


def _helper(function: Callable[..., Any]) -> Callable[..., Any]:
    compiled: Callable[..., Any] = numba.njit(fastmath=FAST, error_model="numpy")(function)
    return compiled


@_helper
def _pieces(words: Any) -> Iterator[tuple[int, int, int]]:
    """The pieces that this thread gets: start, first voxel, end."""
    head = carray(words, (HEAD,))
    starts, voxels, size = head[1], head[2], head[3]
    each = (voxels + size - 1) // size
    piece = _claim(words)
    while piece < starts * each:
        first = piece % each * size
        yield piece // each, first, min(first + size, voxels)
        piece = _claim(words)


@_helper
def _blocks(words: Any) -> Iterator[tuple[int, int, int, int]]:
    """The same, cut into the blocks that are summed up: start, number of the block, first voxel, end."""
    size = carray(words, (HEAD,))[4]
    for b, first, end in _pieces(words):
        for begin in range(first, end, size):
            yield b, begin // size, begin, min(begin + size, end)


@_helper
def _rows(words: Any, which: int, dtype: Any) -> Any:
    head = carray(words, (HEAD + 2 * which + 1,))
    return carray(_pointer(head[HEAD + 2 * which]), (head[1], head[2]), dtype)


@_helper
def _volume(words: Any, which: int) -> Any:
    """Operand number `which`, complex64 (B, voxels)."""
    return _rows(words, which, np.complex64)


@_helper
def _support(words: Any, which: int) -> Any:
    """Operand number `which`, bool (B, voxels)."""
    return _rows(words, which, np.bool_)


@_helper
def _real(words: Any, which: int) -> Any:
    """Operand number `which`, float32 (B, voxels)."""
    return _rows(words, which, np.float32)


@_helper
def _constraint(words: Any, which: int) -> Any:
    """Operand number `which`, float32 (1, voxels) for all starts, or (B, voxels)."""
    head = carray(words, (HEAD + 2 * which + 2,))
    rows = head[HEAD + 2 * which + 1] // head[2]
    return carray(_pointer(head[HEAD + 2 * which]), (rows, head[2]), np.float32)


@_helper
def _numbers(words: Any, which: int) -> Any:
    """Operand number `which`, float32."""
    head = carray(words, (HEAD + 2 * which + 2,))
    return carray(_pointer(head[HEAD + 2 * which]), (head[HEAD + 2 * which + 1],), np.float32)


@_helper
def _sums(words: Any, which: int) -> Any:
    """Operand number `which`, float64 (B, blocks, count)."""
    head = carray(words, (HEAD + 2 * which + 2,))
    blocks = (head[2] + head[4] - 1) // head[4]
    count = head[HEAD + 2 * which + 1] // (head[1] * blocks)
    return carray(_pointer(head[HEAD + 2 * which]), (head[1], blocks, count), np.float64)


@_helper
def _factor(power: np.float32, c: np.float32) -> np.float32:
    """What P_M multiplies a voxel of |F|^2 by: c / |F| for c >= 0, at most 1 and never above -c / |F| for c < 0."""
    ratio = c / np.sqrt(power + TINY)
    return max(ratio, min(np.float32(1), -ratio))


@sweep(Kind.VOLUME, Kind.VOLUME, Kind.SUPPORT)
def confine(words: Any) -> None:
    """obj, projected, support: obj becomes S P_M o."""
    objects, projections, supports = _volume(words, 0), _volume(words, 1), _support(words, 2)
    for b, first, end in _pieces(words):
        for begin in range(first, end, RUN):
            part = slice(begin, min(begin + RUN, end))
            o, p, s = objects[b, part], projections[b, part], supports[b, part]
            if s.any():
                for k in range(o.size):
                    inside = np.float32(s[k])
                    o[k] = complex(p[k].real * inside, p[k].imag * inside)
            else:
                o[:] = 0


@sweep(Kind.VOLUME, Kind.VOLUME, Kind.SUPPORT, Kind.NUMBERS)
def feed_back(words: Any) -> None:
    """obj, projected, support, (keep, mix): obj becomes P_M o inside the support, keep * obj + mix * P_M o outside."""
    objects, projections, supports, factors = (
        _volume(words, 0),
        _volume(words, 1),
        _support(words, 2),
        _numbers(words, 3),
    )
    keep, mix = factors[0], factors[1]
    for b, first, end in _pieces(words):
        o, p, s = objects[b, first:end], projections[b, first:end], supports[b, first:end]
        for k in range(o.size):
            inside = np.float32(s[k])
            outside = np.float32(1) - inside
            x, y = outside * keep, outside * mix + inside
            o[k] = complex(x * o[k].real + y * p[k].real, x * o[k].imag + y * p[k].imag)


@sweep(Kind.VOLUME, Kind.SUPPORT, Kind.NUMBERS)
def relax(words: Any) -> None:
    """obj, support, (factor,): obj is multiplied by the factor outside the support."""
    objects, supports, outer = _volume(words, 0), _support(words, 1), _numbers(words, 2)[0]
    for b, first, end in _pieces(words):
        o, s = objects[b, first:end], supports[b, first:end]
        for k in range(o.size):
            inside = np.float32(s[k])
            scale = inside + (np.float32(1) - inside) * outer
            o[k] = complex(scale * o[k].real, scale * o[k].imag)


@sweep(Kind.VOLUME, Kind.VOLUME, Kind.VOLUME, Kind.SUPPORT, Kind.NUMBERS)
def difference_map(words: Any) -> None:
    """obj, projected, second, support, (beta,): obj becomes (1 + beta) P_M o inside, beta * obj outside,
    less beta * second.
    """
    objects, projections, seconds = _volume(words, 0), _volume(words, 1), _volume(words, 2)
    supports, beta = _support(words, 3), _numbers(words, 4)[0]
    for b, first, end in _pieces(words):
        part = slice(first, end)
        o, p, q, s = objects[b, part], projections[b, part], seconds[b, part], supports[b, part]
        for k in range(o.size):
            inside = np.float32(s[k])
            x, y = (np.float32(1) - inside) * beta, inside * (np.float32(1) + beta)
            o[k] = complex(
                x * o[k].real + y * p[k].real - beta * q[k].real, x * o[k].imag + y * p[k].imag - beta * q[k].imag
            )


@sweep(Kind.VOLUME, Kind.VOLUME, Kind.CONSTRAINT, Kind.SUMS)
def curvature(words: Any) -> None:
    """field, along, constraint, sums: the loss's second derivative along a direction and its upper bound
    (`passes.curvature`).
    """
    fields, directions, known, parts = _volume(words, 0), _volume(words, 1), _constraint(words, 2), _sums(words, 3)
    for b, block, first, end in _blocks(words):
        part = slice(first, end)
        f, g, c = fields[b, part], directions[b, part], known[b % len(known), part]
        curve, bound = np.float32(0), np.float32(0)
        for k in range(f.size):
            modulus2 = f[k].real * f[k].real + f[k].imag * f[k].imag + TINY
            power = g[k].real * g[k].real + g[k].imag * g[k].imag
            radial = f[k].real * g[k].real + f[k].imag * g[k].imag
            held = abs(c[k]) / np.sqrt(modulus2)
            bend = power - held * (power - radial * radial / modulus2)
            curve += bend if c[k] >= 0 or held < 1 else np.float32(0)
            bound += power
        parts[b, block, 0], parts[b, block, 1] = curve, bound


@sweep(Kind.VOLUME, Kind.VOLUME, Kind.NUMBERS)
def step(words: Any) -> None:
    """field, along, (length of each start): field becomes field + length * along."""
    fields, directions = _volume(words, 0), _volume(words, 1)
    lengths = _numbers(words, 2)
    for b, first, end in _pieces(words):
        f, d, t = fields[b, first:end], directions[b, first:end], lengths[b]
        for k in range(f.size):
            f[k] = complex(f[k].real + t * d[k].real, f[k].imag + t * d[k].imag)


@sweep(Kind.VOLUME, Kind.CONSTRAINT)
def project_modulus(words: Any) -> None:
    """field, constraint: field becomes P_M F."""
    fields, known = _volume(words, 0), _constraint(words, 1)
    for b, first, end in _pieces(words):
        f, c = fields[b, first:end], known[b % len(known), first:end]
        for k in range(f.size):
            scale = _factor(f[k].real * f[k].real + f[k].imag * f[k].imag, c[k])
            f[k] = complex(f[k].real * scale, f[k].imag * scale)


@sweep(Kind.VOLUME, Kind.CONSTRAINT, Kind.VOLUME)
def project_into(words: Any) -> None:
    """field, constraint, out: out becomes P_M F."""
    fields, known, targets = _volume(words, 0), _constraint(words, 1), _volume(words, 2)
    for b, first, end in _pieces(words):
        f, c, target = fields[b, first:end], known[b % len(known), first:end], targets[b, first:end]
        for k in range(f.size):
            scale = _factor(f[k].real * f[k].real + f[k].imag * f[k].imag, c[k])
            target[k] = complex(f[k].real * scale, f[k].imag * scale)


@sweep(Kind.VOLUME, Kind.REAL, Kind.CONSTRAINT, Kind.REAL)
def coherent(words: Any) -> None:
    """field, blurred, constraint, out: out becomes c |F| / sqrt(blurred) where c >= 0, c elsewhere."""
    fields, intensities, known, targets = _volume(words, 0), _real(words, 1), _constraint(words, 2), _real(words, 3)
    for b, first, end in _pieces(words):
        f, power, c = fields[b, first:end], intensities[b, first:end], known[b % len(known), first:end]
        target = targets[b, first:end]
        for k in range(f.size):
            share = np.sqrt((f[k].real * f[k].real + f[k].imag * f[k].imag) / (power[k] + TINY))
            target[k] = c[k] * share if c[k] >= 0 else c[k]


@sweep(Kind.VOLUME, Kind.REAL)
def intensity(words: Any) -> None:
    """field, out: out becomes |F|^2."""
    fields, targets = _volume(words, 0), _real(words, 1)
    for b, first, end in _pieces(words):
        f, target = fields[b, first:end], targets[b, first:end]
        for k in range(f.size):
            target[k] = f[k].real * f[k].real + f[k].imag * f[k].imag


@sweep(Kind.VOLUME, Kind.CONSTRAINT, Kind.SUMS)
def overlap(words: Any) -> None:
    """field, constraint, sums: |F| c and |F|^2 where c >= 0."""
    fields, known, parts = _volume(words, 0), _constraint(words, 1), _sums(words, 2)
    for b, block, first, end in _blocks(words):
        part = slice(first, end)
        f, c = fields[b, part], known[b % len(known), part]
        product, power = np.float32(0), np.float32(0)
        for k in range(f.size):
            square = f[k].real * f[k].real + f[k].imag * f[k].imag
            square = square if c[k] >= 0 else np.float32(0)
            product += np.sqrt(square) * max(c[k], np.float32(0))
            power += square
        parts[b, block, 0], parts[b, block, 1] = product, power


@sweep(Kind.REAL, Kind.CONSTRAINT, Kind.SUMS)
def overlap_blurred(words: Any) -> None:
    """blurred, constraint, sums: those of `overlap`, `blurred` taken for |F|^2."""
    intensities, known, parts = _real(words, 0), _constraint(words, 1), _sums(words, 2)
    for b, block, first, end in _blocks(words):
        part = slice(first, end)
        i, c = intensities[b, part], known[b % len(known), part]
        product, power = np.float32(0), np.float32(0)
        for k in range(i.size):
            square = i[k] if c[k] >= 0 else np.float32(0)
            product += np.sqrt(square) * max(c[k], np.float32(0))
            power += square
        parts[b, block, 0], parts[b, block, 1] = product, power


@sweep(Kind.REAL, Kind.CONSTRAINT)
def quotient(words: Any) -> None:
    """blurred, constraint: blurred becomes c^2 / blurred where c >= 0, 0 elsewhere."""
    intensities, known = _real(words, 0), _constraint(words, 1)
    for b, first, end in _pieces(words):
        i, c = intensities[b, first:end], known[b % len(known), first:end]
        for k in range(i.size):
            seen = max(c[k], np.float32(0))
            i[k] = seen * seen / max(i[k], TINY)


@sweep(Kind.VOLUME, Kind.VOLUME, Kind.SUMS)
def amplitude(words: Any) -> None:
    """obj, out, sums: out becomes |o| + 0i; sums of |o|."""
    objects, targets, parts = _volume(words, 0), _volume(words, 1), _sums(words, 2)
    for b, block, first, end in _blocks(words):
        part = slice(first, end)
        o, target = objects[b, part], targets[b, part]
        total = np.float32(0)
        for k in range(o.size):
            modulus = np.sqrt(o[k].real * o[k].real + o[k].imag * o[k].imag)
            target[k] = complex(modulus, np.float32(0))
            total += modulus
        parts[b, block, 0] = total


@sweep(Kind.VOLUME, Kind.NUMBERS, Kind.NUMBERS)
def weigh(words: Any) -> None:
    """volume, rows, last: volume is multiplied by the weight of its row times that of its place on the last axis."""
    volumes, rows, last = _volume(words, 0), _numbers(words, 1), _numbers(words, 2)
    length = last.size
    for b, first, end in _pieces(words):
        for row in range(first // length, (end - 1) // length + 1):
            begin, stop = max(first, row * length), min(end, (row + 1) * length)
            v, w, weight = volumes[b, begin:stop], last[begin - row * length : stop - row * length], rows[row]
            for k in range(v.size):
                scale = weight * w[k]
                v[k] = complex(scale * v[k].real, scale * v[k].imag)


@sweep(Kind.VOLUME, Kind.NUMBERS, Kind.SUMS)
def moments(words: Any) -> None:
    """smooth, (scale of each start), sums: a^2 and a^4 of the real part times the scale."""
    volumes, parts = _volume(words, 0), _sums(words, 2)
    scales = _numbers(words, 1)
    for b, block, first, end in _blocks(words):
        scale = scales[b]
        a = volumes[b, first:end]
        second, fourth = np.float32(0), np.float32(0)
        for k in range(a.size):
            square = (a[k].real * scale) * (a[k].real * scale)
            second += square
            fourth += square * square
        parts[b, block, 0], parts[b, block, 1] = second, fourth


@sweep(Kind.VOLUME, Kind.NUMBERS, Kind.SUPPORT)
def above(words: Any) -> None:
    """smooth, (cut of each start), support: where the real part is at least the cut."""
    volumes, supports = _volume(words, 0), _support(words, 2)
    cuts = _numbers(words, 1)
    for b, first, end in _pieces(words):
        a, s, least = volumes[b, first:end], supports[b, first:end], cuts[b]
        for k in range(a.size):
            s[k] = a[k].real >= least
