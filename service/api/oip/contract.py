"""What a model takes and answers under /v2, made of its card: for those who ask, and to check what they send."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inphase.errors import DataError
from inphase.models.card import Card, ScanCard
from inphase.models.families import family
from inphase.models.repository import ModelVersion, Repository, UnknownModelError
from service.api.oip.wire import Asked, Declared
from service.errors import ApiError

PATTERNS: Final = 64  # of one request
# behind a model's name: the whole way from counts, not the network alone. No model's own name has a dot
COUNTS: Final = ".counts"
_COUNTS_DOMAIN: Final = "counts"
_COUNTS: Final = ("UINT16", "UINT8", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP32", "FP64")


@dataclass(frozen=True)
class Tensor:
    """One of its inputs or outputs. types: that are taken, the one that is told first. shape: -1 for any length."""

    name: str
    types: tuple[str, ...]
    shape: tuple[int, ...]

    def fits(self, found: Declared) -> bool:
        """Whether what is declared may be this one."""
        return (
            found.datatype in self.types
            and len(found.shape) == len(self.shape)
            and all(known in (-1, side) for known, side in zip(self.shape, found.shape, strict=True))
        )

    def as_text(self) -> str:
        """Type and shape, for people."""
        return f"{' or '.join(self.types)} of the shape {list(self.shape)}"


@dataclass(frozen=True)
class Contract:
    """A model of /v2. batched: its tensors have a batch axis first, for 1 to `PATTERNS` patterns."""

    version: ModelVersion
    name: str
    platform: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    batched: bool

    @property
    def label(self) -> str:
        """name@version."""
        return f"{self.name}@{self.version.card.version}"

    def check(self, asked: Asked) -> None:
        """Raises ApiError 400 with what was expected."""
        expected = {tensor.name: tensor for tensor in self.inputs}
        names = [found.name for found in asked.inputs]
        if sorted(names) != sorted(expected):
            raise ApiError(400, f"{self.label} takes the inputs {', '.join(expected)}, each once, not {names}")
        for found in asked.inputs:
            tensor = expected[found.name]
            if not tensor.fits(found):
                raise ApiError(
                    400, f"{self.label} takes the input {found.name} as {tensor.as_text()}, not {found.as_text()}"
                )
        if self.batched:
            self._check_batch(asked)
        asked.wanted([tensor.name for tensor in self.outputs])

    def check_values(self, tensors: Mapping[str, NDArray[Any]]) -> None:
        """Raises DataError where a network would be asked about what is no number."""
        for name, array in tensors.items():
            if array.size and not (np.isfinite(array.min()) and np.isfinite(array.max())):
                where = tuple(map(int, np.argwhere(~np.isfinite(array))[0]))
                raise DataError(
                    f"the input {name} holds {np.count_nonzero(~np.isfinite(array))} values that are not finite, the "
                    f"first at {where}: mask them before the features are made"
                )

    def _check_batch(self, asked: Asked) -> None:
        lengths = {found.shape[0] for found in asked.inputs}
        if len(lengths) > 1 or not 1 <= min(lengths) <= PATTERNS:
            raise ApiError(
                400,
                f"the first side of every input of {self.label} is the number of patterns, the same for all and 1 to "
                f"{PATTERNS}, not {sorted(lengths)}",
            )


def contracts(repository: Repository) -> list[Contract]:
    """Of all versions of all models."""
    versions = [version for name in repository.names() for version in repository.versions(name)]
    return [_network(version) for version in versions] + [
        _counts(version) for version in versions if _from_counts(version.card)
    ]


def contract(repository: Repository, name: str, version: str | None) -> Contract:
    """Of one model, of its active version where none is named. Raises UnknownModelError."""
    base = name.removesuffix(COUNTS)
    if "@" in base:
        raise UnknownModelError(f"there is no model {name!r}: its version is named as /v2/models/NAME/versions/N")
    found = repository.resolve(base if version is None else f"{base}@{version}")
    if base == name:
        return _network(found)
    if not _from_counts(found.card):
        raise UnknownModelError(f"there is no model {name!r}: {found.label} takes no counts of one pattern")
    return _counts(found)


def _from_counts(card: Card) -> bool:
    """Whether it goes the whole way from the counts of one pattern."""
    return _COUNTS_DOMAIN in card.domain and not isinstance(card, ScanCard)


def _network(version: ModelVersion) -> Contract:
    """Its features in, its outputs out."""
    kind, card = family(version.card), version.card
    inputs = (Tensor(name, ("FP32",), (-1, *shape)) for name, shape in kind.input_shapes(card).items())
    outputs = (Tensor(name, ("FP32",), (-1, *shape)) for name, shape in kind.output_shapes(card).items())
    return Contract(version, card.name, "onnxruntime_onnx", tuple(inputs), tuple(outputs), batched=True)


def _counts(version: ModelVersion) -> Contract:
    """One measurement in, the object on the grid out, as /v1 answers with refine=none."""
    card = version.card
    outputs = tuple(Tensor(name, ("FP32",), card.grid) for name in ("amplitude", "phase"))
    inputs = (Tensor("counts", _COUNTS, (-1,) * len(card.grid)),)
    return Contract(version, card.name + COUNTS, "inphase", inputs, outputs, batched=False)
