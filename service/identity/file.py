"""The keys file: a YAML list of keys, one line each. It is read again when it changes, and `inphase key` writes it.

- {owner: ada, scope: submit, sha256: ..., proposal: hc5001, expires: '2026-12-31', roots: [/data/hc5001]}
"""

import fcntl
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from inphase.errors import InphaseError
from service.identity.keys import Key

_KEYS: TypeAdapter[tuple[Key, ...]] = TypeAdapter(tuple[Key, ...])


class KeysFile:
    """A keys file as a running service sees it. data_roots: the folders that the roots of keys lie below."""

    def __init__(self, path: Path, data_roots: tuple[Path, ...]) -> None:
        self._path, self._data_roots = path, data_roots
        self._seen = self._taken = self._content()

    def read(self) -> tuple[Key, ...]:
        """The keys, with their roots as real folders. Raises InphaseError."""
        return tuple(_rooted(key, self._path, self._data_roots) for key in _read(self._path))

    def changed(self) -> tuple[Key, ...] | None:
        """The keys where the file is another one than before; None where it is not, or changes while one looks.

        Call it again and again: what is found twice running is taken, so that nothing is read that is half written.
        Raises InphaseError, once for each content, where the file cannot be used.
        """
        before, self._seen = self._seen, self._content()
        if self._seen == self._taken or self._seen != before:
            return None
        self._taken = self._seen
        return self.read()

    def _content(self) -> bytes | None:
        try:
            return self._path.read_bytes()
        except OSError:
            return None


def listed(path: Path) -> tuple[Key, ...]:
    """The keys of a file; none where there is no such file yet. Raises InphaseError."""
    return _read(path) if path.exists() else ()


def add(path: Path, key: Key) -> None:
    """Write a key's line at the end of a file, which is made where there is none. Raises InphaseError."""
    with _alone(path):
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        known = listed(path)
        text = f"{before}{'' if not before or before.endswith(chr(10)) else chr(10)}{_line(key)}"
        _replace(path, text, (*known, key))


def revoke(path: Path, ids: Sequence[str]) -> tuple[Key, ...]:
    """Take keys out of a file; what stands there beside them stays. The keys that went. Raises InphaseError."""
    with _alone(path):
        known = _read(path)
        for name in ids:
            if not any(key.id == name for key in known):
                raise InphaseError(f"{path} has no key {name}: `inphase key list` shows what there is")
        text = path.read_text(encoding="utf-8")
        lines = text.splitlines(keepends=True)
        top = yaml.compose(text)
        for key, node in zip(known, top.value if top is not None else (), strict=True):
            if key.id in ids:
                end = node.end_mark.line + 1 if node.flow_style else node.end_mark.line
                for number in range(node.start_mark.line, min(end, len(lines))):
                    if lines[number].strip() and not lines[number].lstrip().startswith("#"):
                        lines[number] = ""
        _replace(path, "".join(lines), [key for key in known if key.id not in ids])
        return tuple(key for key in known if key.id in ids)


def _read(path: Path) -> tuple[Key, ...]:
    try:
        keys = _parsed(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InphaseError(f"the keys file {path} cannot be read: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError, ValidationError) as error:
        raise InphaseError(
            f"{path} is no keys file: a list of owner, scope (read, submit, admin) and sha256; `inphase key add` "
            f"makes one: {_fault(error)}"
        ) from None  # the error shows what stands in the file
    if twice := [name for name, count in Counter(key.id for key in keys).items() if count > 1]:
        raise InphaseError(f"{path} has the key {twice[0]} twice: take one of the two lines out")
    return keys


def _parsed(text: str) -> tuple[Key, ...]:
    return _KEYS.validate_python(yaml.safe_load(text) or ())


def _fault(error: yaml.YAMLError | UnicodeDecodeError | ValidationError) -> str:
    """What is wrong, and where; nothing of the file is repeated, for somebody may have put a key there."""
    match error:
        case ValidationError():
            found = error.errors(include_input=False, include_url=False)[0]
            return f"{'.'.join(map(str, found['loc'])) or 'the file'}: {found['msg']}"
        case yaml.MarkedYAMLError(problem=str(problem), problem_mark=yaml.Mark(line=line)):
            return f"line {line + 1}: {problem}"
        case UnicodeDecodeError():
            return f"byte {error.start} is no UTF-8"
    return "it is no YAML"


def _rooted(key: Key, path: Path, data_roots: tuple[Path, ...]) -> Key:
    if key.roots is None:
        return key
    real = tuple(root.resolve() for root in key.roots)
    for root in real:
        if not root.is_dir() or not any(root.is_relative_to(above) for above in data_roots):
            raise InphaseError(f"{path}: the root {root} of {key.owner} is no folder below a data root")
    return key.model_copy(update={"roots": real})


def _line(key: Key) -> str:
    told: dict[str, Any] = key.model_dump(mode="json", exclude_none=True)
    return f"- {{{', '.join(f'{name}: {_scalar(value)}' for name, value in told.items())}}}\n"


def _scalar(value: Any) -> str:
    """JSON, which YAML reads as it is; what is a plain word stands without quotes."""
    plain = isinstance(value, str) and value.isalpha() and value.lower() not in ("null", "true", "false", "yes", "no")
    return value if plain and isinstance(value, str) else json.dumps(value)


def _replace(path: Path, text: str, expected: Sequence[Key]) -> None:
    """Write a file whole or not at all, with the mode and the owner that it had. Raises InphaseError."""
    try:
        right = _parsed(text) == tuple(expected)
    except (yaml.YAMLError, ValidationError):
        right = False
    if not right:
        raise InphaseError(f"{path} is not written one key a line, as `inphase key add` does it: change it by hand")
    real = path.resolve()  # where it is a link, the link stays
    with NamedTemporaryFile("w", dir=real.parent, prefix=f".{real.name}.", encoding="utf-8", delete=False) as file:
        made = Path(file.name)
        try:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
            if real.exists():
                shutil.copymode(real, made)
                if os.geteuid() == 0:  # the service that reads it may be another user
                    os.chown(made, real.stat().st_uid, real.stat().st_gid)
            made.replace(real)
        except BaseException:
            made.unlink(missing_ok=True)
            raise


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """No other `inphase key` writes into this folder meanwhile."""
    try:
        folder = os.open(path.resolve().parent, os.O_RDONLY)
    except OSError as error:
        raise InphaseError(f"the folder of {path} cannot be opened: {error.strerror or error}") from error
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)
