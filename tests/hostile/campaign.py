"""Damaged files through the readers: so many of every format, and what became of them."""

import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from inphase.errors import DataError
from inphase.formats import Limits
from service.sandbox.order import FileOrder
from service.sandbox.sandbox import Sandbox
from tests.hostile.honest import write_all
from tests.hostile.mutation import mutated

_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Campaign:
    """outcomes: of every damaged file, by its name, as `child` tells them."""

    outcomes: Mapping[str, str]

    @property
    def counts(self) -> dict[str, int]:
        """How many files ended how."""
        return dict(Counter(outcome.partition(" ")[0].rstrip(":") for outcome in self.outcomes.values()))

    def ended(self, *kinds: str) -> dict[str, str]:
        """The files that ended so."""
        return {name: outcome for name, outcome in self.outcomes.items() if outcome.startswith(kinds)}


def names(honest: list[Path], count: int, seed: int) -> list[tuple[str, Path]]:
    """Names of damaged files, which say the seed of each, and what they are made of."""
    return [
        (f"{path.stem}-{seed}-{number:05d}{path.suffix}", path)
        for number in range(count)
        for path in [honest[number % len(honest)]]
    ]


def run(folder: Path, count: int, seed: int) -> Campaign:
    """Damages `count` files and reads them. The folder keeps them: `python -m tests.hostile.child FOLDER/damaged`."""
    (folder / "honest").mkdir()
    (folder / "damaged").mkdir()
    for name, path in names(write_all(folder / "honest"), count, seed):
        (folder / "damaged" / name).write_bytes(mutated(path.read_bytes(), random.Random(name)))
    return Campaign(read_apart(folder / "damaged"))


def read_apart(folder: Path) -> dict[str, str]:
    """What became of every file of a folder."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.hostile.child", str(folder)],
        cwd=_ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True,
    )  # fmt: skip
    return dict(json.loads(line) for line in done.stdout.splitlines())


def contained(folder: Path, names: Iterable[str], seconds: float = 10.0) -> dict[str, str]:
    """What the service makes of files that ended their reader, each read in its sandbox: `refused` and why, or `read`.

    A crash or a hang of a C library is beyond any check of ours; that it stays one refused reading is not.
    """
    with Sandbox(seconds, (folder.resolve(),)) as sandbox:
        return {name: _contained(sandbox, folder.resolve() / name) for name in names}


def _contained(sandbox: Sandbox, path: Path) -> str:
    try:
        sandbox.read(FileOrder(path, limits=Limits(2**26)))
    except DataError as error:
        return f"refused: {error}"
    return "read"
