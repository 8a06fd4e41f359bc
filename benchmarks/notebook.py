"""The notebook of scan 54, carried out: what it shows.

python -m benchmarks.notebook aps34idc_scan54      # a minute or two; the folder with the measurement
"""

import contextlib
import io
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any, Final

import matplotlib as mpl
import typer

from benchmarks import ROOT
from training.evaluate.machine import busyness, header
from training.evaluate.tables import number, table

_NOTEBOOK: Final = ROOT / "docs/notebooks/scan54.ipynb"


def carried_out(measurement: Path, folder: Path) -> tuple[dict[str, Any], str]:
    """The names that the notebook leaves, and what it prints. Its files are written to the folder."""
    cells = json.loads(_NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    source = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    names: dict[str, Any] = {}
    os.environ["SCAN_54"] = str(measurement)
    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(source, _NOTEBOOK.name, "exec"), names)
    return names, printed.getvalue()


def main(
    measurement: Annotated[Path, typer.Argument(help="The folder of scan 54.", exists=True, file_okay=False)],
    out: Annotated[Path, typer.Option(help="The table is written to this Markdown file, its picture beside it.")] = ROOT
    / "benchmarks/results/notebook.md",
) -> None:
    """Carry it out and write the table.

    Example: python -m benchmarks.notebook aps34idc_scan54 --out /tmp/notebook.md
    """
    mpl.use("Agg")
    busy = busyness()
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        names, printed = carried_out(measurement.resolve(), Path(folder))
    seconds = time.perf_counter() - begun
    report = names["report"]
    score = report.metrics.final
    picture = out.with_suffix(".png")
    names["figure"].savefig(picture, dpi=80, bbox_inches="tight")
    rows = [
        ["diameter of a ball as large, nm", f"{1e9 * names['diameter_m']:.0f}"],
        ["distance of the planes, Å", f"{1e10 * names['spacing_m']:.4f}"],
        ["strain, rms", f"{names['spread']:.1e}"],
        ["grid", " x ".join(map(str, names["result"].support.shape))],
        ["chi2", number(score.chi2)],
        ["chi2 that Poisson noise alone leaves", number(report.metrics.noise_chi2)],
        ["free log-likelihood", number(score.free_llk)],
        ["support, voxels", str(score.support_voxels)],
        ["trust", report.trust.level],
        ["the whole notebook, s", f"{seconds:.0f}"],
    ]
    lines = [
        "# The notebook of scan 54\n",
        f"{header()}\n",
        f"What [the notebook](../../docs/notebooks/scan54.ipynb) shows as it stands, with the recipe "
        f"`{names['refine']}`; {busy[0].lower()}{busy[1:]} One command "
        "makes this page: `python -m benchmarks.notebook`.\n",
        *table(["", ""], rows),
        "What it prints:\n",
        *(
            f"    {line}"
            for line in printed.replace(str(measurement.resolve()), measurement.resolve().name).splitlines()
        ),
        "",
        f"![Amplitude, phase without its ramp, and strain in three planes]({picture.name})",
    ]
    out.write_text("\n".join(lines) + "\n")
    typer.echo(f"wrote {out}")


if __name__ == "__main__":
    typer.run(main)
