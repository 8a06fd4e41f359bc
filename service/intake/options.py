"""What a caller of the service may choose: the options of a reconstruction as JSON and as a query,
and how to be answered.
"""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from inphase.formats.reading import Reading, parse_numbers
from inphase.imaging.options import CONVENTIONAL, FAST, Options, Slice, Start
from inphase.pattern import Domain
from inphase.preprocess.reach import RANGE
from inphase.ptycho import options as ptycho
from inphase.ptycho.formats.contents import Given
from inphase.ptycho.recipe import DEFAULT
from inphase.ptycho.units import PositionUnit
from inphase.retrieval import recipe as recipes
from inphase.trust import RULES
from service.jobs.state import Priority


def _told(name: str) -> Any:
    """A field of Reading as one of a query."""
    return Field(**Reading.__dataclass_fields__[name].metadata)


class MapOptions(BaseModel):
    """What files tell of the detector (`inphase.formats.Reading`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dark: Annotated[Path | None, _told("dark")] = None
    flat: Annotated[Path | None, _told("flat")] = None
    mask: Annotated[Path | None, _told("mask")] = None
    masked: Annotated[str | None, _told("masked")] = None
    roi: Annotated[str | None, _told("roi")] = None


class ReadingOptions(MapOptions):
    """How a file that is sent is read: `inphase.formats.Reading` as a query."""

    dataset: Annotated[str | None, _told("dataset")] = None
    region: Annotated[str | None, _told("region")] = None
    beamline: Annotated[str | None, _told("beamline")] = None
    spec: Annotated[Path | None, _told("spec")] = None
    scan: Annotated[int | None, _told("scan")] = None
    sample: Annotated[str | None, _told("sample")] = None
    detector: Annotated[str | None, _told("detector")] = None
    set: Annotated[
        tuple[Annotated[str, Field(max_length=100)], ...],
        Field(
            max_length=50,
            description=f"{Reading.__dataclass_fields__['set'].metadata['description']} Write distance=1.83, and "
            "repeat the parameter for more.",
        ),
    ] = ()

    def told(self) -> dict[str, Any]:
        """What is given, by the names of Reading. Raises DataError for a number that is none."""
        given = {
            name: getattr(self, name) for name in ReadingOptions.model_fields if getattr(self, name) not in (None, ())
        }
        return given | {"set": parse_numbers(self.set)} if self.set else given


class ImagingOptions(BaseModel):
    """How to reconstruct (`inphase.imaging.options.Options`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Annotated[
        str | None,
        Field(
            max_length=100,
            description="This network predicts the start, given as name or name@version; without it, the default one.",
        ),
    ] = None
    domain: Annotated[Domain, Field(description="The numbers are photon counts, or a modulus (their square root).")] = (
        Domain.COUNTS
    )
    preprocess: Annotated[
        str,
        Field(
            max_length=1000,
            examples=["auto: binning(factors=4x2x2) background(off)"],
            description="The pattern is cleaned by this preset, auto, modulus or none, and the steps that follow it "
            "after a colon change it.",
        ),
    ] = "auto"
    refine: Annotated[
        str | None,
        Field(
            max_length=2000,
            description=f"The image is refined by this recipe, such as 50*ER, or by a preset "
            f"({', '.join(recipes.PRESETS)}); with none it is that of the network alone. "
            f"The default is {FAST}, from starts that no network gave {CONVENTIONAL}.",
        ),
    ] = None
    start: Annotated[
        Start,
        Field(
            description="With auto the refinement starts from the network's image where it is sane, else from random "
            "ones with the conventional recipe; with mixed it takes the network's image, disturbed, flat and random "
            "ones side by side."
        ),
    ] = "auto"
    starts: Annotated[
        int, Field(ge=1, le=100, description="A conventional or a mixed retrieval takes so many starts.")
    ] = RULES.random_starts
    seed: Annotated[
        int,
        Field(
            ge=0,
            lt=2**32,
            description="The same seed hides the same free voxels and draws the same random starts, and gives the same "
            "result.",
        ),
    ] = 0
    grid: Annotated[
        str,
        BeforeValidator(lambda given: str(given) if type(given) is int else given),
        Field(
            pattern=r"^(model|auto|measured|[0-9]{1,4})$",
            description=f"The image becomes as fine as the network's grid (model), as what the measurement holds "
            f"(auto), as the whole measurement (measured), or as fine as a grid of at most so many voxels along an "
            f"axis ({RANGE[0]} to {RANGE[1]}); each level is a revision.",
        ),
    ] = "auto"

    slice: Annotated[
        Slice,
        Field(
            description="With center the frame through the peak is taken out of a rocking curve, and the result is the "
            "image of the projection."
        ),
    ] = "none"

    def imaging(self) -> Options:
        """The same for inphase.imaging."""
        return Options(**{name: getattr(self, name) for name in ImagingOptions.model_fields})


class AnswerOptions(BaseModel):
    """How to be answered."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[
        str,
        Field(
            max_length=200,
            pattern=r"^[^\x00-\x1f\x7f]*$",
            examples=["scan_0054.h5"],
            description="People know the job by this name; without it, by where its data are from.",
        ),
    ] = ""
    wait: Annotated[
        float,
        Field(
            ge=0,
            allow_inf_nan=False,
            description="The answer waits at most so many seconds for the result; then it is a 202.",
        ),
    ] = 10.0
    reuse: Annotated[
        bool,
        Field(
            description="The result of an earlier job with the same data and options is taken; false computes afresh."
        ),
    ] = True
    priority: Annotated[
        Priority, Field(description="Workers serve jobs of priority high before normal, and normal before low.")
    ] = Priority.NORMAL
    webhook: Annotated[
        str | None,
        Field(
            max_length=500,
            examples=["https://hooks.example/inphase"],
            description="This address is told when the job has ended; its host is one that the operator has named.",
        ),
    ] = None


class JobOptions(AnswerOptions, ImagingOptions):
    """How to reconstruct, and how to be answered."""


class BeamOptions(BaseModel):
    """Where a ptychographic scan was measured (`inphase.ptycho.formats.contents.Given`)."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")  # a parallel beam is infinite

    energy_kev: Annotated[float | None, Field(gt=0, description="The photons have this energy in keV.")] = None
    distance_m: Annotated[
        float | None, Field(gt=0, description="The detector stands so many metres behind the sample.")
    ] = None
    detector_pixel_m: Annotated[
        float | None, Field(gt=0, description="The detector's pixels have sides of so many metres.")
    ] = None
    focus_m: Annotated[
        float | None,
        Field(
            gt=0,
            description="The sample stands so many metres behind the focus, and the detector in the near field; inf is "
            "a parallel beam.",
        ),
    ] = None


class PtychoOptions(BaseModel):
    """How to reconstruct a ptychographic scan (`inphase.ptycho.Options`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    refine: Annotated[
        str, Field(max_length=2000, description="The image is found by this recipe, such as 20*RAAR+40*RPIE.")
    ] = DEFAULT
    modes: Annotated[
        int | None,
        Field(
            ge=1,
            le=ptycho.MOST_MODES,
            description="The probe has so many modes; by default those of its guess, or one.",
        ),
    ] = None
    probe_start: Annotated[int, Field(ge=0, description="The probe is refined from this iteration on.")] = 2
    positions_start: Annotated[
        int | None,
        Field(ge=0, description="The positions are refined from this iteration on; by default they stay as sent."),
    ] = None
    search_px: Annotated[
        float,
        Field(
            ge=0,
            le=100,
            description="Positions are searched within so many pixels of those that were sent before they are refined.",
        ),
    ] = 0.0
    hold_out: Annotated[float, Field(ge=0, le=0.5, description="This share of the frames is seen by no solver.")] = 0.05
    turn: Annotated[
        bool, Field(description="The eight ways in which positions can lie on the patterns are tried first.")
    ] = True
    seed: Annotated[int, Field(ge=0, lt=2**32, description="The same seed gives the same result.")] = 0

    def ptycho(self) -> ptycho.Options:
        """The same for inphase.ptycho. Raises RecipeError for what cannot be meant."""
        return ptycho.Options(
            recipe=self.refine, **{name: getattr(self, name) for name in PtychoOptions.model_fields if name != "refine"}
        )


class FileBeamOptions(BeamOptions):
    """What a file lacks of that, or has wrong, with the unit of its positions and the maps of the detector."""

    unit: Annotated[
        PositionUnit | None,
        Field(
            description="The positions are in pixels of the object, or in this length; by default the file or its "
            "numbers tell."
        ),
    ] = None
    dark: Annotated[Path | None, _told("dark")] = None
    flat: Annotated[Path | None, _told("flat")] = None
    roi: Annotated[str | None, _told("roi")] = None

    def given(self) -> Given:
        """The same for inphase.ptycho."""
        return Given(**{name: getattr(self, name) for name in FileBeamOptions.model_fields})
