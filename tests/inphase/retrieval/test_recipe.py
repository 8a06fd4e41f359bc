"""Presets, and a recipe's text as its provenance."""

import pytest

from inphase.retrieval.recipe import PRESETS, PURPOSES, parse, resolve


@pytest.mark.parametrize("name", ["fast", "coarse"])
def test_short_presets_end_as_the_conventional_one(name):
    """A comparison ends both arms with the same threshold, sigma and volume guards;
    these cost at most 60 ER iterations.
    """
    short, papers = resolve(name), resolve(" autophasenn-600 ")
    assert papers.iterations == 600
    assert sum(short.side(i) ** 3 for i in range(short.iterations)) <= 60  # an iteration costs what its grid has voxels
    last, (other,) = short.shrink_wrap[-1], papers.shrink_wrap
    assert (last.threshold, last.sigma[1], last.volume) == (other.threshold, other.sigma[1], other.volume)


@pytest.mark.parametrize(
    "text", [*PRESETS.values(), "RAAR(beta=0.75)+2*(ER+3*AER) | SW(every=3,expand=-2) | AVERAGE()"]
)
def test_canonical_text_parses_to_the_same_recipe(text):
    """parse(recipe.text) == recipe."""
    assert parse(parse(text).text) == parse(text)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_has_a_purpose_that_tells_its_iterations(name: str) -> None:
    """As many as its recipe has."""
    assert PURPOSES[name].endswith(f"({resolve(name).iterations} iterations)")


def test_every_purpose_is_that_of_a_preset() -> None:
    """No other."""
    assert PURPOSES.keys() == PRESETS.keys()
