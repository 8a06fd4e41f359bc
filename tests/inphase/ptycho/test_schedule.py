"""Which move is due when."""

import pytest

from inphase.ptycho.options import Options
from inphase.ptycho.schedule import Regrow, Search, Slopes, move


def test_a_search_shortens_its_steps_then_the_object_is_grown_anew_twice_settles_and_slopes() -> None:
    """Of 50 iterations: 30 of the search, two growths with two short searches after each, and half of the rest for
    short searches.
    """
    options = Options("60*EPIE", positions_start=10, search_px=8.0)
    moves = [move(options, iteration) for iteration in range(10, 60)]
    searches = [found.radius for found in moves[:30] if isinstance(found, Search)]
    assert len(searches) == 30
    assert searches[:15] == [8.0] * 15
    assert searches == sorted(searches, reverse=True)
    assert searches[-1] == pytest.approx(8.0 * 2 / 30)
    assert moves[30:36] == 2 * [Regrow(16.0), Search(2.0), Search(1.0)]
    assert moves[36:43] == 7 * [Search(1.0)]
    assert moves[43:] == 7 * [Slopes()]


def test_a_longer_recipe_settles_for_longer() -> None:
    """A part that is stretched as a whole needs it; slopes are at their end after a few iterations."""
    options = Options("110*EPIE", positions_start=10, search_px=8.0)
    moves = [move(options, iteration) for iteration in range(10, 110)]
    assert moves[66:92] == 26 * [Search(1.0)]
    assert moves[92:] == 8 * [Slopes()]


@pytest.mark.parametrize("refined", range(1, 31))
def test_every_growth_has_its_searches_and_is_never_the_last(refined: int) -> None:
    """A growth is coarse: a recipe too short for what follows one does without it, and slopes end it."""
    options = Options(f"{10 + refined}*EPIE", positions_start=10, search_px=8.0)
    moves = [move(options, iteration) for iteration in range(10, 10 + refined)]
    for k, found in enumerate(moves):
        if isinstance(found, Regrow):
            assert moves[k + 1 : k + 3] == [Search(2.0), Search(1.0)]
            assert moves[-1] == Slopes()


def test_without_a_search_slopes_are_followed_from_the_beginning() -> None:
    """Nothing else is due."""
    options = Options("20*EPIE", positions_start=5)
    assert {move(options, iteration) for iteration in range(5, 20)} == {Slopes()}
