"""Finding objects in an HDF5 file that is not trusted.

Links and virtual datasets may lead to other files of the same folder (that is how Eiger and NeXus masters work) and nowhere
else. Datasets with external raw storage are refused: they can name any file of the host.
"""

import math
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401  # registers the detectors' compression filters
import numpy as np
from numpy.typing import NDArray

from inphase.errors import DataError, TooLargeError
from inphase.formats.npy import first_line
from inphase.formats.scan import Limits, in_words, native

NUMBERED = re.compile(r"(data_)(\d{6})")  # Eiger: a scan is cut into data_000001, data_000002, ...
_MAX_OBJECTS = 100_000
_MAX_DEPTH = 32
_MAX_CHUNK = 2**30  # bytes of one chunk: it is decompressed as a whole
_MAX_TEXT = 2**24
_DAMAGED = (OSError, RuntimeError, ValueError, KeyError, TypeError)


@contextmanager
def opened(path: Path) -> Iterator["Tree"]:
    """The objects of a file; what fails inside the block because the file is damaged is a DataError that names it."""
    with ExitStack() as stack:
        tree = Tree(path, stack)
        try:
            yield tree
        except _DAMAGED as error:
            raise DataError(f"{path}: truncated or damaged HDF5: {first_line(error)}") from error


class Tree:
    """The objects of one file, links followed by hand and only inside its folder."""

    def __init__(self, path: Path, stack: ExitStack) -> None:
        self.path = path
        self.folder = path.resolve().parent
        self.stack = stack
        self.files: dict[Path, h5py.File] = {}
        self.root = self._open(path)

    def get(self, path: str) -> h5py.Group | h5py.Dataset | None:
        """The object at a path, None where it does not exist."""
        return self._resolve(self.root, path)

    def dataset(self, path: str) -> h5py.Dataset:
        """The dataset at a path. Raises DataError that lists what there is."""
        item = self.get(path)
        if not isinstance(item, h5py.Dataset):
            what = "no dataset" if item is None else "a group, not a dataset, at"
            raise DataError(f"{self.path}: holds {what} '{path}'; {self.listing()}")
        return item

    def small(self, path: str, most: int = 16) -> NDArray[np.generic] | None:
        """A numeric dataset of at most `most` numbers, None where there is none."""
        item = self.get(path)
        if not isinstance(item, h5py.Dataset) or item.shape is None or not 0 < item.size <= most:
            return None
        if item.dtype.kind not in "uif":
            return None
        self.check_sources(item)
        return np.asarray(item[()])

    def text(self, path: str) -> str | None:
        """A text dataset of one string, None where there is none. Raises DataError above 16 MiB."""
        item = self.get(path)
        if (
            not isinstance(item, h5py.Dataset)
            or item.shape not in ((), (1,))
            or h5py.check_string_dtype(item.dtype) is None
        ):
            return None
        _check_storage(item, str(self.path))
        if item.id.get_storage_size() > _MAX_TEXT:
            raise TooLargeError(f"{self.path}: the text '{path}' is longer than {in_words(_MAX_TEXT)}")
        value = item.asstr(errors="replace")[()]
        return str(value if isinstance(value, str) else value[0])

    def array(self, dataset: h5py.Dataset, limits: Limits) -> NDArray[np.generic]:
        """Any numeric dataset, complex as well. Raises DataError, TooLargeError before allocating."""
        label = f"{self.path}, dataset '{dataset.name}'"
        self.check_sources(dataset)
        if dataset.shape is None or dataset.dtype.kind not in "uifcb":
            raise DataError(f"{label}: holds {dataset.dtype}, no numbers")
        nbytes = math.prod(dataset.shape) * dataset.dtype.itemsize
        if nbytes > limits.max_bytes:
            raise TooLargeError(
                f"{label}: declares {dataset.shape}, {in_words(nbytes)}, above the limit of {in_words(limits.max_bytes)}"
            )
        return native(dataset[()])

    def step(self, group: h5py.Group, name: str) -> h5py.Group | h5py.Dataset | None:
        """The member of a group, None where it does not exist."""
        return self._child(group, name) if group.id.links.exists(name.encode()) else None

    def datasets(self) -> Iterator[tuple[str, h5py.Dataset]]:
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

    def listing(self) -> str:
        """What the file holds, for a message."""
        names = [f"{name} {item.shape} {item.dtype}" for name, item in self.datasets()]
        return (
            f"it holds {', '.join(names[:12])}{', ...' if len(names) > 12 else ''}" if names else "it holds no datasets"
        )

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
            if NUMBERED.fullmatch(name):
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
