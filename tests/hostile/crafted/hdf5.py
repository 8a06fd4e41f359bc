"""HDF5, NeXus and CXI: links, virtual datasets, declarations, filters, types, names."""

import struct
from collections.abc import Callable
from typing import Any, Final

import h5py
import numpy as np

from tests.hostile.crafted import COUNTS, Family, Place

_DATA: Final = "entry/data/data"
_SUFFIXES: Final = (".h5", ".cxi")
_HUGE: Final = 2**40
_NOBODY: Final = 0xCAFE  # the number of no filter


def _file(place: Place, suffix: str = ".h5") -> h5py.File:
    return h5py.File(place.folder / f"scan{suffix}", "w", libver="latest")


def _soft_loop(place: Place, length: int, suffix: str) -> dict[str, Any]:
    with _file(place, suffix) as file:
        for number in range(length):
            file[f"entry/l{number}"] = h5py.SoftLink(f"/entry/l{(number + 1) % length}")
        file[_DATA] = h5py.SoftLink("/entry/l0/data")
    return {"path": f"scan{suffix}"}


def _laughs(place: Place, levels: int, width: int) -> None:
    """Each level holds `width` links to the one below: width ** levels paths."""
    with _file(place) as file:
        file["g0/data"] = COUNTS
        for level in range(1, levels):
            for number in range(width):
                file[f"g{level}/l{number}"] = h5py.SoftLink(f"/g{level - 1}")


def _soft_target(place: Place, target: str, suffix: str) -> dict[str, Any]:
    with _file(place, suffix) as file:
        file[_DATA] = h5py.SoftLink(target)
    return {"path": f"scan{suffix}", "dataset": _DATA}


def _target(place: Place, target: str) -> str:
    return target.format(outside=place.outside, folder=place.folder)


def _external(place: Place, target: str, suffix: str) -> dict[str, Any]:
    with _file(place, suffix) as file:
        file[_DATA] = h5py.ExternalLink(_target(place, target), "/entry/data/data")
    return {"path": f"scan{suffix}"}


def _external_chain(place: Place, length: int, closed: bool) -> None:
    for number in range(length):
        following = "scan.h5" if number == length - 1 else f"link{number + 1}.h5"
        with h5py.File(place.folder / (f"link{number}.h5" if number else "scan.h5"), "w") as file:
            if number == length - 1 and not closed:
                file["entry/data/data"] = COUNTS
            else:
                file["entry/data/data"] = h5py.ExternalLink(following, "/entry/data/data")


def _virtual(place: Place, target: str, name: str, suffix: str) -> dict[str, Any]:
    layout = h5py.VirtualLayout(COUNTS.shape, COUNTS.dtype)
    layout[...] = h5py.VirtualSource(_target(place, target), name, COUNTS.shape)
    with _file(place, suffix) as file:
        file.create_virtual_dataset(_DATA, layout)
    return {"path": f"scan{suffix}"}


def _counted(place: Place, target: str, name: str) -> None:
    """Its files are counted up: %b is a number, without an end to the axis."""
    space = h5py.h5s.create_simple((6, 8, 10), (h5py.h5s.UNLIMITED, 8, 10))
    space.select_hyperslab((0, 0, 0), (h5py.h5s.UNLIMITED, 1, 1), (1, 1, 1), (1, 8, 10))
    source = h5py.h5s.create_simple((1, 8, 10))
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_virtual(space, _target(place, target).encode(), name.encode(), source)
    with _file(place) as file:
        file.require_group("entry/data")
        h5py.h5d.create(file.id, _DATA.encode(), h5py.h5t.NATIVE_UINT16, space, properties)


def _nested_virtual(place: Place, depth: int) -> None:
    with _file(place) as file:
        file["d0"] = COUNTS
        for level in range(1, depth):
            layout = h5py.VirtualLayout(COUNTS.shape, COUNTS.dtype)
            layout[...] = h5py.VirtualSource(".", f"d{level - 1}", COUNTS.shape)
            file.create_virtual_dataset(f"d{level}", layout)


def _many_sources(place: Place, count: int, target: str) -> None:
    layout = h5py.VirtualLayout((count, 8, 10), np.uint16)
    for number in range(count):
        layout[number] = h5py.VirtualSource(target.format(number), "d", (8, 10))
    with _file(place) as file:
        file["d"] = COUNTS[0]
        file.create_virtual_dataset(_DATA, layout)


def _hard_loop(place: Place, groups: int) -> None:
    with _file(place) as file:
        found = [file.create_group(f"g{number}") for number in range(groups)]
        for one in found:
            for number, other in enumerate(found):
                one[f"to{number}"] = other


def _declared(place: Place, shape: tuple[int, ...], dtype: str, suffix: str) -> dict[str, Any]:
    with _file(place, suffix) as file:
        chunks = tuple(max(1, min(side, 64)) for side in shape) or None
        file.create_dataset(_DATA, shape, dtype, chunks=chunks if 0 not in shape else None)
    return {"path": f"scan{suffix}"}


def _chunks(place: Place, chunk: tuple[int, int, int], compressed: bool) -> None:
    """A chunk is unpacked as a whole, however little of it is in use."""
    with _file(place) as file:
        file.create_dataset(
            _DATA, (8, 8, 8), np.uint8, chunks=chunk, maxshape=(None, None, None),
            compression="gzip" if compressed else None
        )  # fmt: skip
        if compressed:
            file[_DATA][0, 0, 0] = 1


def _filtered(place: Place, code: int, content: str) -> None:
    """A chunk of garbage behind a filter, known or not. The filter is written as one that nobody has, which its library
    cannot refuse; the file has no checksums that would tell of the change.
    """
    path = place.folder / "scan.h5"
    with h5py.File(path, "w") as file:
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_chunk((1, 8, 10))
        properties.set_filter(_NOBODY, h5py.h5z.FLAG_OPTIONAL, (0, 2, 8, 10, 1, 0, 0, 1))
        file.require_group("entry/data")
        space = h5py.h5s.create_simple((6, 8, 10))
        dataset = h5py.h5d.create(file.id, _DATA.encode(), h5py.h5t.NATIVE_UINT16, space, properties)
        chunks = {
            "garbage": place.garbage(160), "huge": b"\xff" * 12 + place.garbage(99), "short": place.garbage(1)
        }  # fmt: skip
        for frame in range(6):
            dataset.write_direct_chunk((frame, 0, 0), chunks[content])
    written, id_of = path.read_bytes(), "<HHHH"
    for name_length in (0, 8):
        head = struct.pack(id_of, _NOBODY, name_length, 1, 8)
        written = written.replace(head, struct.pack(id_of, code, name_length, 1, 8))
    assert struct.pack("<H", _NOBODY) not in written
    path.write_bytes(written)


def _typed(place: Place, kind: str) -> None:
    made: dict[str, Callable[[h5py.File], object]] = {
        "complex": lambda file: file.create_dataset(_DATA, data=COUNTS.astype(complex)),
        "compound": lambda file: file.create_dataset(_DATA, data=np.zeros((6, 8, 10), [("a", "f4"), ("b", "O")][:1])),
        "strings": lambda file: file.create_dataset(_DATA, (6, 8, 10), h5py.string_dtype()),
        "fixed": lambda file: file.create_dataset(_DATA, (6, 8, 10), "S7"),
        "ragged": lambda file: file.create_dataset(_DATA, (6, 8, 10), h5py.vlen_dtype(np.int32)),
        "enum": lambda file: file.create_dataset(_DATA, (6, 8, 10), h5py.enum_dtype({"a": 0, "b": 1}, "i1")),
        "bool": lambda file: file.create_dataset(_DATA, data=COUNTS > 2),
        "opaque": lambda file: file.create_dataset(_DATA, data=np.zeros((6, 8, 10), "V16")),
        "reference": lambda file: file.create_dataset(_DATA, (6, 8, 10), h5py.ref_dtype),
        "region": lambda file: file.create_dataset(_DATA, (6, 8, 10), h5py.regionref_dtype),
        "array": lambda file: file.create_dataset(_DATA, (6,), np.dtype(("u2", (8, 10)))),
        "half": lambda file: file.create_dataset(_DATA, data=COUNTS.astype(np.float16)),
        "long": lambda file: file.create_dataset(_DATA, data=COUNTS.astype(np.longdouble)),
        "big": lambda file: file.create_dataset(_DATA, data=COUNTS.astype(">u8")),
        "null": lambda file: file.create_dataset(_DATA, dtype="f4", data=h5py.Empty("f4")),
    }
    with _file(place) as file:
        made[kind](file)


_KINDS: Final = (
    "complex", "compound", "strings", "fixed", "ragged", "enum", "bool", "opaque", "reference", "region", "array",
    "half",
    "long", "big", "null",
)  # fmt: skip


def _named(place: Place, name: bytes, suffix: str) -> dict[str, Any]:
    with _file(place, suffix) as file:
        group = file.create_group("entry")
        space = h5py.h5s.create_simple(COUNTS.shape)
        h5py.h5d.create(group.id, name, h5py.h5t.NATIVE_UINT16, space).write(h5py.h5s.ALL, h5py.h5s.ALL, COUNTS)
    return {"path": f"scan{suffix}"}


def _raw_storage(place: Place, target: str) -> None:
    with _file(place) as file:
        file.create_dataset(_DATA, COUNTS.shape, np.uint16, external=[(_target(place, target), 0, COUNTS.nbytes)])


def _many_objects(place: Place, count: int) -> None:
    with _file(place) as file:
        group = file.create_group("entry")
        file["one"] = COUNTS[:2]
        for number in range(count):
            group[f"n{number}"] = file["one"]


def _deep(place: Place, depth: int) -> None:
    with _file(place) as file:
        group = file["/"]
        for _ in range(depth):
            group = group.create_group("g")
        group["data"] = COUNTS


def _detector(place: Place, name: str, value: Any) -> None:
    with _file(place) as file:
        file[_DATA] = COUNTS
        file[f"entry/instrument/detector/{name}"] = value


def _geometry(place: Place, name: str, value: float, suffix: str) -> dict[str, Any]:
    with _file(place, suffix) as file:
        file[_DATA] = np.random.default_rng(2).poisson(9, (16, 16, 16)).astype(np.uint16)
        for key, array in {"q_steps": np.eye(3) * 1e7, "q_centre": np.full(3, 1e10)}.items():
            file[key] = array
        file[name][...] = value
    return {"path": f"scan{suffix}"}


def _numbers(place: Place, value: float, share: float) -> None:
    data = np.random.default_rng(2).poisson(9, (16, 16, 16)).astype(np.float64)
    data.reshape(-1)[: round(share * data.size)] = value
    with _file(place) as file:
        file[_DATA] = data


def _title(place: Place, size: int, text: bytes) -> None:
    with _file(place) as file:
        file[_DATA] = COUNTS
        file["entry/title"] = np.bytes_(text * size)


def _stump(place: Place, content: str) -> None:
    with h5py.File(place.folder / "whole.h5", "w", userblock_size=512, libver="latest") as file:
        file[_DATA] = COUNTS
    whole = (place.folder / "whole.h5").read_bytes()
    (place.folder / "whole.h5").unlink()
    made = {
        "empty": b"", "signature": whole[512:520], "superblock": whole[512:572], "text": b"hello\n" * 100,
        "userblock": whole[:512], "open": whole[512:523] + b"\x05" + whole[524:], "twice": whole + whole[512:],
        "shifted": place.garbage(512) + whole[512:], "garbage": whole[512:520] + place.garbage(4000),
    }  # fmt: skip
    (place.folder / "scan.h5").write_bytes(made[content])


def _eiger(place: Place, count: int, target: str) -> dict[str, Any]:
    with h5py.File(place.folder / "scan_master.h5", "w") as file:
        for number in range(1, count + 1):
            file[f"entry/data/data_{number:06d}"] = h5py.ExternalLink(target.format(number), "/entry/data/data")
        file["entry/instrument/detector/detectorSpecific/nimages"] = _HUGE
    return {"path": "scan_master.h5"}


# filters of libraries that are known, of those that are refused, and of nobody
_FILTERS: Final = (
    4,
    1,
    2,
    3,
    5,
    6,
    307,
    308,
    32000,
    32001,
    32004,
    32008,
    32013,
    32015,
    32018,
    32024,
    32026,
    32028,
    65535,
)
_TARGETS: Final = (
    "{outside}/secret.h5", "../../outside/secret.h5", "../../../outside/secret.h5", "/etc/passwd", "/dev/zero",
    "/proc/self/mem",
)  # fmt: skip
_COUNTED: Final = ("{outside}/%b.h5", "%b.h5", "../../outside/secret%b.h5", "scan%b.h5", "/proc/self/fd/%b")
_NAMES: Final = (
    "données".encode("latin-1"), b"\xff\xfe\x80", b"a" * 60_000, b"two\nlines", b"=cmd()",
    "\u202e\U0001f4a3".encode(), b"..", b" ",
)  # fmt: skip
_WRONG: Final = (float("nan"), float("inf"), -float("inf"), 0.0, -1.0, 1e300)

FAMILIES: Final = (
    Family("h5-soft-loop", _soft_loop, {"length": (1, 2, 5, 100), "suffix": _SUFFIXES}),
    Family("h5-laughs", _laughs, {"levels": (8, 30), "width": (2, 9)}),
    Family(
        "h5-soft-target", _soft_target, {"target": ("/", ".", "../..", "/a" * 20_000, "/nothing"), "suffix": _SUFFIXES}
    ),
    Family("h5-external", _external, {"target": _TARGETS, "suffix": _SUFFIXES}, leads_out=True),
    Family("h5-external-none", _external, {"target": ("scan.h5", ".", "missing.h5", "a" * 5000), "suffix": (".h5",)}),
    Family("h5-external-chain", _external_chain, {"length": (2, 5, 60), "closed": (False, True)}),
    Family(
        "h5-virtual", _virtual, {"target": _TARGETS, "name": ("entry/data/data",), "suffix": _SUFFIXES}, leads_out=True
    ),
    Family("h5-virtual-counted", _counted, {"target": _COUNTED, "name": ("entry/data/data", "d%b")}, leads_out=True),
    Family("h5-virtual-self", _virtual, {"target": (".", "scan.h5"), "name": (_DATA, "/", "x"), "suffix": (".h5",)}),
    Family("h5-virtual-nested", _nested_virtual, {"depth": (3, 15, 120)}),
    Family("h5-virtual-many", _many_sources, {"count": (10, 1500), "target": (".", "missing{}.h5")}),
    Family("h5-hard-loop", _hard_loop, {"groups": (1, 2, 30)}),
    Family(
        "h5-declared",
        _declared,
        {
            "shape": (
                (2**20,) * 3,
                (1, 2**31, 8),
                (_HUGE, 1, 1),
                (0, 8, 10),
                (0, 0, 0),
                (),
                (7,),
                (2,) * 12,
                (8, 1, 1),
            ),
            "dtype": ("u1", "f8"),
            "suffix": (".h5",),
        },
    ),
    Family("h5-chunks", _chunks, {"chunk": ((1, 1, 1), (64, 1024, 1024), (1024, 1024, 1024)), "compressed": (False,)}),
    Family("h5-chunk-bomb", _chunks, {"chunk": ((64, 512, 512),), "compressed": (True,)}),
    Family("h5-filter", _filtered, {"code": _FILTERS, "content": ("garbage", "huge", "short")}),
    Family("h5-type", _typed, {"kind": _KINDS}),
    Family("h5-name", _named, {"name": _NAMES, "suffix": _SUFFIXES}),
    Family(
        "h5-raw-storage",
        _raw_storage,
        {"target": ("{outside}/secret.txt", "/etc/passwd", "/dev/zero", "scan.h5")},
        leads_out=True,
    ),
    Family("h5-many-objects", _many_objects, {"count": (10, 3000)}),
    Family("h5-deep", _deep, {"depth": (20, 200, 2000)}),
    Family(
        "h5-detector",
        _detector,
        {
            "name": ("pixel_mask", "saturation_value", "distance", "x_pixel_size", "bit_depth_readout"),
            "value": (
                float("nan"),
                -1,
                _HUGE,
                "text",
                np.zeros((3, 3), np.uint32),
                np.zeros((6, 8, 10)),
                h5py.SoftLink("/"),
            ),
        },
    ),
    Family("h5-geometry", _geometry, {"name": ("q_steps", "q_centre"), "value": _WRONG, "suffix": (".h5",)}),
    Family("h5-numbers", _numbers, {"value": (*_WRONG, -1e300), "share": (0.001, 1.0)}),
    Family("h5-title", _title, {"size": (1, 60_000), "text": (b"ascan eta 0 1 6 1 ", b"\xe9\xff\x80 ", b"\n" * 3)}),
    Family(
        "h5-stump",
        _stump,
        {"content": ("empty", "signature", "superblock", "text", "userblock", "open", "twice", "shifted", "garbage")},
    ),
    Family("h5-eiger", _eiger, {"count": (1, 300), "target": ("scan_data_{:06d}.h5", "scan_master.h5")}),
)
