"""Presets by name."""

import pytest

from inphase.errors import RecipeError
from inphase.pattern import Domain
from inphase.preprocess import PRESETS, preset


def test_auto_depends_on_the_domain() -> None:
    """Counts get everything; a modulus has no hot pixels, counts or background."""
    assert preset("auto", Domain.COUNTS) is PRESETS["auto"]
    assert preset("auto", Domain.MODULUS) is PRESETS["modulus"]
    assert PRESETS["modulus"].background is None
    assert PRESETS["modulus"].hot_pixels is None


def test_a_typo_is_answered_with_what_there_is() -> None:
    """The error lists the presets."""
    with pytest.raises(RecipeError, match=r"'atuo'.*auto, modulus, none"):
        preset("atuo", Domain.COUNTS)


def test_text_holds_the_resolved_values() -> None:
    """What goes into the job document: every step with every value, in order; steps left out do not appear."""
    assert PRESETS["auto"].text == (
        "auto: lost_frames(least=20.0) dead_pixels(least=20.0) hot_pixels(ratio=6.0, least=12.0) "
        "centring(reference=peak) binning(target=3.0, least=2.3, most=5.4) background(quantile=0.1)"
    )
    assert PRESETS["none"].text == "none: centring(reference=array)"


def test_a_saturation_that_the_file_tells_joins_the_steps() -> None:
    """Of counts in every preset, and first; a modulus has none."""
    assert preset("auto", Domain.COUNTS, 20000.0).text.startswith("auto: saturation(20000.0) lost_frames(")
    assert preset("none", Domain.COUNTS, 20000.0).text == "none: saturation(20000.0) centring(reference=array)"
    assert preset("auto", Domain.MODULUS, 20000.0) is PRESETS["modulus"]


def test_steps_change_a_preset() -> None:
    """Keys that are left out keep the preset's values; a step can be added or left out; the text says it all."""
    made = preset(
        "auto: hot_pixels(ratio=10) binning(factors=4x2x2), background(off) threshold(least=2) crop(frames=20:180) "
        "centring(voxel=99x126x127) saturation(60000) aliens()",
        Domain.COUNTS,
        20000.0,
    )
    assert made.text == (
        "auto: saturation(60000.0) crop(frames=20:180) lost_frames(least=20.0) dead_pixels(least=20.0) "
        "hot_pixels(ratio=10.0, least=12.0) threshold(least=2.0) aliens(most=8) "
        "centring(reference=peak, voxel=99x126x127) binning(target=3.0, least=2.3, most=5.4, factors=4x2x2) "
        "background(off)"
    )
    assert preset(made.text, Domain.COUNTS) == made
    assert preset(PRESETS["auto"].text, Domain.COUNTS) == PRESETS["auto"]
    assert preset("none: background(level=0.5)", Domain.COUNTS).background is not None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("auto: hotpixels(ratio=3)", "no preprocessing step 'hotpixels'"),
        ("auto: hot_pixels(ration=3)", "has no 'ration'"),
        ("auto: hot_pixels ratio=3", "not understood"),
        ("auto: hot_pixels(ratio=x)", "a number from 1 on"),
        ("auto: hot_pixels(ratio=-1)", "a number from 1 on"),
        ("auto: hot_pixels(ratio=nan)", "a number from 1 on"),
        ("auto: binning(factors=4)", "such as 4x2x2"),
        ("auto: binning(factors=0x1x1)", "from 1 to 1000"),
        ("auto: crop(frames=9:3)", "first and end"),
        ("auto: centring(off)", "cannot be off"),
        ("auto: centring(reference=middle)", "peak, mass or array"),
        ("auto: aliens(most=0)", "from 1 to 100"),
        ("auto: binning(off) binning(off)", "named twice"),
        ("auto: hot_pixels(ratio=10, ratio=20)", "names ratio twice"),
        ("auto: hot_pixels(ratio=0.5)", "from 1 on"),
        ("auto: hot_pixels(least=-1)", "from 0 on"),
        ("auto: dead_pixels(least=0)", "from 1 on"),
        ("auto: lost_frames(least=0)", "from 1 on"),
        ("auto: saturation(0)", "from 1 on"),
        ("auto: binning(least=0)", "from 1 on"),
        ("auto: binning(target=0)", "from 1 on"),
        ("auto: background(quantile=0)", "between 0 and 1"),
        ("auto: background(quantile=1)", "between 0 and 1"),
        ("auto: background(quantile=5)", "between 0 and 1"),
    ],
)
def test_a_mistyped_step_is_told(text: str, words: str) -> None:
    """With what is expected in its place."""
    with pytest.raises(RecipeError, match=words):
        preset(text, Domain.COUNTS)


def test_steps_for_counts_are_refused_for_a_modulus() -> None:
    """A threshold in counts means nothing for its square root; binning does."""
    with pytest.raises(RecipeError, match="a step for counts"):
        preset("auto: threshold(least=2)", Domain.MODULUS)
    assert preset("auto: binning(factors=2x2x2)", Domain.MODULUS).binning is not None
