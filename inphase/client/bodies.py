"""What a request carries: patterns, files, and JSON."""

import io
import json
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeGuard, cast

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from inphase.formats import RawScan

Sent = Callable[[int, int], None]
"""Told bytes sent and bytes in all."""

FILES: Final[Mapping[str, str]] = {
    ".npy": "application/x-npy",
    ".npz": "application/x-npz",
    ".h5": "application/x-hdf5",
    ".hdf5": "application/x-hdf5",
    ".hdf": "application/x-hdf5",
    ".nxs": "application/x-nexus",
    ".nx5": "application/x-nexus",
    ".ptyd": "application/x-hdf5",
    ".cxi": "application/x-cxi",
    ".mat": "application/x-matlab-data",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
}
"""What a file is sent as, by the ending of its name."""
_CHUNK: Final = 2**20


@dataclass(frozen=True)
class Body:
    """Bytes that can be sent more than once. chunks: begins anew with every call."""

    media_type: str
    size: int
    chunks: Callable[[], Iterator[bytes]]

    async def stream(self) -> AsyncIterator[bytes]:
        """The same for an asynchronous connection."""
        for chunk in self.chunks():
            yield chunk


def of_pattern(pattern: "ArrayLike | RawScan", sent: Sent | None = None) -> Body:
    """An array as npy; with a mask, and with all that is known of a scan that was read, as npz.

    Raises TypeError for what is no array of real numbers with two or three axes.
    """
    from inphase.array import array_of

    if _is_scan(pattern):
        from inphase.formats import npz

        if not npz.is_plain(pattern):
            return _whole(FILES[".npz"], npz.encode(pattern), sent)
        array, mask = pattern.array, None
    else:
        array, mask = array_of(cast("ArrayLike", pattern))
    if mask is not None:
        return _whole(FILES[".npz"], _archive(data=array, mask=mask), sent)
    header, octets = _npy(array)

    def chunks() -> Iterator[bytes]:
        yield header
        yield from _cut(octets, sent)

    return Body(FILES[".npy"], len(header) + len(octets), chunks)


def _is_scan(pattern: object) -> TypeGuard["RawScan"]:
    """Whether `inphase.read` gave it: then the whole of inphase is installed, and else not needed."""
    return hasattr(pattern, "geometry") and hasattr(pattern, "corrections")


def of_file(path: str | os.PathLike[str], sent: Sent | None = None) -> Body:
    """The bytes of a file as they are. Raises ValueError for an ending that no service takes, OSError."""
    media_type = FILES.get(Path(path).suffix.lower())
    if media_type is None:
        raise ValueError(f"{os.fspath(path)}: a file is sent by its ending, one of {', '.join(FILES)}")
    size = Path(path).stat().st_size

    def chunks() -> Iterator[bytes]:
        with Path(path).open("rb") as file:
            while chunk := file.read(_CHUNK):
                yield chunk
                if sent is not None:
                    sent(file.tell(), size)

    return Body(media_type, size, chunks)


def of_ptychogram(
    patterns: "ArrayLike",
    positions: "ArrayLike",
    probe: "ArrayLike | None" = None,
    mask: "ArrayLike | None" = None,
    sent: Sent | None = None,
    *,
    dark: "ArrayLike | None" = None,
    flat: "ArrayLike | None" = None,
) -> Body:
    """A ptychographic measurement as npz, under names that `inphase.ptycho.read` looks for."""
    import numpy as np

    given = {
        "patterns": patterns, "positions": positions, "probe": probe, "mask": mask, "dark": dark, "flat": flat,
    }  # fmt: skip
    arrays = {name: np.asarray(array) for name, array in given.items() if array is not None}
    return _whole(FILES[".npz"], _archive(**arrays), sent)


def of_template(frame: "ArrayLike | RawScan") -> Body:
    """One frame that stands for all of a live scan, as npz."""
    from inphase.array import array_of

    if _is_scan(frame):
        from inphase.formats import npz

        return _whole(FILES[".npz"], npz.encode(frame))
    array, mask = array_of(cast("ArrayLike", frame))
    return _whole(FILES[".npz"], _archive(data=array) if mask is None else _archive(data=array, mask=mask))


def of_frames(places: Sequence[int], frames: "Sequence[NDArray[Any]]") -> Body:
    """Frames (rows, columns) of a live scan. Raises ValueError as `kind_of`, and for places that are none."""
    kind_of(frames)
    return _whole("application/octet-stream", encode_frames(_checked(places, len(frames)), frames))


def kind_of(frames: "Sequence[NDArray[Any]]") -> dict[str, str]:
    """Shape and type of frames, as the query says them. Raises ValueError where they are not all alike."""
    kinds = {(frame.shape, frame.dtype.newbyteorder("=")) for frame in frames}
    if len(kinds) != 1 or len(shape := next(iter(kinds))[0]) != 2:
        told = ", ".join(f"{shape} of {dtype}" for shape, dtype in kinds) or "none"
        raise ValueError(f"a batch has frames (rows, columns) of one shape and one type, found {told}")
    return {"shape": f"{shape[0]},{shape[1]}", "dtype": next(iter(kinds))[1].name}


def _checked(places: Sequence[int], count: int) -> Sequence[int]:
    """Places of as many frames or positions. Raises ValueError for other numbers of them, and for negative ones."""
    if len(places) != count:
        raise ValueError(f"{count} frames or positions need {count} places, found {len(places)}")
    if wrong := [place for place in places if not 0 <= place < 2**64]:
        raise ValueError(f"places are counted from 0, and {wrong[0]} is none")
    return places


def encode_frames(places: Sequence[int], frames: "Sequence[NDArray[Any]]") -> bytes:
    """Each frame behind its place, 8 bytes, unsigned; all little endian, row by row (`inphase.live.batch`)."""
    parts = []
    for place, frame in zip(places, frames, strict=True):
        parts += [int(place).to_bytes(8, "little"), frame.astype(frame.dtype.newbyteorder("<"), order="C").tobytes()]
    return b"".join(parts)


def of_positions(places: Sequence[int], positions: "ArrayLike") -> Body:
    """Positions (n, 2), (row, column), of frames of a live scan, behind their places (`inphase.live.batch`).

    Raises ValueError for another shape, as of rows and columns one after the other, and for places that are none.
    """
    import numpy as np

    where = np.asarray(positions, np.float64)
    if where.shape != (len(places), 2):
        raise ValueError(f"{len(places)} places need positions ({len(places)}, 2), (row, column); found {where.shape}")
    rows, columns = where.T
    kind = np.dtype([("place", "<u8"), ("row", "<f8"), ("column", "<f8")])
    sent = np.empty(len(rows), kind)
    sent["place"], sent["row"], sent["column"] = np.asarray(_checked(places, len(rows)), np.uint64), rows, columns
    return _whole("application/octet-stream", sent.tobytes())


def of_probe(probe: "ArrayLike") -> Body:
    """The modes of a probe (rows, columns) or (modes, rows, columns)."""
    import numpy as np

    return _whole("application/octet-stream", np.ascontiguousarray(probe, "<c8").tobytes())


def of_json(content: Mapping[str, Any]) -> Body:
    """JSON, whose content may hold paths and numbers of numpy."""
    return _whole("application/json", json.dumps(content, default=_plain).encode())


def _plain(value: object) -> object:
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "tolist"):  # numbers and arrays of numpy
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be sent as an option: {value!r}"[:200])


def _npy(array: "NDArray[np.generic]") -> tuple[bytes, memoryview]:
    """The two parts of an array's npy file, without a second copy of it in memory."""
    import numpy as np

    stream = io.BytesIO()
    described = np.lib.format.header_data_from_array_1_0(np.empty((0,), array.dtype)) | {"shape": array.shape}
    np.lib.format.write_array_header_1_0(stream, described)
    return stream.getvalue(), np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _archive(**arrays: "NDArray[Any]") -> bytes:
    import numpy as np

    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **arrays)
    return stream.getvalue()


def _whole(media_type: str, octets: bytes, sent: Sent | None = None) -> Body:
    return Body(media_type, len(octets), lambda: _cut(memoryview(octets), sent))


def _cut(octets: memoryview, sent: Sent | None) -> Iterator[bytes]:
    for begin in range(0, len(octets), _CHUNK):
        yield bytes(octets[begin : begin + _CHUNK])
        if sent is not None:
            sent(min(begin + _CHUNK, len(octets)), len(octets))
