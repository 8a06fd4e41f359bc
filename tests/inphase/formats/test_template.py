"""inphase.formats.template: names are matched as regular expressions would, in time that does not explode."""

import random
import re
import time

import pytest

from inphase.formats import template

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
    """200 names of 243 letters, which a regular expression divides in 10 to the 9 ways each, take less than a second of CPU."""
    begun = time.process_time()
    assert all(template.matched(text, f"{'a' * 240}{number:03d}", {}) is None for number in range(200))
    assert time.process_time() - begun < 1.0
