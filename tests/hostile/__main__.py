"""`python -m tests.hostile --count 2000 --seed 1`: damaged and crafted files through every door.

The command ends with 1 where anything was as it must not be, after a line for each.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.hostile.campaign import prepare, run
from tests.hostile.doors import DOORS


def main() -> int:
    """Prints the counts of every door, and every fault."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("--count", type=int, default=2000, help="So many files are damaged [default: 2000].")
    parser.add_argument("--crafted", type=int, help="So many crafted cases are drawn [default: all].")
    parser.add_argument("--seed", type=int, default=1, help="Another seed damages in other ways [default: 1].")
    parser.add_argument("--door", choices=DOORS, action="append", help="Only this one; may be repeated.")
    parser.add_argument("--keep", type=Path, help="The files are kept in this empty folder.")
    parser.add_argument("--list", action="store_true", help="Every outcome is printed.")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.keep) as scratch:
        folder = Path(asked.keep or scratch).resolve()
        cases = prepare(folder, asked.seed, asked.count, asked.crafted)
        sys.stdout.write(f"seed {asked.seed}: {asked.count} damaged and {len(cases) - asked.count} crafted\n")
        faults = 0
        for name in asked.door or DOORS:
            begun = time.monotonic()
            campaign = run(folder, cases, [DOORS[name]])
            faults += len(campaign.faults)
            counts = ", ".join(f"{count} {kind}" for kind, count in sorted(campaign.counts[name].items()))
            sys.stdout.write(f"{name}: {counts}; {time.monotonic() - begun:.0f} s\n")
            for each in campaign.outcomes if asked.list else campaign.faults:
                sys.stdout.write(f"  {each!s:.600}\n")
            sys.stdout.flush()
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
