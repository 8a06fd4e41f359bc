"""Raw data out of Tiled, slice by slice, and results into it.

Tiled's client is not imported: the containers come from the caller, who has logged in with it.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Protocol

import httpx
import numpy as np
from numpy.typing import NDArray

from inphase.client.result import Result
from inphase.errors import DataError, InphaseError

SLICE_BYTES: Final = 64 * 2**20  # that Tiled is asked for at a time: it answers 300 MB at most
_POLL_S: Final = 0.25


class StoredArray(Protocol):
    """An array in Tiled (tiled.client.array.ArrayClient), as far as it is used here."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def read(self, slice: Any = ...) -> NDArray[Any]:
        """The part that a slice names."""


class Container(Protocol):
    """A container in Tiled (tiled.client.container.Container), as far as it is used here."""

    @property
    def uri(self) -> str: ...

    @property
    def metadata(self) -> Mapping[str, Any]: ...

    def __iter__(self) -> Iterator[str]: ...

    def __contains__(self, key: object) -> bool: ...

    def __getitem__(self, key: str) -> Any: ...

    def create_container(self, key: str, *, metadata: Mapping[str, Any]) -> "Container":
        """A new one within."""

    def write_array(self, array: NDArray[Any], *, key: str) -> object:
        """A new array within."""


class TiledError(InphaseError):
    """Tiled cannot be reached, or refuses."""


def check(container: Container) -> None:
    """Ask Tiled for a container. Raises TiledError where it does not answer, or refuses."""
    with _answered(container):
        next(iter(container), None)


def finished_run(runs: Container, uid: str, patience: float) -> Container:
    """A run that Tiled has as a whole, with its stop document.

    patience: seconds for the writer to get there. Raises TiledError, DataError where it does not.
    """
    end = time.monotonic() + patience
    while True:
        with _answered(runs):
            run: Container | None = runs[uid] if uid in runs else None  # noqa: SIM401  # no mapping
        if run is not None and run.metadata.get("stop"):
            return run
        if time.monotonic() > end:
            what = "has no such run" if run is None else "has the run without its stop document"
            raise DataError(
                f"connected, no data: Tiled at {runs.uri} {what} after {patience:g} s; is TiledWriter subscribed, and "
                "does it write there?"
            )
        time.sleep(_POLL_S)


def frames_of(run: Container, stream: str, detector: str) -> NDArray[Any]:
    """All frames of a detector in a run, (frame, row, column), read slice by slice.

    Raises TiledError, and DataError where the run has none, or fewer than its stop document says.
    """
    with _answered(run):
        stored = _stored(run, stream, detector)
        shape = stored.shape
        if len(shape) not in (3, 4):
            raise DataError(f"{run.uri}/{stream}/{detector} has the shape {shape}: frames have rows and columns")
        said = int((run.metadata["stop"].get("num_events") or {}).get(stream, 0))
        if shape[0] == 0 or shape[0] < said:
            raise DataError(
                f"{run.uri}/{stream}/{detector}: Tiled has {shape[0]} frames, and the run made {said} events"
            )
        frames = np.empty(shape, stored.dtype)
        step = max(1, SLICE_BYTES // max(1, frames[0].nbytes))
        for first in range(0, len(frames), step):
            frames[first : first + step] = stored.read(slice=(slice(first, min(first + step, len(frames))),))
    return frames.reshape(-1, *shape[-2:])  # an event may hold several frames


def put(results: Container, uid: str, job_id: str, result: Result) -> str:
    """Write a result as `results[uid][job_id]`, arrays by their names and the document as metadata; its address.

    Raises TiledError.
    """
    with _answered(results):
        run = results[uid] if uid in results else results.create_container(uid, metadata={"run": uid})
        # the same measurement with the same options is the same job, and what was cut off is completed
        known = {"run": uid, "document": result.document}
        made = run[job_id] if job_id in run else run.create_container(job_id, metadata=known)
        there = set(made)
        for name, array in result.arrays.items():
            if array.ndim and array.dtype.kind in "biufc" and name not in there:
                made.write_array(array, key=name)
        return str(run[job_id].uri)  # of one that was just made, the address has empty parts


def _stored(run: Container, stream: str, detector: str) -> StoredArray:
    streams = list(run)
    if stream not in streams:
        raise DataError(f"connected, no data: {run.uri} has no stream {stream!r}, but {', '.join(streams) or 'none'}")
    keys = list(run[stream])
    if detector not in keys:
        raise DataError(
            f"connected, no data: {run.uri}/{stream} has no data key {detector!r}, but {', '.join(keys) or 'none'}"
        )
    found: StoredArray = run[stream][detector]
    return found


@contextmanager
def _answered(container: Container) -> Iterator[None]:
    """Tells apart who does not answer and who refuses."""
    try:
        yield
    except httpx.HTTPStatusError as error:
        raise TiledError(f"Tiled at {container.uri} refuses: {error}") from error
    except httpx.TransportError as error:
        raise TiledError(
            f"cannot connect: Tiled at {container.uri} does not answer: {str(error) or type(error).__name__}"
        ) from error
