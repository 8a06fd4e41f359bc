"""Results on disk, so that a run goes on where it was stopped:
one file per result, named by a digest of what decides it.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

CHECKOUT = Path(__file__).parents[2]
Arrays = dict[str, NDArray[Any]]
T = TypeVar("T")


def digest(*parts: object) -> str:
    """Of texts and arrays."""
    sha = hashlib.sha256()
    for part in parts:
        data = np.ascontiguousarray(part).tobytes() if isinstance(part, np.ndarray) else str(part).encode()
        sha.update(len(data).to_bytes(8, "little") + data)
    return sha.hexdigest()[:24]


def code(*patterns: str) -> str:
    """Digest of the source files of the checkout that match."""
    return digest(*(path.read_text() for pattern in patterns for path in sorted(CHECKOUT.glob(pattern))))


def cached(folder: Path, name: str, kind: type[T], compute: Callable[[], tuple[T, Arrays]]) -> tuple[T, Arrays]:
    """The data class and the arrays of this name: read, or computed and written.
    A file is there whole or not at all.
    """
    path = folder / f"{name}.npz"
    if not path.exists():
        values, arrays = compute()
        folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".part")
        with partial.open("wb") as stream:
            stored: dict[str, Any] = {"values": np.frombuffer(msgspec.json.encode(values), np.uint8), **arrays}
            np.savez_compressed(stream, **stored)
        partial.rename(path)
    with np.load(path) as found:
        return msgspec.json.decode(found["values"].tobytes(), type=kind), {k: found[k] for k in found if k != "values"}
