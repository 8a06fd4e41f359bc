"""Requests of the protocol, written here by hand, and what is looked at in every answer."""

import json
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

LENGTH = "Inference-Header-Content-Length"
NAMES = {
    "float32": "FP32", "float64": "FP64", "float16": "FP16", "uint8": "UINT8", "uint16": "UINT16", "uint32": "UINT32",
    "int32": "INT32", "bool": "BOOL",
}  # fmt: skip
Arrays = dict[str, NDArray[Any]]


def features(patterns: int = 1, grid: tuple[int, ...] = (64, 64, 64)) -> Arrays:
    """What the toy networks take: each pattern has other largest values."""
    shapes = {"modulus": grid, "valid": grid, "autocorrelation": (2, *grid)}
    found = {name: np.zeros((patterns, *shape), np.float32) for name, shape in shapes.items()}
    for number in range(patterns):
        for place, array in enumerate(found.values()):
            array[number].flat[-1 - number] = (number + 1) * 10.0**-place
    return found


def heard(patterns: int = 1) -> NDArray[np.float32]:
    """What `echo` adds to the outputs of each of these patterns."""
    return np.arange(1, patterns + 1, dtype=np.float32) * np.float32(1.11)


def binary(arrays: Arrays, outputs: list[dict[str, Any]] | None = None, **request: Any) -> tuple[bytes, dict[str, str]]:
    """Body and headers with all tensors behind the JSON; all outputs as well, unless others are named."""
    inputs = [
        {
            "name": name, "datatype": NAMES[array.dtype.name], "shape": array.shape,
            "parameters": {"binary_data_size": array.nbytes},
        }
        for name, array in arrays.items()
    ]  # fmt: skip
    content: dict[str, Any] = {"inputs": inputs, **request}
    content |= {"parameters": {"binary_data_output": True}} if outputs is None else {"outputs": outputs}
    header = json.dumps(content).encode()
    return header + b"".join(array.tobytes() for array in arrays.values()), {LENGTH: str(len(header))}


def read(answer: httpx.Response) -> tuple[dict[str, Any], Arrays]:
    """The JSON of an answer and its tensors, from wherever they are."""
    assert answer.status_code == 200, answer.text
    length = int(answer.headers.get(LENGTH, len(answer.content)))
    document = json.loads(answer.content[:length])
    at, found = length, {}
    types = {name: np.dtype(kind) for kind, name in NAMES.items()}
    for output in document["outputs"]:
        kind = types[output["datatype"]]
        if (size := output.get("parameters", {}).get("binary_data_size")) is not None:
            flat = np.frombuffer(answer.content[at : at + size], kind)
            at += size
        else:
            flat = np.array(output["data"], kind)
        found[output["name"]] = flat.reshape(output["shape"])
    assert at == len(answer.content)
    return document, found


def refused(answer: httpx.Response, status: int, *words: str) -> None:
    """A problem document that is an error of the protocol too, and has these words."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["error"] == problem["detail"]
    for word in words:
        assert word in problem["error"], problem["error"]
