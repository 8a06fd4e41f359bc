"""What a caller may choose; the names are the same in Python, in JSON, in the query and on the command line."""

from dataclasses import dataclass
from typing import Final, Literal, get_args

from inphase.errors import DataError, RecipeError
from inphase.pattern import Domain
from inphase.preprocess.reach import Grid, parsed
from inphase.preprocess.recipe import preset
from inphase.retrieval import recipe as recipes
from inphase.retrieval.terms import Recipe
from inphase.trust import RULES

NO_REFINEMENT: Final = "none"
FAST: Final = "fast"
CONVENTIONAL: Final = "standard"

Start = Literal["auto", "network", "random", "mixed"]
Slice = Literal["none", "center"]


@dataclass(frozen=True)
class Options:
    """How to reconstruct.

    model: name or name@version, None for the default one. domain: what the numbers are.
    preprocess: a preset, or one with steps that change it (`inphase.preprocess.recipe.preset`).
    refine: a recipe, a preset, or "none" for the network's image alone; None takes `fast` from a network's image and
        `standard` from other starts.
    start: "auto" takes the network's start where it is sane, else random ones and the conventional recipe; "mixed" the
        network's, disturbed, flat and random ones side by side. starts: how many a conventional or a mixed retrieval
        takes.
    grid: how fine the image becomes: "model" keeps the network's grid, "auto" goes on to what the measurement holds,
        "measured" to all its voxels, a number to at most so many along an axis.
    seed: of the generator that hides the free voxels and draws the random starts: the same seed gives the same result.
    slice: "center" takes the frame through the peak out of a rocking curve: the result is the image of the projection.
    """

    model: str | None = None
    domain: Domain = Domain.COUNTS
    preprocess: str = "auto"
    refine: str | None = None
    start: Start = "auto"
    starts: int = RULES.random_starts
    seed: int = 0
    slice: Slice = "none"
    grid: str = "auto"

    @property
    def finest(self) -> Grid:
        """The grid to climb to. Raises DataError. Without a refinement, and on a modulus, whose noise nobody knows,
        auto stays on the model's.
        """
        grid = parsed(self.grid)
        if grid == "auto" and (self.recipe() is None or self.domain is not Domain.COUNTS):
            return "model"
        return grid

    def recipe(self) -> Recipe | None:
        """The resolved refinement recipe, None for the network alone. Raises RecipeError."""
        text = self.refine or (CONVENTIONAL if self.start == "random" else FAST)
        if text.strip() == NO_REFINEMENT:
            return None
        recipe = recipes.resolve(text)
        if recipe.needs_counts and self.domain is not Domain.COUNTS:
            raise RecipeError(
                "loss=poisson is a likelihood of photon counts, and the input is a modulus: use loss=amplitude"
            )
        return recipe

    def conventional(self) -> Recipe:
        """The resolved recipe of starts that no network gave: the one that is named where they were asked for."""
        named = self.refine if self.start in ("random", "mixed") else None
        return recipes.resolve(named or CONVENTIONAL)

    def check(self) -> None:
        """Refuse before any data are read what cannot be carried out. Raises RecipeError, DataError."""
        if self.start not in get_args(Start):
            raise DataError(f"start is one of {', '.join(get_args(Start))}, not {self.start!r}")
        if self.slice not in get_args(Slice):
            raise DataError(f"slice is one of {', '.join(get_args(Slice))}, not {self.slice!r}")
        if self.starts < 1:
            raise DataError(f"starts is {self.starts}: a retrieval needs at least one start")
        recipe = self.recipe()
        grid = self.finest
        if recipe is None and grid != "model":
            raise RecipeError(
                f"refine=none answers with the network's image on its own grid, not with grid={self.grid}"
            )
        preset(self.preprocess, self.domain)
        if recipe is None and self.start == "random":
            raise RecipeError(
                "refine=none answers with the network's image, start=random asks no network: choose one of them"
            )
        if recipe is None and self.start == "mixed":
            raise RecipeError("refine=none answers with the network's image, start=mixed refines: choose one of them")

    @property
    def asks_network(self) -> bool:
        """Whether a network is needed: to predict the start or, with start=random, for the grid of a named model."""
        return self.start != "random" or self.model is not None
