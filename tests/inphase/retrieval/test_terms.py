"""What algorithms and clauses mean: their defaults, when they are due, which bounds they keep."""

import re

import pytest

from inphase.errors import RecipeError
from inphase.retrieval.grammar import parse
from inphase.retrieval.terms import PhaseRange, ShrinkWrap


def test_the_shrink_wrap_clause_has_defaults_and_ranges():
    """Keys that are not given keep their default; a single number is a constant range."""
    assert parse("5*ER | SW()").shrink_wrap == (ShrinkWrap(),)
    assert parse("5*ER|sw( every=5 , sigma=1.5, volume=0.01..0.5 )").shrink_wrap == (
        ShrinkWrap(every=5, sigma=(1.5, 1.5), volume=(0.01, 0.5)),
    )
    assert parse("5*ER | SW(sigma=3..0.5)").shrink_wrap[0].sigma == (3.0, 0.5)


def test_a_shrink_wrap_holds_until_the_next_one_starts():
    """Each runs through its own threshold and sigma; the order in the text does not matter."""
    recipe = parse("60*ER | SW(start=40,threshold=0.3,sigma=1) | SW(threshold=0.1..0.2)")
    loose, tight = recipe.shrink_wrap
    due = {i: recipe.support_update(i) for i in range(60) if recipe.support_update(i) is not None}
    assert due == {10: (loose, 0.0), 20: (loose, 0.5), 30: (loose, 1.0), 40: (tight, 0.0), 50: (tight, 1.0)}


def test_a_phase_range_may_be_negative():
    """The only values below zero besides an erosion."""
    assert parse("ER | PHASE(range=-1.5..-0.5, until=7)").phase_range == PhaseRange((-1.5, -0.5), 7)


def test_no_clause_no_support_update():
    """`50*ER` keeps its support."""
    assert parse("50*ER").shrink_wrap == ()


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("50*er", "50*ER"),
        ("ER+HIO", "1*ER+1*HIO(beta=0.9)"),
        (" 10 * hio( beta = .75 ) ", "10*HIO(beta=0.75)"),
        ("2*(3*(ER)+RAAR(beta=0.8))+4*AER", "2*(3*(1*ER)+1*RAAR(beta=0.8))+4*AER"),
        ("DM+SF", "1*DM(beta=0.9)+1*SF"),
        (
            "adam+lbfgs(LOSS=Poisson)",
            "1*ADAM(loss=amplitude,rate=0.1)+1*LBFGS(loss=poisson,memory=10)",
        ),
        (
            "ER|SW()",
            "1*ER | SW(every=10,start=1,threshold=0.15..0.15,sigma=2..1,volume=0.005..1,"
            "reference=intensity,component=all,expand=0,within=1)",
        ),
        (
            "ER | average(last=5) | PHASE(range=-1..0.5) | DETWIN()",  # clauses come in any order
            "1*ER | DETWIN(at=20,count=10) | PHASE(range=-1..0.5,until=100000) | AVERAGE(last=5)",
        ),
        (
            "ER | LOWRES() | PC(kernel=GAUSS)",
            "1*ER | PC(start=100,every=50,hold=1,kernel=gauss,iterations=20,size=9,sigma=0.5) "
            "| LOWRES(sigma=0.2..1,until=200,every=10,side=1)",
        ),
    ],
)
def test_canonical_text_resolves_every_default(text, canonical):
    """Provenance stores a text that says everything."""
    assert parse(text).text == canonical


def test_a_recipe_cannot_ask_for_endless_work():
    """Nested counts multiply; a bound on their product and on the length protects a worker."""
    with pytest.raises(RecipeError, match="iterations"):
        parse("99999*(99999*(99999*ER))")
    with pytest.raises(RecipeError, match="characters"):
        parse("ER+" * 2000 + "ER")


@pytest.mark.parametrize(
    ("clause", "hint"),
    [("PC(start=8)", "PC starts at iteration 8"), ("AVERAGE(last=12)", "AVERAGE(last=12) reaches back")],
)
def test_what_goes_on_between_iterations_needs_one_grid(clause, hint):
    """A kernel and a mean live on the grid of the data: they begin when LOWRES has reached it, and not before."""
    with pytest.raises(RecipeError, match=re.escape(hint)):
        parse(f"20*ER | LOWRES(until=9,side=0.5) | {clause}")
    parse(f"20*ER | LOWRES(until=8,side=0.5) | {clause}")
    parse(f"20*ER | LOWRES(until=9) | {clause}")


def test_low_resolutions_follow_each_other():
    """In the order of their ends, each from where the one before has ended, its Gaussian over its own iterations."""
    recipe = parse("30*ER | LOWRES(until=20,side=0.75,sigma=0.4..0.8,every=5) | LOWRES(until=10,side=0.5)")
    assert [recipe.side(i) for i in (0, 9, 10, 19, 20)] == [0.5, 0.5, 0.75, 0.75, 1]
    clause, begin = recipe.lowered(10)
    assert begin == 10
    assert [clause.width(i, begin) for i in (10, 14, 15)] == pytest.approx([0.4, 0.4, 0.4 * 2**0.5])
    assert recipe.lowered(20) is None


def test_the_support_follows_the_grid():
    """An update is due where the grid changes, whatever `every` says, once SW has begun."""
    recipe = parse("30*ER | LOWRES(until=12,side=0.5) | SW(every=10)")
    assert [i for i in range(30) if recipe.support_update(i)] == [10, 12, 20]
    assert parse("30*ER | LOWRES(until=12,side=0.5) | SW(start=15)").support_update(12) is None
    _, progress = parse("30*ER | LOWRES(until=5,side=0.5) | SW(every=10)").support_update(5)
    assert progress == 0  # before the first that is due: the first values hold, nothing is extrapolated
