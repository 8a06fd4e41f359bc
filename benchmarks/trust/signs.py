"""The table that the calibration is fitted to: one line per image, its signs and whether it is right.

    python -m benchmarks.trust.signs FOLDER TABLE

FOLDER is what `benchmarks.trust.outcomes` has left. A refined result gives two lines: of the image that the network
predicted, as refine=none answers, and of the refined one. Lines that TABLE has are kept.
"""

import csv
import json
from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inphase.errors import InphaseError
from inphase.free import free_voxels
from inphase.imaging.prepared import PreparedPattern
from inphase.imaging.report import Report
from inphase.imaging.signs import Signs
from inphase.retrieval.ensemble import Candidate

NETWORK = "none"  # the way of an image that is not refined
KNOWING = range(2000, 100_000)  # by their numbers


@dataclass(frozen=True)
class Line:
    """An image. number: of the result; way: how it was made; level: the trust; results of KNOWING have that
    of a service that knew a probability, the others that of the rules alone.
    """

    number: int
    kind: str
    way: str
    correlation: float
    level: str
    amplitude_cv: float
    signs: Signs


def lines(path: Path) -> Iterator[Line]:
    """The images of one result; none of a measurement that was refused, or whose images have no signs."""
    kept = np.load(path)
    facts = json.loads(str(kept["facts"]))
    if "refused" in facts:
        return
    if facts["report"]["ensemble"]:
        facts["report"]["ensemble"]["resolutions"] = None  # not needed, and not always finite
    report = Report.from_json(json.dumps(facts["report"]))
    prepared, best = _rebuilt(kept, report)
    assert report.trust is not None
    spread = best.metrics.amplitude_cv
    inside = report.preprocess.counts_inside
    try:
        signs = Signs.of(replace(prepared, prediction=None), best, inside)
        likeness = facts.get("guess_result")
        signs = replace(signs, likeness=likeness, agreement=_agreement(report))
        line = Line(
            facts["number"], facts["kind"], facts["way"], facts["correlation"], report.trust.level, spread, signs
        )
        yield line
        if likeness is not None:
            guess = _candidate(kept["guess"], kept["guess_support"], prepared, None)
            signs, spread = Signs.of(prepared, guess, inside), guess.metrics.amplitude_cv
            yield replace(line, way=NETWORK, correlation=facts["guess_correlation"], amplitude_cv=spread, signs=signs)
    except InphaseError:
        return


def _rebuilt(kept: Any, report: Report) -> tuple[PreparedPattern, Candidate]:
    mask = kept["mask"]
    arrays = {"modulus": kept["modulus"], "mask": mask}
    if report.input.domain == "counts":
        arrays["free"] = free_voxels(mask, report.start.seed)
    prepared = PreparedPattern.from_arrays(arrays, report)
    kernel = kept["kernel"] if "kernel" in kept.files else None
    return prepared, _candidate(kept["object"], kept["support"], prepared, kernel)


def _candidate(
    box: NDArray[np.complex64], packed: NDArray[np.uint8], prepared: PreparedPattern, kernel: NDArray[np.float32] | None
) -> Candidate:
    shape = prepared.problem.modulus.shape
    support = np.unpackbits(packed, count=int(np.prod(shape))).reshape(shape).astype(bool)
    spans = [np.flatnonzero(support.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    obj = np.zeros(shape, np.complex64)
    obj[tuple(slice(int(span[0]), int(span[-1]) + 1) for span in spans)] = box
    return Candidate(obj, support, prepared.measure(obj, support, kernel), "network", kernel)


def _agreement(report: Report) -> float | None:
    if report.ensemble is None:
        return None
    members = enumerate(report.ensemble.members)
    return max((m.correlation for n, m in members if n != report.ensemble.best), default=None)


def read(table: Path) -> list[Line]:
    """The lines of a table."""
    with table.open(newline="") as file:
        return [_line(row) for row in csv.DictReader(file, delimiter="\t")]


def _line(row: dict[str, str]) -> Line:
    signs = {f.name: float(row[f.name]) if row[f.name] else None for f in fields(Signs)}
    return Line(
        int(row["number"]), row["kind"], row["way"], float(row["correlation"]), row["level"],
        float(row["amplitude_cv"]),
        Signs(**signs),  # type: ignore[arg-type]  # only the last two may be None, and the file has the others
    )  # fmt: skip


def main() -> None:
    """Add what is new."""
    parser = ArgumentParser(
        description="Make the table of signs.",
        epilog="Example: python -m benchmarks.trust.signs runs/trust benchmarks/trust/signs.tsv",
    )
    parser.add_argument("folder", type=Path, help="benchmarks.trust.outcomes has kept its results in this folder.")
    parser.add_argument("table", type=Path, help="What is new is added to this file.")
    options = parser.parse_args()
    names = [*(f.name for f in fields(Line) if f.name != "signs"), *(f.name for f in fields(Signs))]
    have = {line.number for line in read(options.table)} if options.table.exists() else set()
    with options.table.open("a", newline="") as file:
        writer = csv.DictWriter(file, names, delimiter="\t", lineterminator="\n")
        if not have:
            writer.writeheader()
        for path in sorted(options.folder.glob("*.npz")):
            if int(path.stem) in have:
                continue
            for line in lines(path):
                values = asdict(line)
                values |= values.pop("signs")
                writer.writerow({k: f"{v:.5g}" if isinstance(v, float) else v for k, v in values.items()})
            file.flush()


if __name__ == "__main__":
    main()
