"""Paths with placeholders: `{sample}_{scan}.1/measurement/{detector}`, `com/SIXS/*mu*/position`, `{scan:05d}`.

A placeholder that is known is filled in; one that is not is found in the file, and `*` stands for any text in one name.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import count

import h5py

from inphase.errors import DataError, TooLargeError
from inphase.formats.tree import Tree, names_in

Known = Mapping[str, str]
PLACEHOLDERS = ("scan", "sample", "detector")
_FIELD = re.compile(r"\{(\w+)(?::0(\d)d)?\}|\*")
_DIGITS = frozenset("0123456789")
_TWICE = 100  # steps that a name counts as where one placeholder stands in it twice
_MAX_OPEN = 4  # of one name
_LONGEST = 255
_MOST_NAMES = 20_000


def check(template: str) -> None:
    """Raises ValueError that says what is wrong with a template."""
    rest = _FIELD.sub("", template)
    if "{" in rest or "}" in rest:
        raise ValueError(f"'{template}': a placeholder is written {{scan}}, {{scan:05d}}, {{sample}} or {{detector}}")
    for match in _FIELD.finditer(template):
        if match[1] and match[1] not in PLACEHOLDERS:
            raise ValueError(f"'{template}': has no placeholder {{{match[1]}}}, there are {', '.join(PLACEHOLDERS)}")
    if any(len(_FIELD.findall(name)) > _MAX_OPEN for name in template.split("/")):
        raise ValueError(f"'{template}': more than {_MAX_OPEN} placeholders in one name")


def filled(template: str, known: Known) -> str | None:
    """The text, where every placeholder is known and none is `*`; else None."""
    missing = [m for m in _FIELD.finditer(template) if not m[1] or m[1] not in known]
    return None if missing else _FIELD.sub(lambda match: _value(match, known), template)


def matched(template: str, name: str, known: Known) -> dict[str, str] | None:
    """What the placeholders of one name stand for, with what was known before; None where the name does not match."""
    if len(name) > _LONGEST:
        return None
    found = _fitted(_parts(template, tuple(sorted(known.items()))), name)
    return None if found is None else {**known, **{key: _plain(key, text) for key, text in found.items()}}


def matched_path(template: str, path: str, known: Known) -> dict[str, str] | None:
    """The same for a whole path."""
    parts, names = template.strip("/").split("/"), path.strip("/").split("/")
    found: dict[str, str] | None = dict(known) if len(parts) == len(names) else None
    for part, name in zip(parts, names, strict=False):
        if found is not None:
            found = matched(part, name, found)
    return found


def expanded(
    tree: Tree, template: str, known: Known
) -> Iterator[tuple[str, dict[str, str], h5py.Group | h5py.Dataset]]:
    """Every object of a file that a template names: its path, what the placeholders stand for, and itself.

    Raises TooLargeError where more than 20,000 names would have to be tried, or too many for all templates of a
    description.
    """
    tried = count()
    yield from _below(tree, tree.root, "", [part for part in template.split("/") if part], dict(known), tried)


def _below(
    tree: Tree,
    item: h5py.Group | h5py.Dataset,
    path: str,
    parts: list[str],
    known: dict[str, str],
    tried: "count[int]",
) -> Iterator[tuple[str, dict[str, str], h5py.Group | h5py.Dataset]]:
    if not parts:
        yield path.lstrip("/"), known, item
        return
    if not isinstance(item, h5py.Group):
        return
    literal = filled(parts[0], known)
    if literal is not None:
        tree.count_step()
        child = tree.step(item, literal)
        if child is not None:
            yield from _below(tree, child, f"{path}/{literal}", parts[1:], known, tried)
        return
    effort = _TWICE if _again(_parts(parts[0], tuple(sorted(known.items())))) else 1
    for name in names_in(item):
        tree.count_step(effort)
        if next(tried) >= _MOST_NAMES:
            raise TooLargeError(
                f"{tree.path}: more than {_MOST_NAMES} names may be meant: give scan=, sample=, detector="
            )
        found = matched(parts[0], name, known)
        if found is not None and (child := tree.step(item, name)) is not None:
            yield from _below(tree, child, f"{path}/{name}", parts[1:], found, tried)


@dataclass(frozen=True)
class _Gap:
    """What stands between the fixed texts of a name: a placeholder, or `*` (no name). digits: of a scan's number."""

    name: str

    @property
    def digits(self) -> bool:
        return self.name == "scan"


@lru_cache(256)
def _parts(template: str, known: tuple[tuple[str, str], ...]) -> tuple[str | _Gap, ...]:
    """The template of one name in order: fixed texts, and what is not known between them."""
    given = dict(known)
    parts: list[str | _Gap] = []
    end = 0
    for match in _FIELD.finditer(template):
        filled_in = _value(match, given) if match[1] and match[1] in given else None
        parts += [template[end : match.start()], _Gap(match[1] or "") if filled_in is None else filled_in]
        end = match.end()
    return tuple(part for part in (*parts, template[end:]) if part != "")


def _fitted(parts: tuple[str | _Gap, ...], name: str) -> dict[str, str] | None:
    """What the placeholders stand for, the first as long as it can be, then the second;
    None where the name does not match.

    In time that grows with the name's length, where a regular expression may try every way to divide it. A placeholder
    that stands there twice is tried with every length.
    """
    again = _again(parts)
    if again is None:
        return _divided(parts, name, {})
    if not _places(parts, name, {})[0] & 1:  # not even if the two were different
        return None
    for length in range(len(name) // 2, 0, -1):
        found = _divided(parts, name, {again: length})
        if found is not None:
            return found
    return None


def _again(parts: tuple[str | _Gap, ...]) -> str | None:
    """A placeholder that is not known and stands there twice."""
    named = [part.name for part in parts if isinstance(part, _Gap) and part.name]
    return next((key for key in named if named.count(key) > 1), None)


def _divided(parts: tuple[str | _Gap, ...], name: str, lengths: Mapping[str, int]) -> dict[str, str] | None:
    """The same; `lengths` are of placeholders that must be so long."""
    fits = _places(parts, name, lengths)
    found: dict[str, str] = {}
    at = 0
    if not fits[0] & 1:
        return None
    for part, following in zip(parts, fits[1:], strict=True):
        end = at + len(part) if isinstance(part, str) else _end(part, name, at, following, lengths)
        if isinstance(part, _Gap) and part.name and found.setdefault(part.name, name[at:end]) != name[at:end]:
            return None
        at = end
    return found


def _places(parts: tuple[str | _Gap, ...], name: str, lengths: Mapping[str, int]) -> list[int]:
    """Of each part, and of the end: the places in the name from which it and all after it fit,
    as the bits of a number.
    """
    fits = [1 << len(name)]
    for part in reversed(parts):
        fits.append(_before(part, name, fits[-1], lengths))
    return fits[::-1]


def _before(part: str | _Gap, name: str, following: int, lengths: Mapping[str, int]) -> int:
    """The places where a part may begin, so that it ends at one of the places `following`."""
    if isinstance(part, str):
        places, at = 0, name.find(part)
        while at >= 0:
            places |= 1 << at
            at = name.find(part, at + 1)
        return places & (following >> len(part))
    if part.name in lengths:
        length = lengths[part.name]
        fixed = following >> length
        if part.digits:
            digits = sum(1 << at for at, letter in enumerate(name) if letter in _DIGITS)
            for number in range(length):
                fixed &= digits >> number
        return fixed
    if part.digits:
        places = 0
        for at in range(len(name) - 1, -1, -1):
            if name[at] in _DIGITS and (following | places) >> (at + 1) & 1:
                places |= 1 << at
        return places
    last = following.bit_length()  # one behind the last place where the part may end
    return (1 << (last if part.name == "" else max(0, last - 1))) - 1


def _end(gap: _Gap, name: str, at: int, following: int, lengths: Mapping[str, int]) -> int:
    """The last place among `following` where a part that begins at `at` may end."""
    if gap.name in lengths:
        return at + lengths[gap.name]
    most = len(name)
    if gap.digits:
        most = next((place for place in range(at, len(name)) if name[place] not in _DIGITS), len(name))
    return (following & ((1 << (most + 1)) - 1)).bit_length() - 1


def _value(match: re.Match[str], known: Known) -> str:
    value = known[match[1]]
    if match[2] is None:
        return value
    if not value.isdecimal():
        raise DataError(f"{match[0]} asks for a number, '{value}' is none")
    return f"{int(value):0{int(match[2])}d}"


def _plain(key: str, text: str) -> str:
    """A scan's number without leading zeros, so that {scan} and {scan:05d} agree."""
    return str(int(text)) if key == "scan" else text
