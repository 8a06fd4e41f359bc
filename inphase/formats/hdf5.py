"""HDF5 and NeXus: the largest three-dimensional dataset, or the one that is named.

Links and virtual datasets may lead to other files of the same folder (that is how Eiger and NeXus masters work) and nowhere
else. Datasets with external raw storage are refused: they can name any file of the host.
"""

import math
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401  # registers the detectors' compression filters
import numpy as np
from numpy.typing import NDArray

from inphase.errors import DataError, TooLargeError
from inphase.formats.npy import first_line
from inphase.formats.scan import Limits, RawScan, Request, admit, geometry_of, in_words, native

SUFFIXES = (".h5", ".hdf5", ".hdf", ".nxs", ".nx5", ".cxi")
_MAX_OBJECTS = 100_000
_MAX_DEPTH = 32
_MAX_CHUNK = 2**30  # bytes of one chunk: it is decompressed as a whole
# never the measurement itself, though some have its shape
_AUXILIARY = re.compile(r"mask|flat|dark|background|white|error|weight|efficiency|support", re.IGNORECASE)
_NUMBERED = re.compile(r"(data_)(\d{6})")  # Eiger: a scan is cut into data_000001, data_000002, ...
_DAMAGED = (OSError, RuntimeError, ValueError, KeyError, TypeError)


@dataclass(frozen=True)
class _Found:
    """A measurement: one dataset, or the numbered pieces of one along the rocking axis."""

    path: str
    pieces: tuple[h5py.Dataset, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        first = self.pieces[0].shape
        return (sum(piece.shape[0] for piece in self.pieces), *first[1:])

    @property
    def size(self) -> int:
        return math.prod(self.shape)


def read(request: Request) -> RawScan:
    """Reads `dataset`, else the largest three-dimensional one that is not a mask or a correction.

    `q_steps` (3, 3) and `q_centre` (3,), in 1/m, at the root of the file give the geometry.
    """
    where = str(request.path)
    with ExitStack() as stack:
        walk = _Walk(request.path, stack)
        try:
            found, others = walk.named(request.dataset) if request.dataset is not None else walk.largest()
            for piece in found.pieces:
                walk.check_sources(piece)
            array = _load(found, where, request.limits)
            geometry = geometry_of(walk.small("q_steps"), walk.small("q_centre"), where)
        except _DAMAGED as error:
            raise DataError(f"{where}: truncated or damaged HDF5: {first_line(error)}") from error
    chosen = f"dataset '{found.path}' {array.shape} {array.dtype}" + (
        f"; passed over {', '.join(others)}" if others else ""
    )
    return RawScan(array, geometry, where, chosen)


class _Walk:
    """Finds datasets in one file, following links only inside its folder."""

    def __init__(self, path: Path, stack: ExitStack) -> None:
        self.path = path
        self.folder = path.resolve().parent
        self.stack = stack
        self.files: dict[Path, h5py.File] = {}
        self.root = self._open(path)

    def named(self, name: str) -> tuple[_Found, list[str]]:
        """The dataset of that path."""
        item = self._resolve(self.root, name)
        if not isinstance(item, h5py.Dataset):
            what = "no dataset" if item is None else "a group, not a dataset, at"
            raise DataError(f"{self.path}: holds {what} '{name}'; {self._listing()}")
        return _Found(name.strip("/"), (item,)), []

    def largest(self) -> tuple[_Found, list[str]]:
        """The largest volume, and the paths of the others that were passed over."""
        volumes = _joined(
            [(name, item) for name, item in self._datasets() if len(item.shape or ()) == 3 and item.dtype.kind in "uif"]
        )
        volumes = [volume for volume in volumes if not _AUXILIARY.search(volume.path)] or volumes
        if not volumes:
            raise DataError(f"{self.path}: holds no three-dimensional dataset of real numbers; {self._listing()}")
        volumes.sort(key=lambda volume: (-volume.size, not volume.path.endswith("data"), volume.path))
        best = volumes[0]
        if (
            len(volumes) > 1
            and volumes[1].size == best.size
            and volumes[1].path.endswith("data") == best.path.endswith("data")
        ):
            raise DataError(
                f"{self.path}: '{best.path}' and '{volumes[1].path}' are equally large; name the measurement with dataset="
            )
        return best, [volume.path for volume in volumes[1:6]]

    def small(self, name: str) -> NDArray[np.generic] | None:
        """A dataset of at most 16 numbers at the root, None where there is none."""
        item = self._resolve(self.root, name)
        if not isinstance(item, h5py.Dataset) or not 0 < item.size <= 16 or item.dtype.kind not in "uif":
            return None
        _check_storage(item, str(self.path))
        return np.asarray(item[()])

    def _datasets(self) -> Iterator[tuple[str, h5py.Dataset]]:
        """Every dataset once, by its shortest path; the same object under several names counts once."""
        seen: set[tuple[str, int]] = set()
        pending: list[tuple[str, h5py.Group]] = [("", self.root)]
        visited = 0
        while pending:
            prefix, group = pending.pop(0)
            for name in group:
                visited += 1
                if visited > _MAX_OBJECTS:
                    raise TooLargeError(
                        f"{self.path}: holds more than {_MAX_OBJECTS} objects; name the measurement with dataset="
                    )
                item = self._child(group, name)
                if item is None:
                    continue
                identity = (item.file.filename, h5py.h5o.get_info(item.id).addr)
                if identity in seen:
                    continue
                seen.add(identity)
                path = f"{prefix}{name}"
                if isinstance(item, h5py.Dataset):
                    yield path, item
                elif path.count("/") < _MAX_DEPTH:
                    pending.append((f"{path}/", item))

    def _resolve(self, group: h5py.Group, path: str, depth: int = 0) -> h5py.Group | h5py.Dataset | None:
        """The object at a path, link by link; None where it does not exist."""
        item: h5py.Group | h5py.Dataset | None = group.file if path.startswith("/") else group
        for name in filter(None, path.split("/")):
            if not isinstance(item, h5py.Group) or not item.id.links.exists(name.encode()):
                return None
            item = self._child(item, name, depth)
        return item

    def _child(self, group: h5py.Group, name: str, depth: int = 0) -> h5py.Group | h5py.Dataset | None:
        """One step down. Links are followed by hand, so that none leaves the folder; a dangling one is None."""
        if depth > _MAX_DEPTH:
            raise DataError(f"{self.path}: its links form a loop at '{name}'")
        # the low-level call: the high-level ones open a link's target in order to say whether it exists
        links, key = group.id.links, name.encode()
        kind = links.get_info(key).type
        if kind == h5py.h5l.TYPE_SOFT:
            return self._resolve(group, links.get_val(key).decode(), depth + 1)
        if kind == h5py.h5l.TYPE_EXTERNAL:
            file, path = (part.decode() for part in links.get_val(key))
            target = self._inside(Path(group.file.filename).parent, file)
            if target.exists():
                return self._resolve(self._open(target), path, depth + 1)
            if _NUMBERED.fullmatch(name):
                raise DataError(
                    f"{self.path}: '{name}' lies in the file {file}, which is missing; copy it beside this one"
                )
            return None
        item = group.get(name)
        return item if isinstance(item, h5py.Group | h5py.Dataset) else None

    def _inside(self, base: Path, name: str) -> Path:
        target = (base / name).resolve()
        if not target.is_relative_to(self.folder):
            raise DataError(
                f"{self.path}: links to a file outside its own folder, which is not followed; copy the data beside it"
            )
        return target

    def _open(self, path: Path) -> h5py.File:
        key = path.resolve()
        if key not in self.files:
            try:
                # no lock: a detector may still hold the file, and shared file systems often offer none
                self.files[key] = self.stack.enter_context(h5py.File(path, "r", locking=False))
            except OSError as error:
                raise DataError(f"{path}: not an HDF5 file, or truncated: {first_line(error)}") from error
        return self.files[key]

    def check_sources(self, dataset: h5py.Dataset, depth: int = 0) -> None:
        """A virtual dataset's sources lie in the folder, exist, and are themselves acceptable."""
        _check_storage(dataset, str(self.path))
        if not dataset.is_virtual:
            return
        if depth > _MAX_DEPTH:
            raise DataError(f"{self.path}: its virtual datasets form a loop")
        home = Path(dataset.file.filename)
        for source in dataset.virtual_sources():
            target = home if source.file_name == "." else self._inside(home.parent, source.file_name)
            if not target.exists():
                raise DataError(
                    f"{self.path}: '{dataset.name}' needs the file {source.file_name}, which is missing; copy it beside this one"
                )
            item = self._resolve(self._open(target), source.dset_name)
            if not isinstance(item, h5py.Dataset):
                raise DataError(
                    f"{self.path}: '{dataset.name}' needs '{source.dset_name}' of {source.file_name}, which is not there"
                )
            self.check_sources(item, depth + 1)

    def _listing(self) -> str:
        names = [f"{name} {item.shape} {item.dtype}" for name, item in self._datasets()]
        return (
            f"it holds {', '.join(names[:12])}{', ...' if len(names) > 12 else ''}" if names else "it holds no datasets"
        )


def _joined(datasets: list[tuple[str, h5py.Dataset]]) -> list[_Found]:
    """Puts data_000001, data_000002, ... of one group together where frames and type agree."""
    found = []
    pieces: dict[tuple[str, tuple[int, ...], np.dtype[Any]], list[tuple[int, h5py.Dataset]]] = {}
    for path, dataset in datasets:
        parent, _, name = path.rpartition("/")
        match = _NUMBERED.fullmatch(name)
        if match:
            pieces.setdefault((parent, dataset.shape[1:], dataset.dtype), []).append((int(match[2]), dataset))
        else:
            found.append(_Found(path, (dataset,)))
    for (parent, _, _), numbered in pieces.items():
        numbered.sort(key=lambda pair: pair[0])
        first, last = numbered[0][0], numbered[-1][0]
        if last - first + 1 != len(numbered):
            missing = next(n for n, (number, _) in enumerate(numbered, first) if n != number)
            raise DataError(f"'{parent}/data_{missing:06d}' is missing or its file is: the scan cannot be put together")
        span = f"data_{first:06d}" + (f"..{last:06d}" if last > first else "")
        found.append(_Found(f"{parent}/{span}".lstrip("/"), tuple(dataset for _, dataset in numbered)))
    return found


def _check_storage(dataset: h5py.Dataset, where: str) -> None:
    """No raw storage in other files, no filter that is absent, no chunk that cannot be decompressed within bounds."""
    label = f"{where}, dataset '{dataset.name}'"
    if dataset.external:
        raise DataError(
            f"{label}: keeps its numbers in external raw files, which are not read; write them into the HDF5 file"
        )
    if dataset.chunks and math.prod(dataset.chunks) * dataset.dtype.itemsize > _MAX_CHUNK:
        raise TooLargeError(f"{label}: has chunks above {in_words(_MAX_CHUNK)}; store one frame per chunk")
    properties = dataset.id.get_create_plist()
    for index in range(properties.get_nfilters()):
        code, _, _, name = properties.get_filter(index)
        if not h5py.h5z.filter_avail(code):
            raise DataError(
                f"{label}: is compressed with filter {code} ({name.decode(errors='replace')}), which is not installed here"
            )


def _load(found: _Found, where: str, limits: Limits) -> NDArray[np.generic]:
    """Reads the pieces into one array."""
    dtype = found.pieces[0].dtype
    shape = admit(found.shape, dtype, f"{where}, dataset '{found.path}'", limits)
    array = np.empty(shape, dtype.newbyteorder("="))
    row = 0
    for piece in found.pieces:
        piece.read_direct(array, dest_sel=np.s_[row : row + piece.shape[0]])
        row += piece.shape[0]
    return native(array)
