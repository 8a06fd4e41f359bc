"""What each iteration does to the positions: long steps, shorter ones, the object grown anew, short steps, slopes."""

from dataclasses import dataclass
from typing import Final

from inphase.ptycho.options import Options

SEARCHING: Final = 0.6  # share of the iterations with refinement in which the search shortens its steps
SHORTEST: Final = 0.5  # pixels: below it slopes are followed
REACH: Final = 2.0  # times `search_px`: so far from the recorded position a frame is put down anew
AFTER: Final = (2.0, 1.0)  # pixels: steps of the searches that follow a new growth, which is coarse
GROWTHS: Final = 2
ENDING: Final = 8  # iterations that end with slopes, or half of those after the growths, where that is fewer


@dataclass(frozen=True)
class Search:
    """`refinement.search_in_halves` with steps of so many pixels."""

    radius: float


@dataclass(frozen=True)
class Regrow:
    """`regrowth.regrow` within so many pixels of the recorded positions."""

    radius: float


@dataclass(frozen=True)
class Slopes:
    """`refinement.gauss_newton`."""


def move(options: Options, iteration: int) -> Search | Regrow | Slopes:
    """What is due after an iteration from `positions_start` on."""
    start = options.positions_start or 0
    done, left = iteration - start, options.parsed.iterations - start
    if not options.search_px:
        return Slopes()
    # long steps for half of the search, then shorter and shorter ones
    searches = round(SEARCHING * left)
    if done < searches:
        return Search(max(SHORTEST, options.search_px * min(1.0, 2 * (1 - done / searches))))
    # no growth without its searches, nor as the last that is done
    whole = 1 + len(AFTER)
    growths = max(0, min(GROWTHS, (left - searches - 1) // whole))
    growth, step = divmod(done - searches, whole)
    if growth < growths:
        return Search(AFTER[step - 1]) if step else Regrow(REACH * options.search_px)
    # a part that is stretched as a whole follows slopes too slowly
    begun = searches + growths * whole
    settling = max((left - begun) // 2, left - begun - ENDING) if growths else 0
    return Search(AFTER[-1]) if done - begun < settling else Slopes()
