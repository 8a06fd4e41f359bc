"""What a measurement costs in memory while it is read, cleaned and predicted, for each of its voxels.

python -m benchmarks.memory            # a minute or two
"""

import multiprocessing
import os
import tempfile
from pathlib import Path
from typing import Annotated, Final

import h5py
import hdf5plugin
import numpy as np
import typer
from numpy.typing import NDArray

from benchmarks import ROOT
from inphase.formats import RawScan
from inphase.imaging.clock import Clock
from inphase.imaging.options import Options
from inphase.imaging.way import begin, judge
from inphase.models.repository import DEFAULT, Repository, default_root
from inphase.models.session import Sessions
from service.door.budget import working_bytes
from service.sandbox.answer import Writer
from service.sandbox.order import FileOrder
from service.sandbox.template import carry_out
from training.evaluate.machine import header
from training.evaluate.tables import table

_DTYPES: Final = ("uint8", "uint16", "float32")
_CLEANED: Final = (200, 400, 400)
_READ: Final = (100, 256, 256)


def crystal(shape: tuple[int, int, int], dtype: str) -> NDArray[np.generic]:
    """Counts with a peak in the middle, frame by frame, so that making them costs little memory."""
    rng = np.random.default_rng(0)
    array = np.empty(shape, dtype)
    row, column = (((np.arange(n) - n // 2) * 30 / n) ** 2 for n in shape[1:])
    for frame in range(shape[0]):
        squared = ((frame - shape[0] // 2) * 30 / shape[0]) ** 2 + row[:, None] + column[None, :]
        array[frame] = np.minimum(rng.poisson(200 / (1 + squared) ** 2 + 0.02), 250)
    return array


def working(dtype: str) -> tuple[float, float]:
    """Bytes at the peak for each voxel of a body, and megabytes of the process at rest."""
    session = Sessions(Repository(default_root(), DEFAULT), 1).get(None)
    options = Options(refine="none")

    def work(array: NDArray[np.generic]) -> None:
        prepared, report = begin(RawScan(array, None, "", ""), options, session, Clock())
        judge(prepared, report, prepared.guess, Clock())

    work(crystal((64, 64, 64), dtype))
    rest = _memory("VmRSS")
    array = crystal(_CLEANED, dtype)
    _forget_peak()
    work(array)
    return (_memory("VmHWM") - rest) / array.size, rest / 2**20


def reading(dtype: str) -> float:
    """Bytes at the peak for each voxel of a file, in the process that reads it and in the answer that it leaves."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scan.h5"
        with h5py.File(path, "w") as file:
            counts = crystal(_READ, dtype)
            file.create_dataset("entry/data", data=counts, chunks=(1, *_READ[1:]), **hdf5plugin.Bitshuffle())
            voxels = counts.size
            del counts
        rest = _memory("VmRSS")
        _forget_peak()
        answer = os.memfd_create("answer")
        carry_out(FileOrder(path), Writer(answer), lambda *_: None)
        return (_memory("VmHWM") - rest + os.fstat(answer).st_size) / voxels


def _memory(name: str) -> int:
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[name].split()[0]) * 1024


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def main(
    out: Annotated[Path, typer.Option(help="The table is written to this Markdown file.")] = ROOT
    / "benchmarks/results/memory.md",
) -> None:
    """Measure and write the table.

    Example: python -m benchmarks.memory --out /tmp/memory.md
    """
    rows, at_rest = [], 0.0
    for dtype in _DTYPES:
        with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
            peak, rest = pool.apply(working, (dtype,))
            read = pool.apply(reading, (dtype,))
        size = np.dtype(dtype).itemsize
        rows.append([dtype, str(size), f"{read:.1f}", f"{peak:.1f}", str(working_bytes(1, size))])
        at_rest = max(at_rest, rest)
    lines = ["# Memory of a measurement\n", f"{header()}\n"]
    lines.append(
        f"Bytes for each voxel, at the peak and beyond what the process has at rest ({at_rest:.0f} MB with the "
        f"default network): of a scan of {_CLEANED} that is cleaned and predicted, and of an HDF5 file of {_READ} in "
        "the process that reads it, which ends before the cleaning begins. *Counted* is what a request holds of "
        "`INPHASE_BOUNDS__BYTES_IN_FLIGHT`. One command makes this page: `python -m benchmarks.memory`.\n"
    )
    lines += table(["type", "array", "reading, with the answer", "cleaning and predicting", "counted"], rows)
    out.write_text("\n".join(lines) + "\n")
    typer.echo(f"wrote {out}")


if __name__ == "__main__":
    typer.run(main)
