"""How a ptychographic measurement is to be reconstructed."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inphase.errors import RecipeError
from inphase.ptycho.recipe import DEFAULT, NONE, parse
from inphase.retrieval.terms import Recipe

MOST_MODES: Final = 9  # of a probe
_FEWEST = 20  # frames, of which some can be held out


@dataclass(frozen=True)
class Options:
    """How to reconstruct.

    recipe: as in `recipe.parse`. modes: of the probe, None for those of its guess, or 1. probe_start: the iteration
    from which the probe is refined. positions_start: the same of the positions, None for never. search_px: error of the
    positions that a search is to find before slopes are followed; 0 for none. hold_out: share of the frames that no
    solver sees. batch: frames that are computed together. turn: whether the eight ways in which positions may lie on
    the patterns are tried on the first frames. seed: of the order of batches and of the held-out frames.
    """

    recipe: str = DEFAULT
    modes: int | None = None
    probe_start: int = 2
    positions_start: int | None = None
    search_px: float = 0.0
    hold_out: float = 0.05
    batch: int = 16
    turn: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises RecipeError for what cannot be meant."""
        parse(self.recipe)
        if self.modes is not None and not 1 <= self.modes <= MOST_MODES:
            raise RecipeError(f"a probe has 1 to {MOST_MODES} modes, not {self.modes}")
        if not 0 <= self.hold_out <= 0.5:
            raise RecipeError(f"the share of frames held out lies between 0 and 0.5, not at {self.hold_out}")
        if not 1 <= self.batch <= 65_536:
            raise RecipeError(f"a batch has 1 to 65536 frames, not {self.batch}")
        if self.probe_start < 0 or (self.positions_start is not None and self.positions_start < 0):
            raise RecipeError("iterations are counted from 0: a start below it is none")
        if not 0 <= self.search_px <= 100:
            raise RecipeError(f"positions are searched within 0 to 100 pixels, not {self.search_px}")
        if self.search_px and self.positions_start is None:
            raise RecipeError("positions are searched from the iteration `positions_start` on: give it as well")

    @property
    def parsed(self) -> Recipe:
        """The recipe with every value resolved."""
        return parse(self.recipe)

    def require_steps(self) -> None:
        """Raises RecipeError for a recipe without any, where nothing is there that it could leave as it is."""
        if not self.parsed.steps:
            raise RecipeError(f"the recipe {NONE} leaves the image of a network as it is: name a model")

    @property
    def margin(self) -> int:
        """Pixels around the object for positions that move."""
        return 0 if self.positions_start is None else 4 + int(np.ceil(2 * self.search_px))

    def held_out(self, frames: int, generator: np.random.Generator) -> NDArray[np.intp]:
        """Which of the frames no solver sees."""
        count = round(self.hold_out * frames) if frames >= _FEWEST else 0
        return np.sort(generator.permutation(frames)[:count])
