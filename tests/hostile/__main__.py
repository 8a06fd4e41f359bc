"""`python -m tests.hostile --count 2000 --seed 1`: damaged files through every reader.

Files whose C library crashed or never returned are read again in the service's sandbox. The command ends with 1 where
an error was not one of inphase's, or was a fault of inphase; with a traceback where the sandbox gave no answer.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.hostile.campaign import contained, run


def main() -> int:
    """Prints the counts, and every file that did not end as it should."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("--count", type=int, default=2000, help="So many files are damaged and read [default: 2000].")
    parser.add_argument("--seed", type=int, default=1, help="Another seed damages them in other ways [default: 1].")
    parser.add_argument("--keep", type=Path, help="The files are kept in this empty folder.")
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
