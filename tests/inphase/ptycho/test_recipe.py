"""Recipes say what they mean."""

import pytest

from inphase.errors import RecipeError
from inphase.ptycho.options import Options
from inphase.ptycho.recipe import OPERATIONS, parse


def test_every_value_is_resolved_and_the_text_means_the_same() -> None:
    """Read, written, read."""
    recipe = parse(" 20*raar( beta = 0.9 ) + RPIE + 3*ADAM(loss=poisson,rate=1e-2)")
    assert recipe.text == "20*RAAR(beta=0.9)+1*RPIE(alpha=0.1,step=1)+3*ADAM(loss=poisson,rate=0.01)"
    assert parse(recipe.text) == recipe
    assert recipe.iterations == 24


def test_no_steps_need_something_to_leave_as_it_is() -> None:
    """A recipe that does nothing has a name, and is none without a start."""
    assert parse(" None ").steps == ()
    assert Options("none").parsed.iterations == 0
    with pytest.raises(RecipeError, match="name a model"):
        Options("none").require_steps()
    Options("1*EPIE").require_steps()


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_solver_can_be_named_alone(name: str) -> None:
    """With its defaults."""
    assert parse(name).steps[0].count == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "a count such as '20\\*EPIE'"),
        ("20*HIO", "unknown algorithm 'HIO'; known: EPIE, RPIE, DM, RAAR, ADAM, LBFGS"),
        ("0*RPIE", "between 1 and"),
        ("20 RPIE", "'20\\*EPIE'"),
        ("RPIE(beta=1)", "unknown key 'beta'; RPIE knows: alpha, step"),
        ("RPIE(alpha=1,alpha=0.5)", "given twice"),
        ("RAAR(beta=2)", "above 0 and at most 1"),
        ("RAAR(beta=nan)", "above 0 and at most 1"),
        ("ADAM(loss=l2)", "amplitude, poisson"),
        ("LBFGS(memory=2.5)", "whole number"),
        ("DM(beta=1)", "takes no parameters"),
        ("RPIE+", "a count such as"),
        ("RPIE | SW()", "did not expect '\\|' here: join terms with '\\+'\n"),
        ("SW()", "unknown algorithm 'SW'"),
        ("9*(99999*RPIE)", "more than"),
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
        {"search_px": 3.0},  # without an iteration from which positions are refined
    ],
)
def test_options_beyond_their_range_are_refused(wrong: dict[str, object]) -> None:
    """Before anything is read."""
    with pytest.raises(RecipeError):
        Options(**wrong)  # type: ignore[arg-type]
