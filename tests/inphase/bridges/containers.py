"""Containers of Tiled in memory, as far as the bridges use them."""

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray


class Memory(dict[str, Any]):
    """A container."""

    def __init__(self, uri: str, metadata: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.uri, self.metadata = uri, dict(metadata or {})

    def create_container(self, key: str, *, metadata: Mapping[str, Any]) -> "Memory":
        """A new one within, which must not be there."""
        assert key not in self
        self[key] = Memory(f"{self.uri}/{key}", metadata)
        made: Memory = self[key]
        return made

    def write_array(self, array: NDArray[Any], *, key: str) -> None:
        """A new array within."""
        assert key not in self
        self[key] = array


class Stored:
    """An array that notes which slices are read."""

    def __init__(self, array: NDArray[Any]) -> None:
        self._array = array
        self.shape, self.dtype = array.shape, array.dtype
        self.slices: list[tuple[int, int]] = []

    def read(self, slice: Any) -> NDArray[Any]:
        """A part."""
        self.slices.append((slice[0].start, slice[0].stop))
        return self._array[slice]


def run_of(stored: Stored, events: int) -> Memory:
    """A run that has stopped, with the frames of an eiger."""
    run = Memory("runs/u", {"start": {"uid": "u"}, "stop": {"num_events": {"primary": events}}})
    run["primary"] = Memory("runs/u/primary")
    run["primary"]["eiger"] = stored
    return run
