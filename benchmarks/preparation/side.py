"""One side of the comparison: prepares measurements with whichever inphase PYTHONPATH leads to.

Reads the name of a case from every line of its input and answers with a line of JSON: milliseconds of each stage and of
all processors, the most memory that it took, and a digest of everything that came out.
"""

import ctypes
import dataclasses
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import scipy.fft
from numpy.typing import NDArray

import inphase
from inphase import formats
from inphase.formats import RawScan
from inphase.imaging.clock import Clock
from inphase.imaging.options import Options
from inphase.imaging.way import begin, judge, prepare
from inphase.models.repository import Repository
from inphase.models.session import Session, Sessions

CHECKOUT: Final = Path(inphase.__file__).parents[1]
SCAN_54: Final = Path(os.environ.get("INPHASE_REAL_DATA", "")) / "aps34idc_scan54"
SHAPE: Final = (201, 256, 256)

Arrays = Mapping[str, NDArray[Any]]


def main() -> None:
    """Answer until there is no other line."""
    for line in sys.stdin:
        clock, peak, begun = Clock(), _Peak(), time.process_time()
        arrays, report = CASES[line.strip()](clock)
        busy = (time.process_time() - begun) * 1e3
        told = {"ms": clock.ms, "busy_ms": busy, "mib": peak.grown() / 2**20, "digest": _digest(arrays, report)}
        print(json.dumps(told), flush=True)


def _scan_54(grid: str) -> Callable[[Clock], tuple[Arrays, object]]:
    return lambda clock: _prepared(_raw_54(), Options(grid=grid), clock)


@cache
def _raw_54() -> RawScan:
    return formats.read(
        SCAN_54 / "raw_tif", dark=SCAN_54 / "dark.tif", flat=SCAN_54 / "whitefield.tif", roi="0:256,0:256"
    )


def _modules(clock: Clock) -> tuple[Arrays, object]:
    return _prepared(_with_gaps(), Options(grid="model"), clock)


def _prepared(raw: RawScan, options: Options, clock: Clock) -> tuple[Arrays, object]:
    done = prepare(raw, options, None, clock)
    return done.prepared.to_arrays(), done.report


def _body(clock: Clock) -> tuple[Arrays, object]:
    prepared, report = begin(_pattern(), Options(refine="none", grid="model"), _session(), clock)
    result = judge(prepared, report, prepared.guess, clock)
    return {**prepared.to_arrays(), **{f"result_{name}": array for name, array in result.arrays.items()}}, result.report


@cache
def _session() -> Session:
    return Sessions(Repository(CHECKOUT / "models", "")).get("inphase-bcdi")


@cache
def _pattern() -> RawScan:
    """A faceted crystal on the grid of the network, 3e6 photons."""
    return RawScan(_counts((64, 64, 64), (18.0, 16.0, 14.0), 3e6).astype(np.int32), None, "simulated", "")


@cache
def _with_gaps() -> RawScan:
    """A rocking curve of a detector of modules, whose gaps hold 65535 in uint16."""
    counts = np.minimum(_counts(SHAPE, (24.0, 54.0, 76.0), 5e7), 60_000).astype(np.uint16)
    counts[:, 100:104] = counts[:, :, 180:190] = 65_535
    return RawScan(counts, None, "simulated", "")


def _counts(shape: tuple[int, ...], sides: tuple[float, ...], photons: float) -> NDArray[np.int64]:
    """sides: of the crystal, in voxels of the grid that its far field is calculated on."""
    z, y, x = np.meshgrid(*(np.arange(n) - n // 2 for n in shape), indexing="ij", sparse=True)
    a, b, c = sides
    inside = (2 * np.abs(z) < a) & (2 * np.abs(y + x / 4) < b) & (2 * np.abs(x - z / 3) < c) & (y + x < (b + c) / 3)
    crystal = (inside * np.exp(0.5j * np.sin((z + x / 2) / 8))).astype(np.complex64)
    light = np.abs(scipy.fft.fftshift(scipy.fft.fftn(scipy.fft.ifftshift(crystal), workers=-1))) ** 2
    rate = light * (photons / light.sum(dtype=np.float64)) + 0.02
    counts: NDArray[np.int64] = np.random.default_rng(0).poisson(rate)
    return counts


class _Peak:
    """The most memory of this process beyond what it has at first."""

    def __init__(self) -> None:
        ctypes.CDLL(None).malloc_trim(0)  # what a run before has left counts as this one's otherwise, or not at all
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        self._first = _status("VmRSS")

    def grown(self) -> int:
        """In bytes, until now."""
        return _status("VmHWM") - self._first


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def _digest(arrays: Arrays, report: Any) -> str:
    """Of every bit of the arrays, and of the report but for its times."""
    told = dataclasses.asdict(dataclasses.replace(report, timings_ms={}, created=""))
    sha = hashlib.sha256(json.dumps(told, default=str, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        sha.update(f"{name}{array.dtype}{array.shape}".encode())
        sha.update(np.ascontiguousarray(array).tobytes())
    return sha.hexdigest()


CASES: Final[Mapping[str, Callable[[Clock], tuple[Arrays, object]]]] = {
    "scan 54, model grid": _scan_54("model"),
    "scan 54, finest grid": _scan_54("auto"),
    "modules": _modules,
    "body": _body,
}

if __name__ == "__main__":
    main()
