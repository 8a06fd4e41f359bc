"""Several scans in one HDF5 file: which of its entries is meant, and which of them is a rocking curve.

BLISS writes one entry for each scan, `2.1` or `S1_2.1` in the sample's master, with the command as its title and the
motors under instrument/positioners; other acquisition programs do alike.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

import h5py
import numpy as np

from inphase.beamlines import BEAMLINES
from inphase.errors import DataError
from inphase.formats.reading import Reading
from inphase.formats.tree import Tree, is_real, names_in

_SCAN: Final = re.compile(r"(?:(?P<sample>.*)[_-])?0*(?P<scan>\d+)(?:\.(?P<part>\d+))?")
# circles of a sample, beyond those of the beamlines that are described
_CIRCLES: Final = {name for place in BEAMLINES.values() for name in (circle.name for circle in place.sample)} | {
    "th", "theta", "om", "omega", "eta", "mu", "phi", "chi", "kphi", "keta", "kth", "komega", "rot", "srot", "samrot",
    "gonphi", "gontheta", "nath", "rocky", "sth", "hgonio", "ath", "thy", "thx",
}  # fmt: skip
# of frames for which nothing turns, or more than one motor moves
_NO_CURVE: Final = re.compile(
    r"mesh|map|spiral|loopscan|timescan|^s?ct\b|xanes|exafs|focus|count|2d\b|3d\b", re.IGNORECASE
)
_MOTORS: Final = ("measurement", "instrument/positioners", "scan_data")
_MOST_POSITIONS: Final = 10**6
_LISTED: Final = 12


class Kind(Enum):
    """What an entry holds, by its title and its motors."""

    ROCKING = "a rocking curve"
    OTHER = "no rocking curve"
    UNKNOWN = "not known"


@dataclass(frozen=True)
class Entry:
    """A scan of a file: its group, the title, frames, kind."""

    name: str
    title: str
    frames: int
    kind: Kind

    def __str__(self) -> str:
        return f"{self.name}{f' ({self.title})' if self.title else ''}, {self.frames} frames"


def name_of_entry(path: str) -> str:
    """The first group of a path, empty where a dataset lies at the root."""
    return path.strip("/").partition("/")[0] if "/" in path.strip("/") else ""


def named(entries: Sequence[str], reading: Reading) -> list[str]:
    """The entries that scan= and sample= name; all, where neither is given or the entries have no numbers.

    Of `2.1` and `2.2`, which are parts of one scan in BLISS, the first. Raises DataError where none is left.
    """
    if reading.scan is None and reading.sample is None:
        return list(entries)
    known = {entry: match for entry in entries if (match := _SCAN.fullmatch(entry)) is not None}
    if not known or (len(entries) == 1 and all(match["part"] is None for match in known.values())):
        return list(entries)
    left = [
        entry
        for entry, match in known.items()
        if reading.scan in (None, int(match["scan"])) and reading.sample in (None, match["sample"])
    ]
    if not left:
        asked = [f"scan {reading.scan}"] * (reading.scan is not None) + [f"sample {reading.sample}"] * bool(
            reading.sample
        )
        listed = ", ".join(sorted(known, key=lambda entry: int(known[entry]["scan"]))[:_LISTED])
        raise DataError(f"holds no frames of {', '.join(asked)}; there are {listed}{', ...' * (len(known) > _LISTED)}")
    first = min(int(known[entry]["part"] or 0) for entry in left)
    return [entry for entry in left if int(known[entry]["part"] or 0) == first]


def described(tree: Tree, name: str, frames: int) -> Entry:
    """What title and motors tell of an entry whose detector took so many frames."""
    title = " ".join((tree.text(f"{name}/title") or "").split())[:120]
    return Entry(name, title, frames, _kind(tree, name, title, frames))


def _kind(tree: Tree, name: str, title: str, frames: int) -> Kind:
    words = title.split()
    words = words[1:] if words and words[0].isdecimal() else words  # files made of SPEC's begin with the scan's number
    if words and _NO_CURVE.search(words[0]):
        return Kind.OTHER
    if len(words) > 1 and words[1].lower() in _CIRCLES:
        return Kind.ROCKING
    moving = dict(_moving(tree, name, frames))
    turning = [motor for motor, unit in moving.items() if motor.lower() in _CIRCLES or unit.startswith("deg")]
    if turning:
        return Kind.ROCKING
    # a motor that is no circle: a scan of a piezo or of the energy
    return Kind.OTHER if len(words) > 1 and words[1] in moving else Kind.UNKNOWN


def _moving(tree: Tree, name: str, frames: int) -> list[tuple[str, str]]:
    """Motors with a position for each frame that change, and their units."""
    found = []
    for place in _MOTORS:
        group = tree.get(f"{name}/{place}")
        for motor in names_in(group) if isinstance(group, h5py.Group) else ():
            item = tree.step(group, motor)
            if (
                isinstance(item, h5py.Dataset)
                and is_real(item)
                and item.shape == (frames,)
                and 1 < frames <= _MOST_POSITIONS
            ):
                tree.check_sources(item)
                positions = np.asarray(item[()], np.float64)
                tree.check_read(item)
                if np.ptp(positions) > 0:
                    unit = item.attrs.get("units", "")
                    found.append((motor, unit.decode("latin-1") if isinstance(unit, bytes) else str(unit)))
    return found


def choose(tree: Tree, frames: dict[str, int]) -> tuple[str | None, str]:
    """The one rocking curve among several entries, and a word on it; None where nothing tells them apart.

    frames: of each entry. Raises DataError with the list where several are rocking curves, or none is.
    """
    entries = [described(tree, name, count) for name, count in frames.items()]
    if all(entry.kind is Kind.UNKNOWN for entry in entries):
        return None, ""
    curves = [entry for entry in entries if entry.kind is Kind.ROCKING]
    curves = curves or [entry for entry in entries if entry.kind is Kind.UNKNOWN]
    if len(curves) == 1:
        others = "; ".join(str(entry) for entry in entries if entry is not curves[0])
        return curves[0].name, f"the only rocking curve: {curves[0]}; passed over {others}"
    what = "several rocking curves" if curves else "several scans, none of them a rocking curve by its title"
    listed = "; ".join(str(entry) for entry in (curves or entries)[:_LISTED])
    raise DataError(f"holds {what}: {listed}; name one with scan= (--scan 2) or dataset=")
