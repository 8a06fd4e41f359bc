"""A folder with one frame per file, ordered by the number that ends each file's name."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from inphase.errors import DataError


@dataclass(frozen=True)
class Frames:
    """Numbered files whose names begin alike, in order and without gaps.
    others: files of the folder that do not belong.
    """

    files: list[Path]
    others: int

    @property
    def chosen(self) -> str:
        """In words."""
        passed = f"; passed over {self.others} other file{'s' * (self.others > 1)}" if self.others else ""
        return f"{len(self.files)} frames {self.files[0].name} to {self.files[-1].name}{passed}"


def find(folder: Path, suffixes: Sequence[str], beginning: str | None, kind: str) -> Frames:
    """The longest numbered sequence of the folder; `beginning` of the names decides between several.

    Raises DataError where there is none, several are about as long, or a frame is missing or there twice.
    """
    files = _files(folder)
    groups = _groups(files, suffixes, beginning)
    if not groups:
        wanted = f" whose names begin with '{beginning}'" if beginning is not None else ""
        raise DataError(
            f"{folder}: holds no numbered {kind} frames{wanted} (such as scan_00001{suffixes[0]}); "
            f"it holds {_listing(files)}"
        )
    ranked = sorted(groups, key=lambda prefix: len(groups[prefix]), reverse=True)
    if len(ranked) > 1 and 2 * len(groups[ranked[1]]) > len(groups[ranked[0]]):
        names = ", ".join(f"'{prefix}' ({len(groups[prefix])})" for prefix in ranked[:5])
        raise DataError(f"{folder}: holds several sequences of frames: {names}; name one with dataset=")
    members = sorted(groups[ranked[0]])
    for (current, path), (following, next_path) in pairwise(members):
        if following == current:
            raise DataError(f"{folder}: frame {current} is there twice: {path.name} and {next_path.name}")
        if following != current + 1:
            raise DataError(
                f"{folder}: frame {current + 1} is missing, between {path.name} and {next_path.name}; "
                "a rocking curve needs every step, so copy the missing file"
            )
    return Frames([path for _, path in members], len(files) - len(members))


def longest(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """The files of the longest numbered sequence, whatever is missing in it; empty where there is none."""
    groups = _groups(_files(folder), suffixes, None)
    sizes = {prefix: len(members) for prefix, members in groups.items()}
    return [path for _, path in sorted(groups[max(sizes, key=lambda prefix: sizes[prefix])])] if groups else []


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))


def _groups(files: list[Path], suffixes: Sequence[str], beginning: str | None) -> dict[str, list[tuple[int, Path]]]:
    groups: dict[str, list[tuple[int, Path]]] = defaultdict(list)
    for path in files:
        number = re.search(r"(\d+)$", path.stem)
        if path.suffix.lower() in suffixes and number and path.name.startswith(beginning or ""):
            groups[path.stem[: number.start()]].append((int(number[1]), path))
    return groups


def _listing(files: list[Path]) -> str:
    names = ", ".join(path.name for path in files[:5])
    return f"{names}{', ...' if len(files) > 5 else ''}" if names else "no files"
