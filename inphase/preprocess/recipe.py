"""What is done to a measurement before a network or a retrieval sees it: presets, and steps that change them.

auto: hot_pixels(ratio=10) binning(factors=4x2x2) background(off)
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final

from inphase.errors import RecipeError
from inphase.pattern import Domain
from inphase.preprocess.centring import Reference


@dataclass(frozen=True)
class LostFrames:
    """Frames, and ends of any axis, that were not measured; see lost.measured."""

    least: float = 20.0


@dataclass(frozen=True)
class DeadPixels:
    """Detector pixels silent in every frame; see pixels.faulty."""

    least: float = 20.0


@dataclass(frozen=True)
class HotPixels:
    """Spikes and stuck pixels; see pixels.faulty."""

    ratio: float = 6.0
    least: float = 12.0


@dataclass(frozen=True)
class Crop:
    """The part of the measurement that is used: first and end of the frames, rows and columns; None is all of them."""

    frames: tuple[int, int] | None = None
    rows: tuple[int, int] | None = None
    columns: tuple[int, int] | None = None


@dataclass(frozen=True)
class Threshold:
    """Counts below `least` are taken for none; see background.thresholded."""

    least: float = 2.0


@dataclass(frozen=True)
class Aliens:
    """Light of other crystals, at most so many spots, is masked; see peaks.removed."""

    most: int = 8


@dataclass(frozen=True)
class Binning:
    """Automatic binning; see oversampling.binning_for. factors: per axis, in its place."""

    target: float = 3.0
    least: float = 2.3
    most: float = 5.4
    factors: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Background:
    """Flat background from the far field; see background.estimate. level: counts per measured voxel, in its place."""

    quantile: float = 0.1
    level: float | None = None


@dataclass(frozen=True)
class Centring:
    """What comes to the DC voxel; see centring.window. voxel: of the measurement, in the place of a reference."""

    reference: Reference = "peak"
    voxel: tuple[int, ...] | None = None


@dataclass(frozen=True)
class PreprocessRecipe:
    """The steps in the order in which they are done; None leaves a step out. Corrections are done where maps are given.

    saturation: counts per frame at and above which the detector no longer counts; None: not known.
    """

    name: str
    saturation: float | None = None
    crop: Crop | None = None
    lost_frames: LostFrames | None = None
    dead_pixels: DeadPixels | None = None
    hot_pixels: HotPixels | None = None
    threshold: Threshold | None = None
    aliens: Aliens | None = None
    centring: Centring = Centring()
    binning: Binning | None = None
    background: Background | None = None

    @property
    def text(self) -> str:
        """The steps with their values, for people and provenance: `auto: dead_pixels(least=20.0) ...`."""
        steps = []
        for part in fields(self)[1:]:
            value = getattr(self, part.name)
            if value is None and getattr(PRESETS[self.name], part.name, None) is not None:
                steps.append(f"{part.name}(off)")
            elif isinstance(value, float):
                steps.append(f"{part.name}({value})")
            elif value is not None:
                told = (f"{key}={_word(key, item)}" for key, item in asdict(value).items() if item is not None)
                steps.append(f"{part.name}({', '.join(told)})")
        return f"{self.name}: {' '.join(steps)}"


PRESETS: dict[str, PreprocessRecipe] = {
    "auto": PreprocessRecipe(
        "auto",
        lost_frames=LostFrames(),
        dead_pixels=DeadPixels(),
        hot_pixels=HotPixels(),
        binning=Binning(),
        background=Background(),
    ),
    "modulus": PreprocessRecipe("modulus", lost_frames=LostFrames(), binning=Binning()),
    "none": PreprocessRecipe("none", centring=Centring("array")),
}


def preset(text: str, domain: Domain, saturation: float | None = None) -> PreprocessRecipe:
    """A preset by name, with the steps that its text changes; `auto` on a modulus is `modulus`, whose numbers are not
    counts.

    text: `auto`, or `auto: step(key=value, ...) step(off) ...`, as `PreprocessRecipe.text` writes it.
    saturation: counts at and above which the detector no longer counts, where the file tells it and the text does not;
    of no use for a modulus. Raises RecipeError that says what is wrong.
    """
    name, _, steps = (part.strip() for part in text.partition(":"))
    if name not in PRESETS:
        raise RecipeError(f"unknown preprocessing preset '{name}'; there are {', '.join(PRESETS)}")
    found = PRESETS["modulus" if name == "auto" and domain is Domain.MODULUS else name]
    if saturation is not None and domain is not Domain.MODULUS:
        found = replace(found, saturation=saturation)
    changes = _changes(steps, found)
    if domain is Domain.MODULUS and (wrong := _OF_COUNTS & changes.keys()):
        raise RecipeError(f"{', '.join(sorted(wrong))}: a step for counts, and the input is a modulus")
    return replace(found, **changes) if changes else found


_STEP: Final = re.compile(r"\s*(\w+)\(([^()]*)\)[\s,]*")
_KINDS: Final[Mapping[str, type[Any]]] = {
    "crop": Crop, "lost_frames": LostFrames, "dead_pixels": DeadPixels, "hot_pixels": HotPixels,
    "threshold": Threshold, "aliens": Aliens, "centring": Centring, "binning": Binning, "background": Background,
}  # fmt: skip
_OF_COUNTS: Final = {"saturation", "dead_pixels", "hot_pixels", "threshold", "background"}
_ALWAYS: Final = {"centring"}  # without it there is no window


def _changes(text: str, preset: PreprocessRecipe) -> dict[str, Any]:
    """The steps that a text names; keys that it leaves out keep the preset's values."""
    changes: dict[str, Any] = {}
    place = 0
    while place < len(text):
        match = _STEP.match(text, place)
        if match is None:
            raise RecipeError(f"preprocessing is not understood at '{text[place : place + 30]}': write step(key=value)")
        name, inside = match[1], match[2].strip()
        if name in changes:
            raise RecipeError(f"the step {name} is named twice")
        if name == "saturation":
            changes[name] = None if inside == "off" else _number(name, "level", inside.removeprefix("level="))
        elif name not in _KINDS:
            raise RecipeError(f"no preprocessing step '{name}': there are saturation, {', '.join(_KINDS)}")
        elif inside == "off":
            if name in _ALWAYS:
                raise RecipeError(f"{name} cannot be off: write centring(reference=array) to keep the middle")
            changes[name] = None
        else:
            changes[name] = replace(getattr(preset, name) or _KINDS[name](), **_values(name, inside))
        place = match.end()
    return changes


def _values(step: str, text: str) -> dict[str, Any]:
    keys = {part.name for part in fields(_KINDS[step])}
    found: dict[str, Any] = {}
    for pair in filter(None, (each.strip() for each in text.split(","))):
        key, _, value = (part.strip() for part in pair.partition("="))
        if key not in keys:
            raise RecipeError(f"{step} has no '{key}': it has {', '.join(sorted(keys))}, or {step}(off)")
        if key in found:
            raise RecipeError(f"{step} names {key} twice")
        read = _count if (step, key) == ("aliens", "most") else _READ.get(key, _number)
        found[key] = read(step, key, value)
    return found


def _number(step: str, key: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    least = _LEAST.get((step, key), 0)
    if not least <= number < _MOST:
        raise RecipeError(f"{step}({key}={text}): a number from {least} on is expected")
    return number


def _share(step: str, key: str, text: str) -> float:
    number = _number(step, key, text)
    if not 0 < number < 1:
        raise RecipeError(f"{step}({key}={text}): a share between 0 and 1 is expected")
    return number


def _count(step: str, key: str, text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 100:
        raise RecipeError(f"{step}({key}={text}): a whole number from 1 to 100 is expected")
    return int(text)


def _sides(step: str, key: str, text: str) -> tuple[int, ...]:
    parts = text.split("x")
    if len(parts) not in (2, 3) or not all(part.isdecimal() and len(part) < 8 for part in parts):
        raise RecipeError(f"{step}({key}={text}): frames, rows and columns are expected, such as 4x2x2")
    sides = tuple(int(part) for part in parts)
    if key == "factors" and not all(1 <= side <= 1000 for side in sides):
        raise RecipeError(f"{step}({key}={text}): factors from 1 to 1000 are expected")
    return sides


def _range(step: str, key: str, text: str) -> tuple[int, int]:
    begin, colon, end = text.partition(":")
    if not colon or not all(part.isdecimal() and len(part) < 8 for part in (begin, end)) or int(begin) >= int(end):
        raise RecipeError(f"{step}({key}={text}): first and end are expected, such as 20:180")
    return int(begin), int(end)


def _reference(step: str, key: str, text: str) -> str:
    if text not in ("peak", "mass", "array"):
        raise RecipeError(f"{step}({key}={text}): peak, mass or array is expected, or {step}(voxel=99x126x127)")
    return text


def _word(key: str, value: Any) -> str:
    """What the readers above understand."""
    if isinstance(value, tuple):
        return (":" if key in ("frames", "rows", "columns") else "x").join(str(part) for part in value)
    return str(value)


_READ: Final[Mapping[str, Callable[[str, str, str], Any]]] = {
    "factors": _sides, "voxel": _sides, "frames": _range, "rows": _range, "columns": _range,
    "reference": _reference, "quantile": _share,
}  # fmt: skip
_MOST: Final = 1e15
_LEAST: Final[Mapping[tuple[str, str], int]] = {  # of 0, where it would mean nothing: of counts, ratios and fringes
    ("saturation", "level"): 1, ("lost_frames", "least"): 1, ("dead_pixels", "least"): 1, ("hot_pixels", "ratio"): 1,
    ("binning", "target"): 1, ("binning", "least"): 1, ("binning", "most"): 1,
}  # fmt: skip
