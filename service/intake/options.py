"""What a caller of the service may choose: the options of a reconstruction as JSON and as a query, and how to be answered."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from inphase.imaging.options import CONVENTIONAL, FAST, Options, Start
from inphase.pattern import Domain
from inphase.retrieval import recipe as recipes
from inphase.trust import RULES
from service.jobs.state import Priority


class ImagingOptions(BaseModel):
    """How to reconstruct (`inphase.imaging.options.Options`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Annotated[
        str | None, Field(max_length=100, description="name or name@version; the default model if not given")
    ] = None
    domain: Annotated[Domain, Field(description="what the numbers are: photon counts, or a modulus")] = Domain.COUNTS
    preprocess: Annotated[str, Field(max_length=100, description="preprocessing preset")] = "auto"
    refine: Annotated[
        str | None,
        Field(
            max_length=2000,
            description=f"recipe such as 50*ER, a preset ({', '.join(recipes.PRESETS)}), or none for the network alone; "
            f"by default {FAST}, and {CONVENTIONAL} with start=random or mixed",
        ),
    ] = None
    start: Annotated[
        Start,
        Field(
            description="auto: the network's start if it is sane, else random starts and the conventional recipe; "
            "mixed: the network's, disturbed, flat and random starts side by side"
        ),
    ] = "auto"
    starts: Annotated[
        int, Field(ge=1, le=100, description="how many starts a conventional or a mixed retrieval takes")
    ] = RULES.random_starts
    seed: Annotated[
        int,
        Field(
            ge=0,
            lt=2**32,
            description="of the generator that hides the free voxels and draws the random starts; "
            "the same seed gives the same result",
        ),
    ] = 0

    def imaging(self) -> Options:
        """The same for inphase.imaging."""
        return Options(**{name: getattr(self, name) for name in ImagingOptions.model_fields})


class JobOptions(ImagingOptions):
    """How to reconstruct, and how to be answered."""

    wait: Annotated[
        float, Field(ge=0, allow_inf_nan=False, description="seconds to wait for the result before answering 202")
    ] = 10.0
    reuse: Annotated[
        bool,
        Field(description="take the result of an earlier job with the same data and options; false computes afresh"),
    ] = True
    priority: Annotated[Priority, Field(description="whom a worker serves first")] = Priority.NORMAL
