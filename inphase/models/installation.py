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
    NAME,
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
        target = vacant(root, found.card.name, found.card.version)
        Session(found, threads=1).warm()
        known = Repository(root)
        if found.card.name in known.names() and not (target.parent / ACTIVE).exists():
            choose(known.active(found.card.name))
        copy(folder, target)
        return read_version(target)


def copy(folder: Path, target: Path) -> None:
    """Copy the files of a version to its place in a repository. Raises ModelError where the copy is not good."""
    with placing(target) as coming:
        for name in (GRAPH, CARD):
            shutil.copyfile(folder / name, coming / name)
        read_version(coming)


def vacant(root: Path, name: str, version: int) -> Path:
    """Where a version of a repository is to lie. Raises ModelError where there is one, and for what is no name."""
    if not NAME.fullmatch(name):
        raise ModelError(
            f"{name!r} is no name of a model: at most 64 letters, digits, hyphens and underscores, the first of them a "
            "letter or a digit"
        )
    target = root / name / str(version)
    if target.exists():
        raise ModelError(f"{name}@{version} is in {root} already: a version never changes, so give it another number")
    return target


@contextmanager
def placing(target: Path) -> Iterator[Path]:
    """An empty folder for the files of a new version, which at the end of the block lies at root/<name>/<version>:
    whole and on the disk, or after an error not at all. Raises ModelError where it cannot.
    """
    root = target.parents[1]
    with _explained(root):
        root.mkdir(parents=True, exist_ok=True)
        coming = Path(mkdtemp(prefix=".coming-", dir=root))  # no folder of a version: nobody takes it for one
        try:
            yield coming
            coming.chmod(0o755)
            for path in (*coming.iterdir(), coming):
                _to_disk(path)
            target.parent.mkdir(exist_ok=True)
            coming.rename(target)
            _to_disk(target.parent)
        except BaseException:
            shutil.rmtree(coming, ignore_errors=True)
            raise


def _to_disk(path: Path) -> None:
    """Wait until a file, or the entries of a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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
