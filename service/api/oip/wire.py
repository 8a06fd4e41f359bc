"""The protocol's JSON and numbers: what a request declares, and an answer as bytes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from service.errors import ApiError

HEADER_LENGTH: Final = "Inference-Header-Content-Length"
_SIZE: Final = "binary_data_size"
TYPES: Final[Mapping[str, np.dtype[Any]]] = {
    "BOOL": np.dtype("?"),
    **{f"UINT{8 * n}": np.dtype(f"<u{n}") for n in (1, 2, 4, 8)},
    **{f"INT{8 * n}": np.dtype(f"<i{n}") for n in (1, 2, 4, 8)},
    **{f"FP{8 * n}": np.dtype(f"<f{n}") for n in (2, 4, 8)},
}


class _Input(msgspec.Struct):
    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, Any] = {}
    data: list[Any] | None = None


class _Output(msgspec.Struct):
    name: str
    parameters: dict[str, Any] = {}


class _Request(msgspec.Struct):
    inputs: list[_Input]
    outputs: list[_Output] = []
    id: str = ""
    parameters: dict[str, Any] = {}


@dataclass(frozen=True)
class Declared:
    """An input as the request declares it. nbytes: of its octets, None where `data` holds its numbers."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    nbytes: int | None
    data: list[Any] | None

    def as_text(self) -> str:
        """Type and shape, for people."""
        return f"{self.datatype} of the shape {list(self.shape)}"

    def array(self) -> NDArray[Any]:
        """The numbers of `data`. Raises ApiError 400."""
        kind = TYPES[self.datatype]
        try:
            found = np.asarray(self.data)
            if found.dtype.kind not in ("b" if kind.kind == "b" else "iu" if kind.kind in "iu" else "iuf"):
                raise ValueError("it holds other things than numbers of this type")
            if found.size != math.prod(self.shape):
                raise ValueError(f"it holds {found.size} numbers")
            cast = found.astype(kind)
            if kind.kind in "iu" and not np.array_equal(cast, found):
                raise ValueError("its numbers go beyond the type")
        except ValueError as error:
            raise ApiError(400, f"the data of the input {self.name} are no {self.as_text()}: {error}") from None
        return cast.reshape(self.shape)


@dataclass(frozen=True)
class Wanted:
    """An output that is asked for. binary: as octets behind the JSON."""

    name: str
    binary: bool


@dataclass(frozen=True)
class Asked:
    """The JSON of a request. outputs: None where all are wanted, as `binary` says."""

    id: str
    inputs: tuple[Declared, ...]
    outputs: tuple[Wanted, ...] | None
    binary: bool

    @property
    def octets(self) -> int:
        """Bytes that come behind the JSON."""
        return sum(found.nbytes or 0 for found in self.inputs)

    def wanted(self, names: Sequence[str]) -> tuple[Wanted, ...]:
        """What is answered of a model's outputs. Raises ApiError 400 for what it has not."""
        if self.outputs is None:
            return tuple(Wanted(name, self.binary) for name in names)
        if unknown := [found.name for found in self.outputs if found.name not in names]:
            raise ApiError(400, f"there is no output {unknown[0][:64]!r}: this model answers {', '.join(names)}")
        return self.outputs


def parse(text: bytes | memoryview) -> Asked:
    """The JSON of a request. Raises ApiError 400."""
    try:
        found = msgspec.json.decode(text, type=_Request)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ApiError(
            400,
            f"the JSON of the request is not that of the protocol: {error}. With tensors behind it, the header "
            f"{HEADER_LENGTH} says how many bytes it has",
        ) from None
    _only(found.parameters, ("binary_data_output",), "the request")
    binary = _flag(found.parameters, "binary_data_output", default=False)
    outputs = tuple(_wanted(output, default=binary) for output in found.outputs)
    return Asked(found.id, tuple(map(_declared, found.inputs)), outputs or None, binary)


def _declared(found: _Input) -> Declared:
    what = f"the input {found.name[:64]}"
    if found.datatype not in TYPES:
        raise ApiError(400, f"{what} has the type {found.datatype[:16]!r}; types are {', '.join(TYPES)}")
    if any(side < 0 for side in found.shape):
        raise ApiError(400, f"{what} has the shape {found.shape}: its sides are not negative")
    _only(found.parameters, (_SIZE,), what)
    nbytes = found.parameters.get(_SIZE)
    declared = Declared(found.name, found.datatype, tuple(found.shape), nbytes, found.data)
    if (nbytes is None) == (found.data is None):
        raise ApiError(400, f"{what} has either its numbers in `data` or their bytes in the parameter {_SIZE}")
    expected = math.prod(found.shape) * TYPES[found.datatype].itemsize
    if nbytes is not None and (type(nbytes) is not int or nbytes != expected):
        raise ApiError(400, f"{what} is {declared.as_text()}, {expected} bytes; its {_SIZE} says {nbytes!r:.40}")
    return declared


def _wanted(found: _Output, *, default: bool) -> Wanted:
    _only(found.parameters, ("binary_data",), f"the output {found.name[:64]}")
    return Wanted(found.name, _flag(found.parameters, "binary_data", default=default))


def _flag(parameters: dict[str, Any], name: str, *, default: bool) -> bool:
    found = parameters.get(name, default)
    if not isinstance(found, bool):
        raise ApiError(400, f"the parameter {name} is true or false")
    return found


def _only(parameters: dict[str, Any], known: Sequence[str], what: str) -> None:
    """A parameter that would do nothing is refused."""
    if unknown := sorted(parameters.keys() - set(known)):
        raise ApiError(
            400, f"{what} has the parameter {unknown[0][:64]!r}, which this service does not take; it takes {known[0]}"
        )


@dataclass(frozen=True)
class Answer:
    """Bytes of an answer. header: of the JSON, where octets follow it."""

    body: bytes
    header: int | None


def encoded(
    document: dict[str, Any], wanted: Sequence[Wanted], outputs: Mapping[str, NDArray[Any]], parameters: dict[str, Any]
) -> Answer:
    """An answer with the tensors that are wanted. document: what it says beside them."""
    octets = [np.ascontiguousarray(outputs[found.name]) for found in wanted if found.binary]
    content = document | {"outputs": [_output(found, outputs[found.name]) for found in wanted]}
    header = msgspec.json.encode(content | ({"parameters": parameters} if parameters else {}))
    if not octets:
        return Answer(header, None)
    return Answer(b"".join((header, *(array.reshape(-1).view(np.uint8).data for array in octets))), len(header))


def _output(found: Wanted, array: NDArray[Any]) -> dict[str, Any]:
    kind = next(name for name, dtype in TYPES.items() if dtype == array.dtype)
    about = {"name": found.name, "datatype": kind, "shape": array.shape}
    if found.binary:
        return about | {"parameters": {_SIZE: array.nbytes}}
    return about | {"data": array.ravel().tolist()}
