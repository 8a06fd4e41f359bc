"""Finding objects in an HDF5 file that is not trusted.

Links and virtual datasets may lead to other files of the same folder (that is how Eiger and NeXus masters work) and
nowhere else. Datasets with external raw storage are refused: they can name any file of the host.
"""

import math
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from inphase.errors import DataError, TooLargeError
from inphase.formats import filters
from inphase.formats.boundary import first_line
from inphase.formats.regular import check_all_opened, check_opened
from inphase.formats.scan import Limits, native
from inphase.sizes import in_words

NUMBERED = re.compile(r"(data_)(\d{6})")  # Eiger: a scan is cut into data_000001, data_000002, ...
_MAX_OBJECTS = 100_000
_MAX_DEPTH = 32
_MAX_CHUNK = 2**30  # bytes of one chunk: it is decompressed as a whole
_MAX_TEXT = 2**24
_MAX_STEPS = 100_000  # behind links, to parts of virtual datasets, along names: each can stand for many others
_NESTED = 50  # steps that a virtual dataset inside another counts as: to look at one takes a millisecond
_MAX_PADDING = 16  # times what a dataset holds, that its chunks may
_MAX_IDLE = 2**26  # bytes of chunks that are no padding to speak of
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_DAMAGED = (OSError, RuntimeError, ValueError, KeyError, TypeError)


@contextmanager
def opened(path: Path) -> Iterator["Tree"]:
    """The objects of a file; what fails inside the block because the file is damaged is a DataError that names it."""
    with ExitStack() as stack:
        tree = Tree(path, stack)
        try:
            yield tree
        except PermissionError:
            raise  # the boundary says it better
        except _DAMAGED as error:
            raise DataError(f"{path}: truncated or damaged HDF5: {first_line(error)}") from error


def is_hdf5(path: Path) -> bool:
    """Whether a file has the signature of HDF5; also one that is locked, or whose writer died, has it."""
    with path.open("rb") as stream:
        place, size = 0, path.stat().st_size
        while place < size:  # at 0, 512, 1024, 2048, ...: before it a user block may stand
            stream.seek(place)
            if stream.read(len(_SIGNATURE)) == _SIGNATURE:
                return True
            place = max(512, 2 * place)
    return False


def type_of(item: h5py.Group | h5py.Dataset | None) -> np.dtype[Any] | None:
    """The element type of a dataset; None for what is none, and for a type that numpy does not have."""
    if not isinstance(item, h5py.Dataset):
        return None
    try:
        dtype: np.dtype[Any] = item.dtype
    except (TypeError, ValueError, RuntimeError, KeyError):
        return None
    return dtype


def is_real(item: h5py.Group | h5py.Dataset | None) -> bool:
    """Whether this is a dataset of real numbers."""
    dtype = type_of(item)
    return dtype is not None and dtype.kind in "uif"


@dataclass(frozen=True)
class Missing:
    """A link that leads nowhere: its path, the file that it names, and what is wrong."""

    path: str
    file: str
    why: str

    def __str__(self) -> str:
        return f"'{self.path}' lies in the file {self.file}, {self.why}"


@dataclass(frozen=True)
class Part:
    """A part of a virtual dataset: its place there, its place in the source, and the source;
    None where that is missing.
    """

    place: h5py.h5s.SpaceID
    place_in_source: h5py.h5s.SpaceID
    source: h5py.Dataset | None
    file: str
    why: str  # it is missing

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether it can be read from its source at once, into an array of the virtual dataset's shape."""
        if self.source is None or self.source.is_virtual:
            return False
        taken = self._taken(self.source)
        alike = self.points > 0 and self.points == _points(taken)
        return bool(alike and self.place.shape == shape and taken.shape == self.source.shape)

    @property
    def points(self) -> int:
        """Voxels that it gives; -1 where it has no end."""
        return _points(self.place)

    def fill(self, array: NDArray[np.generic]) -> None:
        """Read it into its place."""
        assert self.source is not None
        self.source.id.read(self.place, self._taken(self.source), array)

    def _taken(self, source: h5py.Dataset) -> h5py.h5s.SpaceID:
        whole = self.place_in_source.get_select_type() == h5py.h5s.SEL_ALL
        return source.id.get_space() if whole else self.place_in_source


class Tree:
    """The objects of one file, links followed by hand and only inside its folder.

    Of a file that is itself a symbolic link the folder is that of the real one, where its links lead to others.
    missing: links to other files that lead nowhere, as far as they were met. writing: files that were opened while a
    program writes them (SWMR). Links and virtual datasets that lead on and on come to an end: whatever follows them
    raises TooLargeError after 100,000 steps.
    """

    def __init__(self, path: Path, stack: ExitStack) -> None:
        self.path = path
        self.folder = path.resolve().parent
        self.stack = stack
        self.missing: dict[str, Missing] = {}
        self.writing: list[str] = []
        self.files: dict[Path, h5py.File] = {}
        self._parts: dict[tuple[str, int], list[Part]] = {}
        self._steps = 0
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
        if not is_real(item):
            return None
        self.check_sources(item)
        found = np.asarray(item[()])
        self.check_read(item)
        return found

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
        if max(item.id.get_storage_size(), item.id.get_type().get_size()) > _MAX_TEXT:
            raise TooLargeError(f"{self.path}: the text '{path}' is longer than {in_words(_MAX_TEXT)}")
        value = item.asstr(errors="replace")[()]
        self.check_read(item)
        return str(value if isinstance(value, str) else value[0])

    def array(self, dataset: h5py.Dataset, limits: Limits) -> NDArray[np.generic]:
        """Any numeric dataset, complex as well. Raises DataError, TooLargeError before allocating."""
        label = f"{self.path}, dataset '{name_of(dataset)}'"
        self.check_sources(dataset)
        dtype = type_of(dataset)
        if dataset.shape is None or dtype is None or dtype.kind not in "uifcb":
            raise DataError(f"{label}: holds {dtype or 'a type that is not known here'}, no numbers")
        nbytes = math.prod(dataset.shape) * dtype.itemsize
        if nbytes > limits.max_bytes:
            raise TooLargeError(
                f"{label}: declares {dataset.shape}, {in_words(nbytes)}, above the limit of "
                f"{in_words(limits.max_bytes)}"
            )
        found = np.empty(dataset.shape, dataset.dtype)
        self.fill(found, dataset)
        return native(found)

    def fill(self, array: NDArray[np.generic], dataset: h5py.Dataset) -> None:
        """Read all of a dataset, none of whose sources is missing, into an array of its shape.

        Of a virtual one from its sources as they are open here, where that can be. HDF5 opens them once more by their
        names, and gives zeros for one that has been moved away since. Raises DataError.
        """
        parts = self.parts(dataset)
        if gone := next((part for part in parts if part.source is None), None):
            raise DataError(f"{self.path}: {gone.why}")
        whole = sum(part.points for part in parts) == dataset.size
        if parts and whole and all(part.fits(dataset.shape) for part in parts):
            for part in parts:
                part.fill(array)
            return
        dataset.read_direct(array)
        self.check_read(dataset)

    def check_read(self, dataset: h5py.Dataset) -> None:
        """The files that HDF5 has opened by their names for a virtual dataset, which has been read and is still open,
        must lie where files may be read. Raises DataError.
        """
        if dataset.is_virtual:
            check_all_opened(f"{self.path}, dataset '{name_of(dataset)}'")

    def step(self, group: h5py.Group, name: str) -> h5py.Group | h5py.Dataset | None:
        """The member of a group, None where it does not exist."""
        return self._child(group, name) if _key(group, name) is not None else None

    def datasets(self) -> Iterator[tuple[str, h5py.Dataset]]:
        """Every dataset once, by its shortest path; the same object under several names counts once."""
        seen: set[tuple[str, int]] = set()
        pending: list[tuple[str, h5py.Group]] = [("", self.root)]
        visited = 0
        while pending:
            prefix, group = pending.pop(0)
            for name in names_in(group):
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
        names = [f"{name} {item.shape} {type_of(item) or 'of unknown type'}" for name, item in self.datasets()]
        held = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "") if names else "no datasets"
        lost = "; ".join(str(missing) for missing in list(self.missing.values())[:3])
        return f"it holds {held}{f'; {lost}: copy what is missing beside it' if lost else ''}"

    def check_sources(self, dataset: h5py.Dataset, depth: int = 0) -> None:
        """A virtual dataset's sources lie in the folder, exist, and are themselves acceptable."""
        for part in self.parts(dataset, depth):
            if part.source is None:
                raise DataError(f"{self.path}: {part.why}")
            self.check_sources(part.source, depth + 1)

    def parts(self, dataset: h5py.Dataset, depth: int = 0) -> list[Part]:
        """What a virtual dataset is put together from; nothing of any other. What was found once stays so, whatever
        becomes of its files meanwhile. Raises DataError for what may not be read.
        """
        _check_storage(dataset, str(self.path))
        if depth > _MAX_DEPTH:
            raise DataError(f"{self.path}: its virtual datasets form a loop")
        if not dataset.is_virtual:
            return []
        self.count_step(_NESTED if depth else 1)
        identity = (dataset.file.filename, h5py.h5o.get_info(dataset.id).addr)
        if identity in self._parts:
            self.count_step(len(self._parts[identity]) if depth else 0)
            return self._parts[identity]
        home, found = Path(dataset.file.filename), list[Part]()
        for source in dataset.virtual_sources():
            self.count_step()
            target = home if source.file_name == "." else self._inside(home.parent, source.file_name)
            item, why = None, f"'{name_of(dataset)}' needs the file {source.file_name}, which is missing; "
            if target.is_file():
                item = self._resolve(self._open(target), source.dset_name)
                why = (
                    f"'{name_of(dataset)}' needs '{source.dset_name}' of {source.file_name}, which has no such dataset"
                )
            elif "%b" in source.file_name:
                why = f"'{name_of(dataset)}' counts its files up ({source.file_name}), which is not followed here"
            else:
                why += self._instead(dataset, source.dset_name)
            found.append(
                Part(
                    source.vspace, source.src_space, item if isinstance(item, h5py.Dataset) else None, target.name, why
                )
            )
        self._parts[identity] = found
        return found

    def _instead(self, dataset: h5py.Dataset, wanted: str) -> str:
        """What to do where the file that a virtual dataset needs is missing."""
        own = self._resolve(dataset.file, wanted)
        if isinstance(own, h5py.Dataset) and own.id != dataset.id:
            return (
                f"if this file itself had that name once, take its own dataset='{wanted}'; else copy it beside this one"
            )
        return "copy it beside this one"

    def _resolve(self, group: h5py.Group, path: str, depth: int = 0) -> h5py.Group | h5py.Dataset | None:
        """The object at a path, link by link; None where it does not exist."""
        item: h5py.Group | h5py.Dataset | None = group.file if path.startswith("/") else group
        for name in filter(None, path.split("/")):
            if not isinstance(item, h5py.Group) or _key(item, name) is None:
                return None
            item = self._child(item, name, depth)
        return item

    def _child(self, group: h5py.Group, name: str, depth: int = 0) -> h5py.Group | h5py.Dataset | None:
        """One step down. Links are followed by hand, so that none leaves the folder; a dangling one is None."""
        if depth > _MAX_DEPTH:
            raise DataError(f"{self.path}: its links form a loop at '{name}'")
        if depth:
            self.count_step()
        # the low-level call: the high-level ones open a link's target in order to say whether it exists
        links, key = group.id.links, _key(group, name)
        if key is None:
            raise DataError(f"{self.path}: damaged HDF5: a group lists '{name}' and does not hold it")
        kind = links.get_info(key).type
        if kind == h5py.h5l.TYPE_SOFT:
            return self._resolve(group, _text(links.get_val(key)), depth + 1)
        if kind == h5py.h5l.TYPE_EXTERNAL:
            file, path = (_text(part) for part in links.get_val(key))
            target = self._inside(Path(group.file.filename).parent, file)
            item = self._resolve(self._open(target), path, depth + 1) if target.is_file() else None
            if item is None:
                link = f"{name_of(group)}/{name}".lstrip("/")
                why = f"which has no '{path}'" if target.is_file() else "which is missing"
                self.missing[link] = Missing(link, file, why)
            return item
        if kind != h5py.h5l.TYPE_HARD:
            return None
        found = h5py.h5o.open(group.id, key)
        if isinstance(found, h5py.h5g.GroupID):
            return h5py.Group(found)
        return h5py.Dataset(found, readonly=True) if isinstance(found, h5py.h5d.DatasetID) else None

    def count_step(self, effort: int = 1) -> None:
        """One step of those that a small file, or a small description, can ask for without end.
        Raises TooLargeError.
        """
        self._steps += effort
        if self._steps > _MAX_STEPS:
            raise TooLargeError(
                f"{self.path}: more than {_MAX_STEPS} steps along its links, virtual datasets and the description's "
                "names: name the measurement with dataset=, or write it as an ordinary dataset (h5repack)"
            )

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
                file = self._file(key)
            except OSError as error:
                raise DataError(f"{path}: {_why_closed(key, error)}") from error
            self.files[key] = self.stack.enter_context(file)
            check_opened(self.files[key].id.get_vfd_handle(), str(path))
        return self.files[key]

    def _file(self, real: Path) -> h5py.File:
        """By its real path, so that its links are followed from there."""
        try:
            # no lock: a detector may still hold the file, and shared file systems often offer none
            return h5py.File(real, "r", locking=False)
        except OSError as error:
            if "already open for write" not in str(error):
                raise
            file = h5py.File(real, "r", locking=False, swmr=True)
            self.writing.append(real.name)
            return file


def _points(space: h5py.h5s.SpaceID) -> int:
    """Of a selection; -1 where it has no end."""
    try:
        return int(space.get_select_npoints())
    except RuntimeError:
        return -1


def names_in(group: h5py.Group) -> Iterator[str]:
    """The names of a group's members as text; those that are no UTF-8 are taken for Latin-1."""
    for name in group:
        yield name if isinstance(name, str) else _text(name)


def name_of(item: h5py.Group | h5py.Dataset) -> str:
    """The path of an object inside its own file, as text."""
    return _text(h5py.h5i.get_name(item.id) or b"")


def _text(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        return name.decode("latin-1")


def _key(group: h5py.Group, name: str) -> bytes | None:
    """The name of a group's member as the file has it, None where there is none."""
    for encoding in ("utf-8", "latin-1"):
        key = name.encode(encoding, "replace")
        if group.id.links.exists(key):
            return key
    return None


def _why_closed(path: Path, error: OSError) -> str:
    """What to say of a file that HDF5 does not open."""
    if not is_hdf5(path):
        return f"not an HDF5 file, or truncated: {first_line(error)}"
    if "open for" in str(error):  # the flag that a writer sets, without SWMR
        return (
            "another program has it open for writing, or died while it did: wait until it has closed the file; if it "
            f"is dead, `h5clear -s {path.name}` takes the mark away"
        )
    if _is_locked(path):
        return f"another program is writing it: wait until it has closed the file ({first_line(error)})"
    return f"truncated or damaged HDF5, or its writer never closed it: {first_line(error)}"


def _is_locked(path: Path) -> bool:
    try:
        h5py.File(path, "r", locking=True).close()
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _check_storage(dataset: h5py.Dataset, where: str) -> None:
    """No raw storage in other files, only the filters of detectors, no chunk that cannot be decompressed within
    bounds.
    """
    label = f"{where}, dataset '{name_of(dataset)}'"
    if dataset.external:
        raise DataError(
            f"{label}: keeps its numbers in external raw files, which are not read; write them into the HDF5 file"
        )
    if dataset.chunks:
        _check_chunks(dataset, label)
    properties = dataset.id.get_create_plist()
    for index in range(properties.get_nfilters()):
        code, _, _, name = properties.get_filter(index)
        if why := filters.refusal(code, name):
            raise DataError(f"{label}: {why}")


def _check_chunks(dataset: h5py.Dataset, label: str) -> None:
    """A chunk is unpacked as a whole, and those of a dataset that may grow can be larger than the dataset itself."""
    size = dataset.id.get_type().get_size()
    chunk = math.prod(dataset.chunks) * size
    if chunk > _MAX_CHUNK:
        raise TooLargeError(f"{label}: has chunks above {in_words(_MAX_CHUNK)}; store one frame per chunk")
    count = math.prod(-(-side // step) for side, step in zip(dataset.shape, dataset.chunks, strict=True))
    if count * chunk > max(_MAX_PADDING * math.prod(dataset.shape) * size, _MAX_IDLE):
        raise TooLargeError(
            f"{label}: holds {in_words(math.prod(dataset.shape) * size)} in chunks of {in_words(count * chunk)}, all "
            "of which would be unpacked; store it in chunks of its own size"
        )
