"""Compiled sweeps over memory (numba) that share the threads of torch's FFTs.

torch's OpenMP threads keep spinning for milliseconds after an FFT, so threads of any other pool would fight them for
the cores. A sweep is therefore a C function that torch's own team enters; whoever is free claims the next piece of it.
What a piece computes does not depend on who claims it: results are the same bits on any number of threads.
"""

import ctypes
import os
import threading
from collections.abc import Callable
from enum import Enum
from typing import Any

import numba
import torch
from numba import types
from torch import Tensor

# sums run in single precision over blocks, vectorised, and in double over the blocks: relative error below 1e-6
BLOCK = 4096
PIECE = 4 * BLOCK  # voxels claimed at a time

# without "ninf" and "nnan": a constraint of -inf means "keep"
FAST = {"contract", "reassoc", "arcp", "nsz", "afn"}

_FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_SIGNATURE: Any = types.void(types.CPointer(types.intp))  # type: ignore[no-untyped-call]


class Kind(Enum):
    """What an operand of a sweep is."""

    VOLUME = "volume"  # (B, N, ...) complex64
    SUPPORT = "support"  # (B, N, ...) bool
    REAL = "real"  # (B, N, ...) float32
    CONSTRAINT = "constraint"  # (N, ...) float32 for all starts, or (B, N, ...)
    NUMBERS = "numbers"  # any number of float32
    SUMS = "sums"  # (B, blocks, any) float64: one row for each block of each start


_TYPES = {
    Kind.VOLUME: torch.complex64,
    Kind.SUPPORT: torch.bool,
    Kind.REAL: torch.float32,
    Kind.CONSTRAINT: torch.float32,
    Kind.NUMBERS: torch.float32,
    Kind.SUMS: torch.float64,
}


class Sweep:
    """A sweep over operands of these kinds; the first tells the number of starts and of voxels."""

    def __init__(self, body: Callable[[Any], None], kinds: tuple[Kind, ...]) -> None:
        self._body = body
        self._kinds = kinds
        self._types = tuple(_TYPES[kind] for kind in kinds)
        self._lock = threading.Lock()
        self._made: Any = None
        self._entry: tuple[int, Callable[[Any], Any]] | None = None

    def __call__(self, *operands: Tensor) -> None:
        starts = operands[0].shape[0]
        voxels = operands[0].numel() // starts
        for operand, kind, dtype in zip(operands, self._kinds, self._types, strict=True):
            if not _fits(operand, kind, dtype, starts, voxels):
                raise TypeError(f"{self._body.__name__}: {operand.dtype} {tuple(operand.shape)} is no {kind.name}")
        places = [word for operand in operands for word in (operand.data_ptr(), operand.numel())]
        words = (ctypes.c_ssize_t * (5 + len(places)))(0, starts, voxels, PIECE, BLOCK, *places)
        address, function = self._entry or self._compiled()
        threads = torch.get_num_threads()
        if threads > 1 and starts * voxels > PIECE and _parallel is not None:
            _parallel(address, words, threads, 0)
        else:
            function(words)

    def _compiled(self) -> tuple[int, Callable[[Any], Any]]:
        """Machine code of the first call, cached next to this package, else in the user's cache folder."""
        with self._lock:
            if self._entry is None:
                options: dict[str, Any] = {"fastmath": FAST, "error_model": "numpy"}
                try:
                    made = numba.cfunc(_SIGNATURE, cache=True, **options)(self._body)
                except RuntimeError:  # neither can be written: compile in every process, which takes seconds
                    made = numba.cfunc(_SIGNATURE, **options)(self._body)
                self._made = made  # whose memory holds the code
                address: int = made.address  # type: ignore[assignment]
                self._entry = address, _FUNCTION(address)
        return self._entry


def sweep(*kinds: Kind) -> Callable[[Callable[[Any], None]], Sweep]:
    """Declare the operands of a sweep. Its body takes them as C does, and looks at them through the functions below."""
    return lambda body: Sweep(body, kinds)


def _fits(operand: Tensor, kind: Kind, dtype: torch.dtype, starts: int, voxels: int) -> bool:
    """Whether a sweep may trust the operand's address. On small grids this takes a share of the time that counts."""
    if operand.dtype is not dtype or not operand.is_cpu or not operand.is_contiguous():
        return False
    if kind is Kind.CONSTRAINT:
        return operand.numel() in (voxels, starts * voxels)
    if kind is Kind.NUMBERS:
        return True
    if kind is Kind.SUMS:
        return operand.shape[:2] == (starts, -(-voxels // BLOCK))
    return operand.numel() == starts * voxels


def _openmp() -> Any:
    """What enters a function with the team of the OpenMP runtime that torch has loaded;
    None where torch uses another kind.
    """
    try:
        enter = ctypes.CDLL("libgomp.so.1", mode=os.RTLD_NOLOAD).GOMP_parallel
    except (OSError, AttributeError):
        return None
    enter.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
    enter.restype = None
    return enter


_parallel = _openmp()
