"""numpy's .npz: measurements in, results out."""

import json
import math
import os
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from inphase.errors import DataError, TooLargeError
from inphase.formats import npy
from inphase.formats.scan import Limits, RawScan, Request, geometry_of, in_words, native
from inphase.pattern import Domain

_MAX_MEMBERS = 1000
_MAX_SMALL = 2**24  # bytes of a member that is read whole because its name is known
# what to look for first; the second name reads a result file back as a measurement
_PREFERRED = {Domain.COUNTS: ("data",), Domain.MODULUS: ("modulus", "data")}
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError)


def read(request: Request) -> RawScan:
    """Reads `dataset`, else the key `data`, else the largest three-dimensional array.

    `q_steps` (3, 3) and `q_centre` (3,), in 1/m, give the geometry where the file has them.
    """
    where = str(request.path)
    with _open(request.path) as archive:
        headers = _headers(archive, where)
        key = _choose(headers, request)
        array = _load(archive, key, where, request.limits)
        small = {name: _small(archive, name, where) for name in ("q_steps", "q_centre") if name in headers}
    others = sorted(set(headers) - {key})
    chosen = f"key '{key}' {array.shape} {array.dtype}" + (f"; passed over {', '.join(others)}" if others else "")
    return RawScan(array, geometry_of(small.get("q_steps"), small.get("q_centre"), where), where, chosen)


RESULT_KEYS = ("object", "amplitude", "phase", "phase_flat", "support", "modulus", "mask", "voxel_size_m", "document")


@dataclass(frozen=True)
class Result:
    """A reconstruction as it is stored: anyone can check its chi2 from `object`, `modulus` and `mask` alone.

    object: (N0, N1, N2) complex64, centred, in the canonical form of inphase.ambiguity.
    phase_flat: float32 radians, the phase without its linear ramp.
    support: bool. modulus: float32, the measured square root of intensity, preprocessed but not made to fit.
    mask: uint8 of MaskState. voxel_size_m: metres per axis, None where no geometry is known.
    document: the job document, decoded from its JSON.
    """

    object: NDArray[np.complex64]
    support: NDArray[np.bool_]
    phase_flat: NDArray[np.float32]
    modulus: NDArray[np.float32]
    mask: NDArray[np.uint8]
    voxel_size_m: tuple[float, float, float] | None
    document: Mapping[str, Any]


def write_result(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Writes a result (RESULT_KEYS, and more where there is more): `path` then holds all of it, or what it held before.

    Raises ValueError where a key is missing, OSError where the folder cannot be written; nothing half-written stays.
    """
    if missing := [key for key in RESULT_KEYS if key not in arrays]:
        raise ValueError(f"a result needs {', '.join(missing)}")
    partial = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        with partial.open("xb") as stream:
            np.savez(stream, allow_pickle=False, **arrays)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def read_result(path: Path) -> Result:
    """Reads what `write_result` wrote, or the service sent. Raises DataError where the file is not such a result."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            size = archive["voxel_size_m"]
            return Result(
                object=archive["object"],
                support=archive["support"],
                phase_flat=archive["phase_flat"],
                modulus=archive["modulus"],
                mask=archive["mask"],
                voxel_size_m=None if np.isnan(size).any() else (float(size[0]), float(size[1]), float(size[2])),
                document=json.loads(str(archive["document"])),
            )
    except (KeyError, AttributeError, TypeError, IndexError, *_DAMAGED) as error:
        raise DataError(f"{path}: not a result of inphase, or damaged: {npy.first_line(error)}") from error


def _open(path: Path) -> zipfile.ZipFile:
    try:
        archive = zipfile.ZipFile(path)
    except _DAMAGED as error:
        raise DataError(f"{path}: not a .npz archive, or truncated: {npy.first_line(error)}") from error
    if len(archive.infolist()) > _MAX_MEMBERS:
        archive.close()
        raise TooLargeError(f"{path}: holds {len(archive.infolist())} arrays, above the limit of {_MAX_MEMBERS}")
    return archive


def _headers(archive: zipfile.ZipFile, where: str) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
    """Shape and type of each array, from the first bytes of each member."""
    headers = {}
    for name in archive.namelist():
        if not name.endswith(".npy"):
            continue
        key = name.removesuffix(".npy")
        try:
            with archive.open(name) as stream:
                shape, dtype, _ = npy.header(stream, f"{where}, key '{key}'")
        except _DAMAGED as error:
            raise DataError(f"{where}, key '{key}': damaged: {npy.first_line(error)}") from error
        headers[key] = (shape, dtype)
    if not headers:
        raise DataError(f"{where}: the archive holds no arrays")
    return headers


def _choose(headers: dict[str, tuple[tuple[int, ...], np.dtype[Any]]], request: Request) -> str:
    listing = ", ".join(f"{key} {shape} {dtype}" for key, (shape, dtype) in sorted(headers.items())[:20])
    if request.dataset is not None:
        if request.dataset not in headers:
            raise DataError(f"{request.path}: has no array '{request.dataset}'; it holds {listing}")
        return request.dataset
    for key in _PREFERRED[request.domain]:
        if key in headers:
            return key
    volumes = {
        key: math.prod(shape) for key, (shape, dtype) in headers.items() if len(shape) == 3 and dtype.kind in "uif"
    }
    if not volumes:
        raise DataError(f"{request.path}: holds no three-dimensional array of real numbers; it holds {listing}")
    largest = max(volumes.values())
    candidates = sorted(key for key, size in volumes.items() if size == largest)
    if len(candidates) > 1:
        raise DataError(
            f"{request.path}: {', '.join(candidates)} are equally large; name the measurement with dataset="
        )
    return candidates[0]


def _load(archive: zipfile.ZipFile, key: str, where: str, limits: Limits) -> NDArray[np.generic]:
    """Decodes one member; the size the archive declares for it must be the one that its own header needs."""
    label = f"{where}, key '{key}'"
    info = archive.getinfo(f"{key}.npy")
    try:
        with archive.open(info) as stream:
            return npy.decode(stream, info.file_size, label, limits)
    except _DAMAGED as error:
        raise DataError(f"{label}: truncated or damaged: {npy.first_line(error)}") from error


def _small(archive: zipfile.ZipFile, key: str, where: str) -> NDArray[np.generic]:
    info = archive.getinfo(f"{key}.npy")
    if info.file_size > _MAX_SMALL:
        raise TooLargeError(f"{where}, key '{key}': {in_words(info.file_size)} where a few numbers were expected")
    try:
        with archive.open(info) as stream:
            return native(np.lib.format.read_array(stream, allow_pickle=False))
    except _DAMAGED as error:
        raise DataError(f"{where}, key '{key}': damaged: {npy.first_line(error)}") from error
