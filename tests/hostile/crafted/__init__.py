"""Files that are made to do harm, family by family: every one by a function and its parameters.

A family is one trick; its parameters make the cases, each in a folder of its own below the data root. Beside the root
lies what nobody may read: `OUTSIDE`, with `TOKEN` in every file and `SECRET_COUNT` in every array.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
import tifffile
from numpy.typing import NDArray

OUTSIDE: Final = "outside"
TOKEN: Final = "c0ffee5ec2e7f00d"
SECRET_COUNT: Final = 4242
COUNTS: Final[NDArray[np.uint16]] = np.random.default_rng(1).poisson(3, (6, 8, 10)).astype(np.uint16)


@dataclass(frozen=True)
class Place:
    """Where one case is made. root: the data root. chance: the same for the same seed and name."""

    folder: Path
    root: Path
    chance: random.Random

    @property
    def outside(self) -> Path:
        """The folder that nobody may read."""
        return self.root.parent / OUTSIDE

    def garbage(self, size: int) -> bytes:
        """Bytes that mean nothing."""
        return self.chance.randbytes(size)


@dataclass(frozen=True)
class Case:
    """One file, or what stands where a file is expected. source: how a request names it, paths relative to the root.

    leads_out: nothing of it can be read that lies inside, so that it must be refused.
    """

    name: str
    source: Mapping[str, Any]
    leads_out: bool = False


@dataclass(frozen=True)
class Family:
    """make(place, **parameters) writes the case and may return what the request says, its paths relative to the
    folder; without that it names `path`.
    """

    name: str
    make: Callable[..., Mapping[str, Any] | None]
    over: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    path: str = "scan.h5"
    leads_out: bool = False

    def cases(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Names of cases and the parameters of each."""
        for number, values in enumerate(product(*self.over.values())):
            yield f"{self.name}-{number:02d}", dict(zip(self.over, values, strict=True))


_PATHS: Final = ("path", "dark", "flat", "spec", "beamline")  # of a source


def families() -> tuple[Family, ...]:
    """All of them."""
    from tests.hostile.crafted import archives, hdf5, matlab, places, texts, tiff

    return (*hdf5.FAMILIES, *archives.FAMILIES, *matlab.FAMILIES, *tiff.FAMILIES, *texts.FAMILIES, *places.FAMILIES)


def write_all(root: Path, seed: int, most: int | None = None, begin: tuple[str, ...] = ("",)) -> list[Case]:
    """Make the cases below a data root, and what lies outside of it; of many, `most` drawn by the seed.

    begin: only those whose names begin so.
    """
    write_outside(root.parent / OUTSIDE)
    drawn = [(family, *case) for family in families() for case in family.cases() if case[0].startswith(begin)]
    if most is not None and most < len(drawn):
        drawn = random.Random(seed).sample(drawn, most)
    return [_made(root, seed, *each) for each in drawn]


def write_outside(folder: Path) -> None:
    """What lies outside of the root, in every format."""
    folder.mkdir()
    secret = np.full((16, 16, 16), SECRET_COUNT, np.uint16)
    np.save(folder / "secret.npy", secret)
    tifffile.imwrite(folder / "secret.tif", secret, photometric="minisblack", description=TOKEN)
    with h5py.File(folder / "secret.h5", "w") as file:
        file["entry/data/data"] = secret
        file["entry/title"] = TOKEN
    (folder / "secret.txt").write_text(TOKEN * 512)


def _made(root: Path, seed: int, family: Family, name: str, parameters: Mapping[str, Any]) -> Case:
    folder = root / name
    folder.mkdir()
    told = family.make(Place(folder, root, random.Random(f"{seed}:{name}")), **parameters) or {"path": family.path}
    source = {key: _below(name, value) if key in _PATHS else value for key, value in told.items()}
    return Case(name, source, family.leads_out)


def _below(name: str, path: str) -> str:
    """A path of a case's folder seen from the root; built-in names of beamlines have no ending."""
    return path if path.startswith("/") or path in ("34-ID-C", "P10", "ID01") else f"{name}/{path}"
