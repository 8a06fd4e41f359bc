"""The model repository: models/<name>/<version>/{model.onnx, card.yaml}. A model without a valid card is refused.

models/<name>/active holds the number of the version that requests get which name none; without it that is the newest.
"""

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from inphase.errors import InphaseError
from inphase.models.card import Card, card_of

DEFAULT: Final = "inphase-bcdi"  # the model of requests that name none
GRAPH: Final = "model.onnx"
CARD: Final = "card.yaml"
ACTIVE: Final = "active"
Stamp = tuple[int, ...]  # of a version's files: whether they are the ones that were read before
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


class UnknownModelError(InphaseError):
    """No model of this name, or no such version of it."""


class ModelError(InphaseError):
    """A model's files are not acceptable: no card, a wrong card, a wrong checksum, a graph that does not run."""


@dataclass(frozen=True)
class ModelVersion:
    """One version whose files were checked. content: all that its card's file says, further keys included."""

    card: Card
    path: Path
    content: Mapping[str, Any]

    @property
    def label(self) -> str:
        """name@version."""
        return f"{self.card.name}@{self.card.version}"


@dataclass(frozen=True)
class Refusal:
    """A folder that looks like a model and is none."""

    folder: str
    why: str


def default_root() -> Path:
    """The folder that INPHASE_MODELS_DIR names, else the one beside the package."""
    named = os.environ.get("INPHASE_MODELS_DIR")
    return Path(named) if named else Path(__file__).resolve().parents[2] / "models"


class Repository:
    """All models of a folder as they are when it is read; it does not change afterwards.

    before: an earlier state, whose versions are not read again where their files are the same.
    """

    def __init__(self, root: Path, default: str = DEFAULT, before: "Repository | None" = None) -> None:
        self.root = root
        self.default = default
        self.refused: list[Refusal] = []
        self._models: dict[str, dict[int, ModelVersion]] = {}
        self._stamps: dict[Path, Stamp] = {}
        self._active: dict[str, int] = {}
        for folder in sorted(root.glob("*/*/")):
            stamp = stamp_of(folder)
            try:
                found = (before and before.unchanged(folder, stamp)) or _load(folder)
            except ModelError as error:
                self.refused.append(Refusal(f"{folder.parent.name}/{folder.name}", str(error)))
            else:
                self._stamps[folder] = stamp
                self._models.setdefault(found.card.name, {})[found.card.version] = found
        for name in self._models:
            try:
                self._active[name] = self._chosen(name)
            except ModelError as error:
                self.refused.append(Refusal(f"{name}/{ACTIVE}", str(error)))

    def names(self) -> list[str]:
        """Names of all models."""
        return sorted(self._models)

    def versions(self, name: str) -> list[ModelVersion]:
        """All versions of a model, oldest first. Raises UnknownModelError."""
        if name not in self._models:
            raise UnknownModelError(f"there is no model {name!r}; {self._known()}")
        return [version for _, version in sorted(self._models[name].items())]

    def active(self, name: str) -> ModelVersion:
        """The version that requests get that name none. Raises UnknownModelError; ModelError where it was refused."""
        self.versions(name)
        if name not in self._active:
            self._chosen(name)  # raises why
        return self._models[name][self._active[name]]

    def is_active(self, version: ModelVersion) -> bool:
        """Whether this is the version of its name that requests get which name none."""
        return self._active.get(version.card.name) == version.card.version

    def resolve(self, reference: str | None) -> ModelVersion:
        """`name` or `name@version`; None is the default model. Raises UnknownModelError."""
        name, at, number = (reference or self.default).partition("@")
        if not at:
            return self.active(name)
        for version in self.versions(name):
            if str(version.card.version) == number:
                return version
        known = ", ".join(str(version.card.version) for version in self.versions(name))
        raise UnknownModelError(f"model {name!r} has no version {number!r}; versions: {known}")

    def _chosen(self, name: str) -> int:
        """The number in a model's file `active`, else the newest. Raises ModelError where no version has the number."""
        file = self.root / name / ACTIVE
        if not file.is_file():
            return max(self._models[name])
        number = file.read_text(encoding="utf-8", errors="replace").strip()
        for version in self._models[name]:
            if str(version) == number:
                return version
        raise ModelError(
            f"{name}/{ACTIVE} says version {number[:20]!r}, which is not there or was refused: `inphase models "
            f"activate {name}@{max(self._models[name])}` takes another one"
        )

    def unchanged(self, folder: Path, stamp: Stamp) -> ModelVersion | None:
        """What was read of a folder before, where its files are the same still."""
        if self._stamps.get(folder) != stamp:
            return None
        return next(found for found in self._models[folder.parent.name].values() if found.path.parent == folder)

    def _known(self) -> str:
        return f"known: {', '.join(self.names())}" if self._models else f"no model is installed in {self.root.name}/"


def stamp_of(folder: Path) -> Stamp:
    """What changes when the files of a version do: their inodes, sizes and times; empty where one is missing."""
    try:
        found = [(folder / name).stat() for name in (GRAPH, CARD)]
    except OSError:
        return ()
    return tuple(part for file in found for part in (file.st_ino, file.st_size, file.st_mtime_ns))


def _load(folder: Path) -> ModelVersion:
    if not NAME.fullmatch(folder.parent.name) or not folder.name.isdecimal():
        raise ModelError("the folder is not <name>/<version>, a version being a whole number")
    found = read_version(folder)
    if found.card.name != folder.parent.name or str(found.card.version) != folder.name:
        raise ModelError(f"its card is of {found.card.name} version {found.card.version}, the folder is not")
    return found


def read_version(folder: Path) -> ModelVersion:
    """The version whose files lie in a folder of any name, with a valid card of this graph. Raises ModelError."""
    model, card_file = folder / GRAPH, folder / CARD
    if not card_file.is_file():
        raise ModelError("it has no card.yaml: a model without a card is refused")
    if not model.is_file():
        raise ModelError("it has no model.onnx")
    try:
        content = yaml.safe_load(card_file.read_text())
        card = card_of(content)
    except (yaml.YAMLError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise ModelError(f"its card.yaml is not acceptable: {str(error).partition(chr(10))[0]}") from error
    with model.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != card.sha256:
        raise ModelError(
            f"model.onnx has the sha256 {found[:12]}..., its card says {card.sha256[:12]}...: the file was changed"
        )
    return ModelVersion(card, model, content)
