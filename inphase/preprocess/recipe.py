"""What is done to a measurement before a network or a retrieval sees it."""

from dataclasses import asdict, dataclass, fields, replace

from inphase.errors import RecipeError
from inphase.pattern import Domain
from inphase.preprocess.centring import Reference


@dataclass(frozen=True)
class LostFrames:
    """Frames, and ends of any axis, that were not measured; see lost.measured."""

    least: float = 20.0


@dataclass(frozen=True)
class DeadPixels:
    """Detector pixels silent in every frame; see pixels.dead."""

    least: float = 20.0


@dataclass(frozen=True)
class HotPixels:
    """Spikes and stuck pixels; see pixels.hot."""

    ratio: float = 6.0
    least: float = 12.0


@dataclass(frozen=True)
class Binning:
    """Automatic binning; see oversampling.binning_for."""

    target: float = 3.0
    least: float = 2.3
    most: float = 5.4


@dataclass(frozen=True)
class Background:
    """Flat background from the far field; see background.estimate."""

    quantile: float = 0.1


@dataclass(frozen=True)
class Centring:
    """What comes to the DC voxel; see centring.window."""

    reference: Reference = "peak"


@dataclass(frozen=True)
class PreprocessRecipe:
    """The steps in the order in which they are done; None leaves a step out. Corrections are done where maps are given.

    saturation: counts per frame at and above which the detector no longer counts; None: not known.
    """

    name: str
    saturation: float | None = None
    lost_frames: LostFrames | None = None
    dead_pixels: DeadPixels | None = None
    hot_pixels: HotPixels | None = None
    centring: Centring = Centring()
    binning: Binning | None = None
    background: Background | None = None

    @property
    def text(self) -> str:
        """The steps with their values, for people and provenance: `auto: dead_pixels(least=20.0) ...`."""
        steps = []
        for part in fields(self)[1:]:
            value = getattr(self, part.name)
            if isinstance(value, float):
                steps.append(f"{part.name}({value})")
            elif value is not None:
                steps.append(f"{part.name}({', '.join(f'{key}={item}' for key, item in asdict(value).items())})")
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


def preset(name: str, domain: Domain, saturation: float | None = None) -> PreprocessRecipe:
    """A preset by name; `auto` on a modulus is `modulus`, whose numbers are not counts.

    saturation: counts at and above which the detector no longer counts, where the file tells it; of no use for a
    modulus. Raises RecipeError for an unknown name.
    """
    if name not in PRESETS:
        raise RecipeError(f"unknown preprocessing preset '{name}'; there are {', '.join(PRESETS)}")
    found = PRESETS["modulus" if name == "auto" and domain is Domain.MODULUS else name]
    return found if saturation is None or domain is Domain.MODULUS else replace(found, saturation=saturation)
