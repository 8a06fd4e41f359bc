"""Placeholders of paths: filled in, matched, and refused."""

import pytest

from inphase.errors import DataError
from inphase.formats.template import check, filled, matched, matched_path


def test_known_placeholders_are_filled_in() -> None:
    """With leading zeros where they are asked for; a path that still holds something unknown is None."""
    assert filled("s_{scan:05d}/{detector}", {"scan": "54", "detector": "mpx"}) == "s_00054/mpx"
    assert filled("s_{scan}", {"scan": "54"}) == "s_54"
    assert filled("s_{scan}/*", {"scan": "54"}) is None
    assert filled("s_{scan}", {"sample": "gold"}) is None
    with pytest.raises(DataError, match="asks for a number, 'gold' is none"):
        filled("{sample:05d}", {"sample": "gold"})


def test_a_name_tells_what_placeholders_stand_for() -> None:
    """A scan's number comes without zeros; what was known before must agree, and what stands twice is the same."""
    assert matched("{sample}_{scan}.1", "gold_7_00012.1", {}) == {"sample": "gold_7", "scan": "12"}
    assert matched("s{scan:04d}", "s0012", {"scan": "12"}) == {"scan": "12"}
    assert matched("s{scan:04d}", "s0013", {"scan": "12"}) is None
    assert matched("{sample}-{sample}", "a-a", {}) == {"sample": "a"}
    assert matched("{sample}-{sample}", "a-b", {}) is None
    assert matched("*mu*", "i14-mu-4", {}) == {}
    assert matched("a.b", "aXb", {}) is None  # a dot is a dot


def test_a_path_is_matched_name_by_name() -> None:
    """What one name tells holds for the next; a path of another length does not match."""
    assert matched_path("{sample}_{scan}/{sample}", "au_3/au", {}) == {"sample": "au", "scan": "3"}
    assert matched_path("{sample}_{scan}/{sample}", "au_3/pt", {}) is None
    assert matched_path("*/det", "a/b/det", {}) is None


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{scan", "is written"),
        ("{scan:5}", "is written"),
        ("{run}", "no placeholder {run}"),
        ("*a*b*c*d*", "more than 4"),
    ],
)
def test_a_template_that_cannot_be_is_refused(template: str, words: str) -> None:
    """With what is wrong with it."""
    with pytest.raises(ValueError, match=words):
        check(template)
