"""`python -m tests.hostile --count 2000 --seed 1`: damaged files through every reader; 1 where one escapes or hangs."""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.hostile.campaign import run


def main() -> int:
    """Prints the counts, and every file that did not end as it should."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="an empty folder for the files")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        campaign = run(asked.keep or Path(scratch), asked.count, asked.seed)
    sys.stdout.write(", ".join(f"{count} {outcome}" for outcome, count in sorted(campaign.counts.items())) + "\n")
    for name, outcome in campaign.ended("escaped", "hang", "signal", "unforeseen").items():
        sys.stdout.write(f"{name}: {outcome}\n")
    return bool(campaign.ended("escaped", "hang"))


if __name__ == "__main__":
    sys.exit(main())
