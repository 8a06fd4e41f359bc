"""Paths with placeholders: `{sample}_{scan}.1/measurement/{detector}`, `com/SIXS/*mu*/position`, `{scan:05d}`.

A placeholder that is known is filled in; one that is not is found in the file, and `*` stands for any text in one name.
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import count

import h5py

from inphase.errors import DataError, TooLargeError
from inphase.formats.tree import Tree, names_in

Known = Mapping[str, str]
PLACEHOLDERS = ("scan", "sample", "detector")
_FIELD = re.compile(r"\{(\w+)(?::0(\d)d)?\}|\*")
_MAX_OPEN = 4  # of one name: each more multiplies the time that matching may take
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
    match = _pattern(template, tuple(sorted(known.items()))).fullmatch(name)
    return None if match is None else {**known, **{key: _plain(key, text) for key, text in match.groupdict().items()}}


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

    Raises TooLargeError where more than 20,000 names would have to be tried.
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
        child = tree.step(item, literal)
        if child is not None:
            yield from _below(tree, child, f"{path}/{literal}", parts[1:], known, tried)
        return
    for name in names_in(item):
        if next(tried) >= _MOST_NAMES:
            raise TooLargeError(
                f"{tree.path}: more than {_MOST_NAMES} names may be meant: give scan=, sample=, detector="
            )
        found = matched(parts[0], name, known)
        if found is not None and (child := tree.step(item, name)) is not None:
            yield from _below(tree, child, f"{path}/{name}", parts[1:], found, tried)


@lru_cache(256)
def _pattern(template: str, known: tuple[tuple[str, str], ...]) -> re.Pattern[str]:
    given = dict(known)
    seen: set[str] = set()
    parts, end = [], 0
    for match in _FIELD.finditer(template):
        parts.append(re.escape(template[end : match.start()]))
        end = match.end()
        key = match[1]
        if not key:
            parts.append(".*")
        elif key in given:
            parts.append(re.escape(_value(match, given)))
        elif key in seen:
            parts.append(f"(?P={key})")
        else:
            seen.add(key)
            parts.append(f"(?P<{key}>{r'[0-9]+' if key == 'scan' else '.+'})")
    return re.compile("".join(parts) + re.escape(template[end:]), re.DOTALL)


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
