"""`python -m tests.hostile --count 2000 --seed 1`: damaged files through every reader.

Files whose C library crashed or never returned are read again in the service's sandbox. Ends with 1 where an error is not
one of inphase's, or where the sandbox does not come to an end with an answer.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.hostile.campaign import contained, run


def main() -> int:
    """Prints the counts, and every file that did not end as it should."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="an empty folder for the files")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = asked.keep or Path(scratch)
        campaign = run(folder, asked.count, asked.seed)
        again = contained(folder / "damaged", campaign.ended("hang", "signal"))
    sys.stdout.write(", ".join(f"{count} {outcome}" for outcome, count in sorted(campaign.counts.items())) + "\n")
    for name, outcome in campaign.ended("escaped", "hang", "signal", "unforeseen").items():
        sys.stdout.write(f"{name}: {outcome}{f'; in the sandbox {again[name]}' if name in again else ''}\n")
    return bool(campaign.ended("escaped", "unforeseen"))


if __name__ == "__main__":
    sys.exit(main())
