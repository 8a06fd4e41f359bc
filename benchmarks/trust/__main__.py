"""Fit the delivered calibration to benchmarks/trust/signs.tsv and write its page: a minute.

    python -m benchmarks.trust

Writes inphase/calibration.json, benchmarks/results/trust.md and trust.png.
"""

from argparse import ArgumentParser
from pathlib import Path

from benchmarks import ROOT
from benchmarks.trust.fit import fit, fitted_to, held_out, judged, of_network, refined, write
from benchmarks.trust.page import Part, figure, page
from benchmarks.trust.signs import read

TABLE = Path(__file__).parent / "signs.tsv"
APART = Path(__file__).parent / "apart.tsv"  # results that no fit and no choice has seen
RESULTS = ROOT / "benchmarks" / "results"


def main() -> None:
    """Fit, test, write."""
    ArgumentParser(
        description="Fit the calibration that inphase delivers to benchmarks/trust/signs.tsv, test it, also on "
        "benchmarks/trust/apart.tsv, and write both it (inphase/calibration.json) and its page "
        "(benchmarks/results/trust.md, trust.png).",
        epilog="Example: python -m benchmarks.trust",
    ).parse_args()
    lines, apart = read(TABLE), read(APART)
    parts = []
    for name, of in (("refined images", refined), ("images of the network alone", of_network)):
        fitted = fit(fitted_to(of(lines)))
        parts.append(Part(name, held_out(of(lines)), fitted, judged(of(apart), fitted)))
    write({"refined": parts[0].fitted, "network": parts[1].fitted})
    (RESULTS / "trust.md").write_text(page(parts, len({line.number for line in lines})))
    figure(parts, RESULTS / "trust.png")


if __name__ == "__main__":
    main()
