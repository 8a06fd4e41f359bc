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
