"""Recipes say what they mean."""

import pytest

from inphase.errors import RecipeError
from inphase.ptycho.options import Options
from inphase.ptycho.recipe import OPERATIONS, parse


def test_every_value_is_resolved_and_the_text_means_the_same() -> None:
    """Read, written, read."""
    recipe = parse(" 20*raar( beta = 0.9 ) + RPIE + 3*ADAM(loss=poisson,rate=1e-2)")
    assert str(recipe) == "20*RAAR(beta=0.9)+1*RPIE(alpha=0.1,step=1)+3*ADAM(loss=poisson,rate=0.01)"
    assert parse(str(recipe)) == recipe
    assert recipe.iterations == 24


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_solver_can_be_named_alone(name: str) -> None:
    """With its defaults."""
    assert parse(name).steps[0].count == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no term"),
        ("20*HIO", "no solver"),
        ("0*RPIE", "no iteration"),
        ("20 RPIE", "no term"),
        ("RPIE(beta=1)", "no value 'beta'"),
        ("RAAR(beta=2)", "from 0.1 to 1"),
        ("RAAR(beta=nan)", "from 0.1 to 1"),
        ("ADAM(loss=l2)", "amplitude, poisson"),
        ("DM(beta=1)", "it has none"),
        ("RPIE+", "no term"),
        ("99999999*RPIE", "more than"),
    ],
)
def test_what_is_wrong_is_told(text: str, says: str) -> None:
    """Where, and what is known."""
    with pytest.raises(RecipeError, match=says):
        parse(text)


@pytest.mark.parametrize(
    "wrong",
    [
        {"recipe": "HIO"},
        {"modes": 0},
        {"modes": 99},
        {"hold_out": 0.9},
        {"batch": 0},
        {"probe_start": -1},
        {"positions_start": -1},
        {"search_px": 1e9},
    ],
)
def test_options_beyond_their_range_are_refused(wrong: dict[str, object]) -> None:
    """Before anything is read."""
    with pytest.raises(RecipeError):
        Options(**wrong)  # type: ignore[arg-type]
