"""The model repository: models/<name>/<version>/{model.onnx, card.yaml}. A model without a valid card is refused."""

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
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


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
    """All models of a folder, read and checked once. The newest version of a name is its active one."""

    def __init__(self, root: Path, default: str = DEFAULT) -> None:
        self.root = root
        self.default = default
        self.refused: list[Refusal] = []
        self._models: dict[str, dict[int, ModelVersion]] = {}
        for folder in sorted(root.glob("*/*/")):
            try:
                found = _load(folder)
            except ModelError as error:
                self.refused.append(Refusal(f"{folder.parent.name}/{folder.name}", str(error)))
            else:
                self._models.setdefault(found.card.name, {})[found.card.version] = found

    def names(self) -> list[str]:
        """Names of all models."""
        return sorted(self._models)

    def versions(self, name: str) -> list[ModelVersion]:
        """All versions of a model, oldest first. Raises UnknownModelError."""
        if name not in self._models:
            raise UnknownModelError(f"there is no model {name!r}; {self._known()}")
        return [version for _, version in sorted(self._models[name].items())]

    def active(self, name: str) -> ModelVersion:
        """The version that requests get that name none. Raises UnknownModelError."""
        return self.versions(name)[-1]

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

    def _known(self) -> str:
        return f"known: {', '.join(self.names())}" if self._models else f"no model is installed in {self.root.name}/"


def _load(folder: Path) -> ModelVersion:
    model, card_file = folder / "model.onnx", folder / "card.yaml"
    if not _NAME.fullmatch(folder.parent.name) or not folder.name.isdecimal():
        raise ModelError("the folder is not <name>/<version>, a version being a whole number")
    if not card_file.is_file():
        raise ModelError("it has no card.yaml: a model without a card is refused")
    if not model.is_file():
        raise ModelError("it has no model.onnx")
    try:
        content = yaml.safe_load(card_file.read_text())
        card = card_of(content)
    except (yaml.YAMLError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise ModelError(f"its card.yaml is not acceptable: {str(error).partition(chr(10))[0]}") from error
    if card.name != folder.parent.name or str(card.version) != folder.name:
        raise ModelError(f"its card is of {card.name} version {card.version}, the folder is not")
    with model.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != card.sha256:
        raise ModelError(
            f"model.onnx has the sha256 {found[:12]}..., its card says {card.sha256[:12]}...: the file was changed"
        )
    return ModelVersion(card, model, content)
