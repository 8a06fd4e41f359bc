"""Networks that draw one object from one pattern."""

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from inphase.errors import DataError
from inphase.features import volume_features
from inphase.models.card import PatternCard
from inphase.models.families.single import decode, features
from inphase.pattern import Domain, Pattern

RNG = np.random.default_rng(0)


def card(**parts: Any) -> PatternCard:
    """What this module reads of a card."""
    return cast(PatternCard, SimpleNamespace(**parts))


@pytest.mark.parametrize(("grid", "box"), [((8, 12), (4, 6)), ((8, 8, 8), (4, 2, 8))])
def test_the_box_lies_centre_on_centre(grid: tuple[int, ...], box: tuple[int, ...]) -> None:
    """Every voxel keeps its place relative to N // 2, in two and in three axes; around the box it is zero."""
    amplitude, phase = (RNG.random((2, *box)).astype(np.float32) for _ in range(2))
    found = decode(card(grid=grid), {"amplitude": amplitude, "phase": phase})
    assert len(found) == 2
    for number, prediction in enumerate(found):
        assert prediction.amplitude.shape == prediction.phase.shape == grid
        for index in np.ndindex(box):
            place = tuple(i - b // 2 + g // 2 for i, b, g in zip(index, box, grid, strict=True))
            assert prediction.amplitude[place] == amplitude[number][index]
        assert np.count_nonzero(prediction.amplitude) == np.count_nonzero(amplitude[number])


def test_features_are_those_that_the_card_names() -> None:
    """And no others, of the pattern's intensity."""
    pattern = Pattern(RNG.poisson(50, (8, 8, 8)).astype(np.float32), np.zeros((8, 8, 8), np.uint8))
    found = features(card(domain=["counts"], inputs=["valid", "modulus"]), pattern, None)
    expected = volume_features(pattern.intensity, pattern.mask, None, ["valid", "modulus"])
    assert set(found) == {"valid", "modulus"}
    for name, tensor in found.items():
        np.testing.assert_array_equal(tensor, expected[name])


def test_a_network_for_another_domain_is_refused() -> None:
    """With its name, and what it takes."""
    pattern = Pattern(np.ones((8, 8, 8), np.float32), np.zeros((8, 8, 8), np.uint8))
    assert pattern.domain is Domain.COUNTS
    with pytest.raises(DataError, match="model a@1 takes modulus, not counts"):
        features(card(name="a", version=1, domain=["modulus"], inputs=["valid"]), pattern, None)
