"""A campaign: cases that are made from a seed, the doors they go through, and what became of each."""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import tifffile

from tests.hostile import crafted, honest
from tests.hostile.crafted import Case
from tests.hostile.mutation import mutated
from tests.hostile.outcome import Outcome

Door = Callable[[Path, list[Case]], Iterator[Outcome]]

# how a request names a damaged file of each kind
_NAMED: Final[Mapping[str, Callable[[str], dict[str, object]]]] = {
    "scan": lambda path: {"path": path},
    "reconstruction": lambda path: {"path": path},
    "map": lambda path: {"path": "honest/scan-counts.npy", "dark": path},
    "spec": lambda path: {"path": "frames", "spec": path, "beamline": "34-ID-C", "scan": 7},
    "fio": lambda path: {"path": "frames", "spec": path, "beamline": "P10", "scan": 7},
    "beamline": lambda path: {"path": "honest/scan-plain.h5", "beamline": path, "scan": 7, "sample": "S"},
}


@dataclass(frozen=True)
class Campaign:
    """outcomes: of every case at every door it went through, and of the service that stood behind them."""

    outcomes: list[Outcome]

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """By door: how many cases ended how."""
        doors = dict.fromkeys(each.door for each in self.outcomes)
        return {door: dict(Counter(each.kind for each in self.outcomes if each.door == door)) for door in doors}

    @property
    def faults(self) -> list[Outcome]:
        """What must not be."""
        return [each for each in self.outcomes if each.fault]


def prepare(folder: Path, seed: int, damaged: int, made: int | None) -> list[Case]:
    """Write so many damaged files and crafted cases (None: all of them) below `folder`/root, which is the data root."""
    root = folder / "root"
    root.mkdir()
    return [*write_damaged(root, seed, damaged), *crafted.write_all(root, seed, made)]


def write_damaged(root: Path, seed: int, count: int) -> list[Case]:
    """Honest files, and damaged ones whose names say their seeds: the same for the same name."""
    for name in ("honest", "damaged", "frames"):
        (root / name).mkdir()
    for number, frame in enumerate(crafted.COUNTS):
        tifffile.imwrite(root / "frames" / f"S_{number:04d}.tif", frame)
    sound = honest.write_all(root / "honest")
    return [_damaged(root, sound[number % len(sound)], f"{seed}-{number:05d}") for number in range(count)]


def _damaged(root: Path, sound: Path, seed: str) -> Case:
    name = f"{sound.stem}-{seed}{sound.suffix}"
    (root / "damaged" / name).write_bytes(mutated(sound.read_bytes(), random.Random(name)))
    return Case(name, _NAMED[name.partition("-")[0]](f"damaged/{name}"))


def run(folder: Path, cases: list[Case], doors: Iterable[Door]) -> Campaign:
    """All cases through all doors, one door after the other."""
    return Campaign([each for door in doors for each in door(folder, cases)])
