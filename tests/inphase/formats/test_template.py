"""Placeholders of paths: filled in, matched as regular expressions would, in time that does not explode,
and refused.
"""

import random
import re
import time

import pytest

from inphase.errors import DataError
from inphase.formats import template
from inphase.formats.template import check, filled, matched, matched_path

_PIECE = re.compile(r"\{(\w+)\}|\*")
_PATTERNS = {"scan": "[0-9]+", "sample": ".+", "detector": ".+"}


def by_regular_expression(text: str, name: str, known: dict[str, str]) -> dict[str, str] | None:
    """The same, by Python's own matcher, which tries every way to divide a name."""
    parts, end, seen = [], 0, set()
    for match in _PIECE.finditer(text):
        parts.append(re.escape(text[end : match.start()]))
        end, key = match.end(), match[1]
        if key is None:
            parts.append(".*")
        elif key in known:
            parts.append(re.escape(known[key]))
        else:
            parts.append(f"(?P={key})" if key in seen else f"(?P<{key}>{_PATTERNS[key]})")
            seen.add(key)
    found = re.fullmatch("".join(parts) + re.escape(text[end:]), name, re.DOTALL)
    if found is None:
        return None
    return {**known, **{k: str(int(v)) if k == "scan" else v for k, v in found.groupdict().items()}}


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


def test_names_match_as_regular_expressions_do() -> None:
    """6,000 short templates and names, many of which fit in several ways: the same way is taken."""
    chance = random.Random(3)
    pieces = ["{scan}", "{sample}", "{detector}", "*", "a", "_", "1", "b_"]
    hits = 0
    for _ in range(6000):
        text = "".join(chance.choice(pieces) for _ in range(chance.randint(1, 6)))
        if len(_PIECE.findall(text)) > 4:
            continue
        known = {key: value for key, value in (("scan", "1"), ("sample", "a")) if chance.random() < 0.2}
        name = "".join(chance.choice("a_1b2") for _ in range(chance.randint(0, 9)))
        expected = by_regular_expression(text, name, known)
        assert template.matched(text, name, known) == expected, (text, name, known)
        hits += expected is not None
    assert hits > 300


@pytest.mark.parametrize("text", ["*a*a*a*ac", "{sample}a{detector}a*a*ac", "{scan}{sample}{scan}a*c"])
def test_a_name_of_one_letter_takes_no_time(text: str) -> None:
    """200 names of 243 letters, which a regular expression divides in 10 to the 9 ways each,
    take less than a second of CPU.
    """
    begun = time.process_time()
    assert all(template.matched(text, f"{'a' * 240}{number:03d}", {}) is None for number in range(200))
    assert time.process_time() - begun < 1.0
