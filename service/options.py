"""What a caller may choose; the names are the same in JSON, in the query and on the command line."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from inphase.errors import RecipeError
from inphase.pattern import Domain
from inphase.preprocess.recipe import preset
from inphase.retrieval import recipe as recipes
from inphase.retrieval.terms import Recipe
from inphase.trust import RULES
from service.jobs.state import Priority

NO_REFINEMENT = "none"
FAST = "fast"
CONVENTIONAL = "standard"

Start = Literal["auto", "network", "random", "mixed"]


class Options(BaseModel):
    """How to reconstruct."""

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
    seed: Annotated[int, Field(ge=0, lt=2**32, description="of the free voxels and the random starts")] = 0

    def recipe(self) -> Recipe | None:
        """The resolved refinement recipe, None for the network alone. Raises RecipeError."""
        text = self.refine or (CONVENTIONAL if self.start in ("random", "mixed") else FAST)
        if text.strip() == NO_REFINEMENT:
            return None
        recipe = recipes.resolve(text)
        if recipe.needs_counts and self.domain is not Domain.COUNTS:
            raise RecipeError(
                "loss=poisson is a likelihood of photon counts, and the input is a modulus: use loss=amplitude"
            )
        return recipe

    def check(self) -> None:
        """Refuse before any data are read what cannot be carried out. Raises RecipeError, DataError."""
        recipe = self.recipe()
        preset(self.preprocess, self.domain)
        if recipe is None and self.start == "random":
            raise RecipeError(
                "refine=none answers with the network's image, start=random asks no network: choose one of them"
            )
        if recipe is None and self.start == "mixed":
            raise RecipeError("refine=none answers with the network's image, start=mixed refines: choose one of them")

    @property
    def asks_network(self) -> bool:
        """Whether a network predicts the start, or only has to be known."""
        return self.start != "random" or self.model is not None


class JobOptions(Options):
    """How to reconstruct, and how to be answered."""

    wait: Annotated[
        float, Field(ge=0, allow_inf_nan=False, description="seconds to wait for the result before answering 202")
    ] = 10.0
    reuse: Annotated[
        bool,
        Field(description="take the result of an earlier job with the same data and options; false computes afresh"),
    ] = True
    priority: Annotated[Priority, Field(description="whom a worker serves first")] = Priority.NORMAL
