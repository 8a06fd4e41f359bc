"""Networks that draw parts of an object from groups of patterns."""

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from inphase.models.card import ScanCard
from inphase.models.families.scan import decode, features, input_shapes, output_shapes


def card(**parts: Any) -> ScanCard:
    """What this module reads of a card."""
    known = {
        "grid": (8, 8), "box": (4, 4), "inputs": ["patterns"], "outputs": {"amplitude": (0, 1), "phase": (-3, 3)},
        "offsets_px": [(0, 0), (0, 4)], "shown": "modulus", "offset": 0.0, "scale": 1.0,
    }  # fmt: skip
    return cast(ScanCard, SimpleNamespace(**(known | parts)))


def test_a_group_has_a_channel_for_each_pattern() -> None:
    """In and out."""
    assert input_shapes(card()) == {"patterns": (2, 8, 8)}
    assert output_shapes(card()) == {"amplitude": (2, 4, 4), "phase": (2, 4, 4)}


@pytest.mark.parametrize(("shown", "expected"), [("modulus", (300 - 10) / 5), ("counts", (90_000 - 10) / 5)])
def test_patterns_are_shown_as_the_card_says(shown: str, expected: float) -> None:
    """Of whole numbers too, whose squares and differences would not fit their own type; unknown pixels are dark."""
    counts = np.full((1, 2, 8, 8), 90_000, np.uint32)
    known = np.ones(counts.shape, bool)
    known[0, 1, 2, 3] = False
    (found,) = features(card(shown=shown, offset=10.0, scale=5.0), counts, known).values()
    assert found.dtype == np.float32
    assert found[0, 0, 0, 0] == pytest.approx(expected)
    assert found[0, 1, 2, 3] == pytest.approx(-2)


def test_parts_are_complex() -> None:
    """Amplitude times exp(i phase)."""
    phase = np.full((1, 2, 4, 4), 0.5, np.float32)
    found = decode(card(), {"amplitude": 2 * phase, "phase": phase})
    assert found.dtype == np.complex64
    np.testing.assert_allclose(found, np.exp(0.5j), rtol=1e-6)
