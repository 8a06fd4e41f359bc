"""numpy's .npz: measurements in, results out."""

import io
import math
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from inphase.archive import save
from inphase.errors import DataError, TooLargeError
from inphase.formats import npy
from inphase.formats.atomic import replacing
from inphase.formats.boundary import damaged
from inphase.formats.hidden import account
from inphase.formats.maps import MAPS, MOST_BYTES, ROI, corrections_of, map_arrays
from inphase.formats.regular import open_regular
from inphase.formats.result import KEYS, Arrays, Result
from inphase.formats.scan import (
    GEOMETRY,
    FileReading,
    Limits,
    RawScan,
    Saturation,
    geometry_arrays,
    geometry_of,
    most_axes,
    native,
    three_state,
    with_saturation,
)
from inphase.formats.scanned import refuse_archive
from inphase.pattern import Domain, MaskState
from inphase.sizes import in_words

SATURATION = "saturation"
MASK = "mask"
_MAX_MEMBERS = 1000
_MAX_SMALL = 2**24  # bytes of a member that is read whole because its name is known
# what to look for first; the second name reads a result file back as a measurement
_PREFERRED = {Domain.COUNTS: ("data",), Domain.MODULUS: ("modulus", "data")}
_DEFAULT_LIMITS = Limits()
_Header = tuple[tuple[int, ...], np.dtype[Any]]


def read(request: FileReading) -> RawScan:
    """Reads `dataset`, else the key `data`, else the largest three-dimensional array, or image where there is none;
    `mask` only where there is no other.

    `q_steps` (3, 3) and `q_centre` (3,), in 1/m, give the geometry where the file has them, `mask` (of the scan or of a
    frame; 0 valid, 1 masked, 2 outside the measured range) the mask, `saturation` the counts per voxel at and above
    which the detector no longer counts, and `dark` and `flat` (rows, columns), with `roi` (2, 2), the detector's maps.
    """
    with open_regular(request.path) as stream:
        return decode(stream, str(request.path), request)


def decode(stream: IO[bytes], where: str, request: FileReading) -> RawScan:
    """The same from a seekable stream; of the request, its path is not looked at."""
    with _open(stream, where) as archive:
        headers = _headers(archive, where)
        key = _choose(headers, request, where)
        if request.reading.dataset is None:
            refuse_archive(headers, key, where)
        array = _load(archive, key, where, request.limits)
        small: dict[str, NDArray[np.generic]] = {
            name: _small(archive, name, where) for name in GEOMETRY if name in headers
        }
        mask = _mask(archive, headers, key, array.shape, where, request.limits)
        saturation = _saturation(_small(archive, SATURATION, where) if SATURATION in headers else None, where)
        detector = {name: _map(archive, headers[name], name, where, request.limits) for name in _maps(headers, key)}
    taken = {key, *small, *detector, SATURATION} | ({MASK} if mask is not None else set())
    others = sorted(set(headers) - taken)
    chosen = f"key '{key}' {array.shape} {array.dtype}"
    if mask is not None:
        said = account(array, mask == MaskState.MASKED, f"{where}, key '{MASK}'")
        chosen += f" with its mask ({said})"
    if detector:
        chosen += f" with its detector maps ({', '.join(detector)})"
    if others:
        chosen += f"; passed over {', '.join(others)}"
    geometry = geometry_of(small.get, where)
    scan = RawScan(array, geometry, where, chosen, mask=mask, corrections=corrections_of(detector, where))
    return with_saturation(scan, [] if saturation is None else [saturation])


def is_plain(scan: RawScan) -> bool:
    """Whether nothing but its array is known of a measurement, so that a .npy tells all of it."""
    return all(part is None for part in (scan.geometry, scan.mask, scan.saturation, scan.corrections))


def encode(scan: RawScan) -> bytes:
    """A measurement with all that is known of it, as an archive that `decode` reads."""
    arrays = {"data": scan.array, **geometry_arrays(scan.geometry), **map_arrays(scan.corrections)}
    if scan.mask is not None:
        arrays[MASK] = scan.mask[0] if scan.mask.strides[0] == 0 else scan.mask
    if scan.saturation is not None:
        arrays[SATURATION] = np.array(scan.saturation.level)
    stream = io.BytesIO()
    save(stream, arrays)
    return stream.getvalue()


def write_result(path: Path, arrays: Arrays) -> None:
    """Writes a result (KEYS, and more where there is more): `path` then holds all of it, or what it held before.

    Raises ValueError where a key is missing, OSError where the folder cannot be written; nothing half-written stays.
    """
    if missing := [key for key in KEYS if key not in arrays]:
        raise ValueError(f"a result needs {', '.join(missing)}")
    with replacing(path) as partial, partial.open("xb") as stream:
        save(stream, arrays)


def read_arrays(path: Path, limits: Limits = _DEFAULT_LIMITS) -> dict[str, NDArray[Any]]:
    """All arrays of a result, together within `limits`. Raises DataError where the file is damaged, TooLargeError."""
    where = str(path)
    with open_regular(path) as stream, _open(stream, where) as archive:
        headers = _headers(archive, where)
        elements = {key: math.prod(shape) for key, (shape, _) in headers.items()}
        nbytes, most = sum(elements[key] * dtype.itemsize for key, (_, dtype) in headers.items()), limits.max_bytes
        if nbytes > most:
            raise TooLargeError(f"{where}: its arrays take {in_words(nbytes)}, above the limit of {in_words(most)}")
        if limits.declared is not None:
            limits.declared(sum(elements.values()), nbytes)
        return {key: _any(archive, key, where, most) for key in headers}


def read_result(path: Path, limits: Limits = _DEFAULT_LIMITS) -> Result:
    """Reads what `write_result` wrote, or the service sent. Raises DataError where the file is not such a result."""
    with damaged(f"{path}: not a result of inphase, or damaged"):
        return Result.of(read_arrays(path, limits))


def _open(stream: IO[bytes], where: str) -> zipfile.ZipFile:
    with damaged(f"{where}: not a .npz archive, or truncated"):
        archive = zipfile.ZipFile(stream)
    if len(archive.infolist()) > _MAX_MEMBERS:
        archive.close()
        raise TooLargeError(f"{where}: holds {len(archive.infolist())} arrays, above the limit of {_MAX_MEMBERS}")
    return archive


def _headers(archive: zipfile.ZipFile, where: str) -> dict[str, _Header]:
    """Shape and type of each array, from the first bytes of each member."""
    headers = {}
    for name in archive.namelist():
        if not name.endswith(".npy"):
            continue
        key = name.removesuffix(".npy")
        with damaged(f"{where}, key '{key}': damaged"), archive.open(name) as stream:
            shape, dtype, _ = npy.header(stream, f"{where}, key '{key}'")
        headers[key] = (shape, dtype)
    if not headers:
        raise DataError(f"{where}: the archive holds no arrays")
    return headers


def _choose(headers: dict[str, _Header], request: FileReading, where: str) -> str:
    listing = ", ".join(f"{key} {shape} {dtype}" for key, (shape, dtype) in sorted(headers.items())[:20])
    if request.reading.dataset is not None:
        if request.reading.dataset not in headers:
            raise DataError(f"{where}: has no array '{request.reading.dataset}'; it holds {listing}")
        return request.reading.dataset
    for key in _PREFERRED[request.domain]:
        if key in headers:
            return key
    volumes = most_axes(
        {key: shape for key, (shape, dtype) in headers.items() if dtype.kind in "uif" and key not in MAPS}
    )
    if len(volumes) > 1:
        volumes.pop(MASK, None)
    if not volumes:
        raise DataError(f"{where}: holds no array of real numbers with two or three axes; it holds {listing}")
    largest = max(volumes.values())
    candidates = sorted(key for key, size in volumes.items() if size == largest)
    if len(candidates) > 1:
        raise DataError(f"{where}: {', '.join(candidates)} are equally large; name the measurement with dataset=")
    return candidates[0]


def _load(archive: zipfile.ZipFile, key: str, where: str, limits: Limits) -> NDArray[np.generic]:
    """Decodes one member; the size the archive declares for it must be the one that its own header needs."""
    label = f"{where}, key '{key}'"
    info = archive.getinfo(f"{key}.npy")
    with damaged(f"{label}: truncated or damaged"), archive.open(info) as stream:
        return npy.decode(stream, info.file_size, label, limits)


def _mask(
    archive: zipfile.ZipFile, headers: dict[str, _Header], key: str, shape: tuple[int, ...], where: str, limits: Limits
) -> NDArray[np.uint8] | None:
    """The member `mask`, unless it is the measurement itself."""
    if MASK not in headers or key == MASK:
        return None
    declared, _ = headers[MASK]
    label = f"{where}, key '{MASK}'"
    if math.prod(declared) not in (math.prod(shape), math.prod(shape[1:])):
        raise DataError(f"{label}: its shape {declared} fits neither the scan {shape} nor its frames {shape[1:]}")
    return three_state(_any(archive, MASK, where, limits.max_bytes), shape, label)


def _maps(headers: dict[str, _Header], key: str) -> list[str]:
    """The members that are detector maps: dark and flat of two axes, and the region of them where there is one."""
    present: list[str] = [name for name in MAPS if name in headers and name != key and len(headers[name][0]) == 2]
    return [] if present == [ROI] else present


def _map(archive: zipfile.ZipFile, header: _Header, name: str, where: str, limits: Limits) -> NDArray[np.generic]:
    """A detector map, its size checked before it is read."""
    _, dtype = header
    label = f"{where}, key '{name}'"
    if dtype.kind not in "uif":
        raise DataError(f"{label}: a detector map holds real numbers, this one {dtype}")
    return native(_any(archive, name, where, min(MOST_BYTES, limits.max_bytes)))


def _saturation(found: NDArray[np.generic] | None, where: str) -> Saturation | None:
    """The level of the key of that name. Raises DataError where it is no number above zero."""
    if found is None:
        return None
    if found.size != 1 or found.dtype.kind not in "uif" or not 0 < (level := float(found.reshape(-1)[0])) < math.inf:
        raise DataError(f"{where}, key '{SATURATION}': one number of counts above zero is expected")
    return Saturation(level, f"key '{SATURATION}'")


def _small(archive: zipfile.ZipFile, key: str, where: str) -> NDArray[np.generic]:
    return native(_any(archive, key, where, _MAX_SMALL))


def _any(archive: zipfile.ZipFile, key: str, where: str, most: int) -> NDArray[Any]:
    """A member of at most `most` bytes, whatever it holds but objects."""
    label = f"{where}, key '{key}'"
    info = archive.getinfo(f"{key}.npy")
    with damaged(f"{label}: truncated or damaged"), archive.open(info) as stream:
        return npy.decode_any(stream, info.file_size, label, most)
