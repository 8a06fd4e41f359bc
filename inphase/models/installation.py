"""Changing a model repository: what is added is checked first, and nothing is there by halves.

A running service looks at its repository and follows (`docs/how-to/upgrade-a-model.md`).
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from inphase.models.repository import (
    ACTIVE,
    CARD,
    GRAPH,
    ModelError,
    ModelVersion,
    Repository,
    UnknownModelError,
    read_version,
)
from inphase.models.session import Session


def add(root: Path, folder: Path) -> ModelVersion:
    """Copy a version into a repository. It becomes active only where it is the first of its name.

    folder: with model.onnx and card.yaml, which says name and version. Raises ModelError where the card is missing or
    not valid, is of another graph, where the graph does not run, and where the repository has the version already.
    """
    with _explained(root):
        try:
            found = read_version(folder)
        except ModelError as error:
            raise ModelError(f"{folder}: {error}") from error
        home, number = root / found.card.name, str(found.card.version)
        if (home / number).exists():
            raise ModelError(f"{found.label} is in {root} already: a version never changes, so give it another number")
        Session(found, threads=1).warm()
        home.mkdir(parents=True, exist_ok=True)
        known = Repository(root)
        if found.card.name in known.names() and not (home / ACTIVE).exists():
            choose(known.active(found.card.name))
        coming = Path(mkdtemp(prefix=".coming-", dir=root))  # no folder of a version: nobody takes it for one
        try:
            for name in (GRAPH, CARD):
                shutil.copyfile(folder / name, coming / name)
            coming.chmod(0o755)
            read_version(coming)
            coming.rename(home / number)
        except BaseException:
            shutil.rmtree(coming, ignore_errors=True)
            raise
        return read_version(home / number)


def activate(root: Path, reference: str) -> ModelVersion:
    """Make `name@version` the one that requests get which name no version. Raises ModelError, UnknownModelError."""
    with _explained(root):
        found = Repository(root).resolve(_exact(reference))
        Session(found, threads=1).warm()
        choose(found)
        return found


def choose(version: ModelVersion) -> None:
    """Write down that a version is the active one; whole or not at all."""
    file = version.path.parent.parent / ACTIVE
    new = file.with_name(f".{ACTIVE}-{os.getpid()}")
    with _explained(file.parent.parent):
        new.write_text(f"{version.card.version}\n", encoding="utf-8")
        new.replace(file)


def remove(root: Path, reference: str, keep: str = "") -> ModelVersion:
    """Take `name@version` out of a repository. keep: the default model of the service, name or name@version.

    Raises ModelError for the active one of several, and for what is the default, UnknownModelError.
    """
    repository = Repository(root)
    found = repository.resolve(_exact(reference))
    others = [other for other in repository.versions(found.card.name) if other.label != found.label]
    if others and repository.is_active(found):
        raise ModelError(f"{found.label} is active: activate {others[-1].label} first, or another one")
    if keep == found.label or (keep == found.card.name and not others):
        raise ModelError(f"{found.label} is the default model (INPHASE_MODEL): choose another one first")
    with _explained(root):
        gone = Path(mkdtemp(prefix=".gone-", dir=root))  # empty, so that the version may take its place
        found.path.parent.rename(gone)
        if not others:
            (root / found.card.name / ACTIVE).unlink(missing_ok=True)
        shutil.rmtree(gone)
    return found


def _exact(reference: str) -> str:
    if "@" not in reference:
        raise UnknownModelError(f"{reference!r} names no version: name@version does")
    return reference


@contextmanager
def _explained(root: Path) -> Iterator[None]:
    """What the system says of the folder, with what to do about it."""
    try:
        yield
    except OSError as error:
        raise ModelError(
            f"the model repository {root} cannot be changed here ({error.strerror or error}): change it where it can "
            "be written, and the services that read it follow"
        ) from error
