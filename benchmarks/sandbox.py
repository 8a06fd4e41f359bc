"""What it costs to read a measurement in a process of its own (service.sandbox), beside reading it in place.

python -m benchmarks.sandbox            # some ten seconds
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

import h5py
import hdf5plugin
import numpy as np
import typer

from benchmarks import ROOT
from inphase.formats import FileReading, Limits, RawScan, Reading, npz, read_as
from inphase.pattern import Domain
from service.sandbox.order import BodyOrder, FileOrder
from service.sandbox.sandbox import Sandbox
from training.evaluate.machine import busyness, header
from training.evaluate.tables import table

_PAUSE_S: Final = 0.1  # in which the template prepares the next process, as it does between requests
_REPEATS: Final = 15


def file_cost(sandbox: Sandbox, path: Path, title: str) -> list[str]:
    """A row for a file."""
    return _row(
        title,
        lambda: read_as(path, Reading(), Domain.COUNTS, Limits()),
        lambda: sandbox.read(FileOrder(path)),
    )


def body_cost(sandbox: Sandbox, scratch: Path, archive: bytes, title: str) -> list[str]:
    """A row for a body, which lies in a folder of its own."""
    with tempfile.TemporaryDirectory(dir=scratch) as name:
        path = Path(name) / "body.npz"
        path.write_bytes(archive)
        return _row(
            title, lambda: npz.read(FileReading(path)), lambda: sandbox.read_body(BodyOrder(path), lambda *_: None)
        )


def _row(title: str, in_place: Callable[[], object], apart: Callable[[], object]) -> list[str]:
    pairs = [(_ms(in_place), _ms(apart)) for _ in range(_REPEATS + 1)][1:]
    first, second = (statistics.median(side) for side in zip(*pairs, strict=True))
    return [title, f"{first:.1f}", f"{second:.1f}", f"{second - first:.1f}"]


def _ms(action: Callable[[], object]) -> float:
    time.sleep(_PAUSE_S)
    start = time.perf_counter()
    action()
    return (time.perf_counter() - start) * 1e3


def _rows(sandbox: Sandbox, folder: Path, scratch: Path) -> list[list[str]]:
    counts = np.random.default_rng(0).poisson(0.3, (201, 256, 256)).astype(np.uint16)
    small = counts[:64, :64, :64]
    with h5py.File(folder / "scan.h5", "w") as file:
        file.create_dataset("entry/data", data=counts, chunks=(1, 256, 256), **hdf5plugin.Bitshuffle())
    np.save(folder / "scan.npy", small)
    return [
        file_cost(sandbox, folder / "scan.h5", "HDF5 file, 201 x 256 x 256, bitshuffle, uint16"),
        file_cost(sandbox, folder / "scan.npy", "npy file, 64^3, uint16"),
        body_cost(sandbox, scratch, npz.encode(RawScan(small, None, "", "")), "npz body, 64^3, uint16"),
    ]


def main(
    out: Annotated[Path, typer.Option(help="The table is written to this Markdown file.")] = ROOT
    / "benchmarks/results/sandbox.md",
) -> None:
    """Measure and write the table.

    Example: python -m benchmarks.sandbox --out /tmp/sandbox.md
    """
    busy = busyness()
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory() as other:
        folder, scratch = Path(name).resolve(), Path(other).resolve()
        with Sandbox(10.0, (folder,), scratch) as sandbox:
            rows = _rows(sandbox, folder, scratch)
    lines = ["# Reading in a process of its own\n", f"{header()}\n"]
    lines.append(
        f"Median of {_REPEATS} readings, taken in turn. {busy} One command makes this page: "
        "`python -m benchmarks.sandbox`.\n"
    )
    lines += table(["measurement", "in place / ms", "process of its own / ms", "difference / ms"], rows)
    out.write_text("\n".join(lines) + "\n")
    typer.echo(f"wrote {out}")


if __name__ == "__main__":
    typer.run(main)
