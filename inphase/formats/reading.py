"""What a caller may say about how a measurement is read: one record for the library, the command line and the service.

The metadata of a field describe it for people, and bound what a stranger may send.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from numbers import Integral, Real
from pathlib import Path

from inphase.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How a file or folder is read, beside its path.
    What is not given is found in the file where there is one candidate.

    Raises TypeError for a value of another type, for it would look like a fault of the file's reader.
    """

    dataset: str | None = field(
        default=None,
        metadata={
            "description": "This is the array inside a container, or the beginning of the frames' names.",
            "max_length": 1024,
        },
    )
    dark: Path | None = field(
        default=None,
        metadata={
            "description": "This map (TIFF, npy) is what the detector shows without beam; a pixel above 1 is bad, and "
            "from a ptychographic scan the map is subtracted."
        },
    )
    flat: Path | None = field(default=None, metadata={"description": "This is the detector's flat field (TIFF, npy)."})
    mask: Path | None = field(
        default=None,
        metadata={
            "description": "What is not zero in this file (TIFF, npy, EDF, CXI) is masked, of the frames or of the "
            "scan."
        },
    )
    masked: str | None = field(
        default=None,
        metadata={
            "description": "These boxes are masked too, rows and columns of every frame or also frames, "
            "r0:r1,c0:c1;f0:f1,r0:r1,c0:c1, where : is all of an axis.",
            "max_length": 20_000,
            "examples": ["0:256,127:129; 17:18,:,:"],
        },
    )
    roi: str | None = field(
        default=None,
        metadata={
            "description": "The frames show these rows and columns of the maps, r0:r1,c0:c1.",
            "max_length": 100,
            "examples": ["0:256,0:256"],
        },
    )
    region: str | None = field(
        default=None,
        metadata={
            "description": "Only these rows and columns of every frame are read, r0:r1,c0:c1; whole reads all of them. "
            "Of a measurement of more than 134 million voxels it is by default the region around the Bragg peak.",
            "max_length": 100,
            "examples": ["900:1200,800:1100"],
        },
    )
    beamline: str | None = field(
        default=None,
        metadata={
            "description": "The scan was measured here: 34-ID-C, ID01, ID27, P10, NanoMAX, SIXS, CRISTAL, or a YAML "
            "file that describes a beamline.",
            "max_length": 4096,
        },
    )
    spec: Path | None = field(
        default=None,
        metadata={
            "description": "The motors are read from this SPEC or FIO file; without it, from the one beside the frames."
        },
    )
    scan: int | None = field(
        default=None,
        metadata={"description": "The scan has this number in a file of several.", "ge": 0, "le": 10**9},
    )
    sample: str | None = field(
        default=None, metadata={"description": "The sample has this name in the beamline's paths.", "max_length": 200}
    )
    detector: str | None = field(
        default=None, metadata={"description": "The detector has this name in the beamline's paths.", "max_length": 200}
    )
    set: dict[str, float] = field(
        default_factory=dict,
        metadata={
            "description": "These numbers replace what the file lacks or has wrong: energy (keV), distance (m), "
            "pixel_row and pixel_column (m), direct_beam_row and direct_beam_column (pixels of the whole frame), or a "
            "motor (deg).",
            "max_length": 50,
            "examples": [{"distance": 1.83}],
        },
    )

    def __post_init__(self) -> None:
        for name in ("dataset", "roi", "region", "masked", "beamline", "sample", "detector"):
            example = " such as '0:256,0:256'" if name in ("roi", "region", "masked") else ""
            _check(name, getattr(self, name), str, f"a text{example}")
        _check("scan", self.scan, Integral, "a whole number")
        for name, value in self.set.items():
            _check(f"set={{'{name}': ...}}", value, Real, "a number")

    def known(self) -> dict[str, str]:
        """What is given for the placeholders of a description. Raises DataError for a value that is no name."""
        found = {
            "scan": None if self.scan is None else str(self.scan),
            "sample": self.sample,
            "detector": self.detector,
        }
        for key, value in found.items():
            if value is not None and (not value or "/" in value or "\0" in value or value in (".", "..")):
                raise DataError(f"{key}: '{value}' is no name")
        return {key: value for key, value in found.items() if value is not None}


def _check(name: str, value: object, kind: type, what: str) -> None:
    if value is not None and not isinstance(value, kind):
        raise TypeError(f"{name} takes {what}, not the {type(value).__name__} {value!r}"[:200])


def parse_numbers(pairs: Sequence[str]) -> dict[str, float]:
    """`distance=1.83` as {"distance": 1.83}. Raises DataError."""
    found = {}
    for pair in pairs:
        name, _, number = pair.partition("=")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise DataError(f"{pair!r} is not understood: write a name and a number, for example distance=1.83")
        found[name.strip()] = value
    return found
