"""The recipe grammar: what it accepts, and errors that point at the fault."""

import pytest

from inphase.errors import RecipeError
from inphase.retrieval.grammar import parse
from inphase.retrieval.terms import ER, HIO, Group, Recipe, Step


def test_a_sequence_is_parsed_into_its_tree():
    """Counts, brackets and default betas end up where they belong."""
    recipe = parse("3*(20*ER+160*HIO+20*ER)")
    inner = (Step(ER(), 20), Step(HIO(0.9), 160), Step(ER(), 20))
    assert recipe == Recipe((Group(3, inner),))
    assert recipe.iterations == 600
    assert recipe.steps == inner * 3


@pytest.mark.parametrize(
    ("text", "at", "hint"),
    [
        ("", 0, "expected an algorithm"),
        ("50*EX", 3, "known: ER, HIO, RAAR, DM, SF, AF, AER"),
        ("50ER", 2, "'50*ER'"),
        ("3*(20*ER", 8, "expected ')'"),
        ("20*ER)", 5, "did not expect ')'"),
        ("20*ER 10*HIO", 6, "join terms with '+'"),
        ("20*ER+", 6, "expected an algorithm"),
        ("0*ER", 0, "between 1 and"),
        ("1.5*ER", 0, "whole number"),
        ("ER(beta=1)", 0, "takes no parameters"),
        ("HIO(gamma=1)", 4, "HIO knows: beta"),
        ("HIO(beta=2)", 9, "at most 1"),
        ("20*ER+SW()", 6, "clause at the end"),
        ("20*ER |", 7, "expected a clause here: SW(...), DETWIN(...)"),
        ("20*ER | SW(evry=3)", 11, "SW knows: every, start, threshold"),
        ("20*ER | SW(reference=mean)", 21, "one of intensity, max, rms, p99"),
        ("20*ER | SW(expand=7)", 18, "between -5 and 5"),
        ("20*ER | SW(every=-3)", 17, "between 1 and"),
        ("20*ER | SW() | SW(every=5)", 15, "two SW clauses start at iteration 1"),
        ("20*ER | PC() | PC()", 15, "stands twice"),
        ("20*ER | PHASE(range=1..-1)", 14, "lowest..highest"),
        ("20*ER | SW(every=3,every=3)", 19, "twice"),
        ("20*ER | LOWRES(until=9) | LOWRES(until=9,side=0.5)", 26, "two LOWRES clauses end at iteration 9"),
        ("20*ER | SW(every=0)", 17, "between 1 and"),
        ("20*ER | SW(threshold=1.5)", 21, "at most 1"),
        ("20*ER | SW(volume=0.5..0.1)", 11, "smallest..largest"),
        ("20*ER | SW(sigma=2...1)", 18, "expected ','"),
        ("20*ER | SW() + ER", 13, "another clause follows"),
        ("20*ER;import", 5, "did not expect ';'"),
        ("9*" * 3 + "ER", 2, "expected an algorithm"),
        ("(" * 20 + "ER" + ")" * 20, 8, "brackets inside each other"),
    ],
)
def test_an_error_points_at_the_fault_and_hints(text, at, hint):
    """The caret stands under the offending character, the message says what would be right."""
    with pytest.raises(RecipeError) as caught:
        parse(text)
    message, shown, caret = str(caught.value).split("\n")
    assert hint in message
    assert shown == f"  {text}"
    assert caret == "  " + " " * at + "^"


def test_control_characters_cannot_break_the_message():
    """A newline in the text does not move the caret's line."""
    with pytest.raises(RecipeError) as caught:
        parse("20*ER\n+\x1b[31mEX")
    assert str(caught.value).count("\n") == 2
    assert "\x1b" not in str(caught.value)
