"""What a caller may choose, and which choices exclude each other."""

import pytest

from inphase.errors import DataError, RecipeError
from inphase.imaging.options import CONVENTIONAL, FAST, Options
from inphase.pattern import Domain
from inphase.retrieval import recipe as recipes


def test_a_likelihood_of_counts_needs_counts() -> None:
    """loss=poisson of a modulus is refused before anything runs."""
    assert Options(refine="5*LBFGS(loss=poisson)").recipe() is not None
    with pytest.raises(RecipeError, match="loss=amplitude"):
        Options(refine="5*ER+2*(LBFGS(loss=poisson))", domain=Domain.MODULUS).recipe()


def test_the_default_recipe_follows_the_start() -> None:
    """`fast` from a network's image, the conventional one where no network begins; "none" is no recipe."""
    assert Options().recipe() == recipes.resolve("fast")
    assert Options(start="random").recipe() == recipes.resolve(CONVENTIONAL)
    assert Options(start="mixed").recipe() == recipes.resolve(FAST)
    assert Options(start="mixed").conventional() == recipes.resolve(CONVENTIONAL)
    assert Options(start="mixed", refine="7*ER").conventional() == recipes.resolve("7*ER")
    assert Options(refine="7*ER").conventional() == recipes.resolve(CONVENTIONAL)
    assert Options(refine=" none ").recipe() is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (Options(start="netwerk"), "start is one of auto, network, random, mixed"),  # type: ignore[arg-type]
        (Options(starts=0), "at least one start"),
        (Options(slice="middle"), "slice is one of none, center"),  # type: ignore[arg-type]
        (Options(refine="none", start="random"), "asks no network"),
        (Options(refine="none", start="mixed"), "mixed refines"),
        (Options(refine="50*EX"), "EX"),
        (Options(preprocess="nothing"), "nothing"),
        (Options(grid="finer"), "grid is model, auto, measured"),
        (Options(refine="none", grid="measured"), "on its own grid"),
    ],
)
def test_what_cannot_be_carried_out_is_refused(options: Options, words: str) -> None:
    """Before any data are read."""
    with pytest.raises((DataError, RecipeError), match=words):
        options.check()


def test_auto_stays_on_the_models_grid_where_nothing_could_judge_a_finer_one() -> None:
    """Without a refinement, and on a modulus; a grid that is named is taken."""
    assert Options().finest == "auto"
    assert Options(refine="none").finest == "model"
    assert Options(domain=Domain.MODULUS).finest == "model"
    assert Options(domain=Domain.MODULUS, grid="128").finest == 128


def test_a_random_start_asks_no_network_but_a_named_one() -> None:
    """A named network gives the grid."""
    assert Options().asks_network
    assert not Options(start="random").asks_network
    assert Options(start="random", model="inphase-bcdi").asks_network
