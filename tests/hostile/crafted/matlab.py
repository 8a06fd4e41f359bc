"""MATLAB 4, 5 and 7.3: elements that lie about their size, nest, and are compressed."""

import struct
import zlib
from typing import Final

import h5py
import numpy as np
import scipy.io

from tests.hostile.crafted import COUNTS, Family, Place

_INT8, _INT32, _UINT32, _DOUBLE, _MATRIX, _COMPRESSED = 1, 5, 6, 9, 14, 15


def _four(place: Place, kind: int, rows: int, columns: int, imaginary: int, name: int) -> None:
    head = struct.pack("<5i", kind, rows, columns, imaginary, name)
    (place.folder / "scan.mat").write_bytes(head + b"data\0" + bytes(8 * 64))


def _element(kind: int, content: bytes, size: int | None = None) -> bytes:
    declared = len(content) if size is None else size
    return struct.pack("<II", kind, declared % 2**32) + content + bytes(-len(content) % 8)


def _matrix(
    dimensions: tuple[int, ...] = (8, 10, 6),
    code: int = 6,
    name: bytes = b"data",
    content: bytes | None = None,
    flags: int = 0,
) -> bytes:
    parts = (
        _element(_UINT32, struct.pack("<II", code | flags << 8, 0))
        + _element(_INT32, struct.pack(f"<{len(dimensions)}i", *dimensions))
        + _element(_INT8, name)
        + (_element(_DOUBLE, COUNTS.astype(np.float64).tobytes()) if content is None else content)
    )
    return _element(_MATRIX, parts)


def _five(place: Place, content: bytes, endian: bytes = b"IM", version: int = 0x100) -> None:
    head = b"MATLAB 5.0 MAT-file".ljust(116) + bytes(8) + struct.pack("<H", version) + endian
    (place.folder / "scan.mat").write_bytes(head + content)


def _dimensions(place: Place, dimensions: tuple[int, ...]) -> None:
    _five(place, _matrix(dimensions))


def _class(place: Place, code: int, flags: int) -> None:
    _five(place, _matrix(code=code, flags=flags))


def _sized(place: Place, size: int, kind: int) -> None:
    _five(place, _element(kind, _matrix()[8:], size))


def _inner(place: Place, kind: int, size: int) -> None:
    _five(place, _matrix(content=_element(kind, bytes(480), size)))


def _cells(place: Place, depth: int, code: int) -> None:
    content = _matrix()
    for _ in range(depth):
        content = _matrix((1, 1), code, content=content)
    _five(place, content)


def _packed(place: Place, levels: int) -> None:
    content = _matrix()
    for _ in range(levels):
        content = _element(_COMPRESSED, zlib.compress(content))
    _five(place, content)


def _bomb(place: Place, mebibytes: int, declared: int) -> None:
    packer = zlib.compressobj(9)
    inner = _matrix((1024, 1024, declared), code=9, content=struct.pack("<II", 2, declared * 2**20 % 2**32))
    packed = packer.compress(inner) + b"".join(packer.compress(bytes(2**20)) for _ in range(mebibytes)) + packer.flush()
    _five(place, _element(_COMPRESSED, packed))


def _names(place: Place, name: bytes) -> None:
    _five(place, _matrix(name=name))


def _head(place: Place, endian: bytes, version: int) -> None:
    _five(place, _matrix(), endian, version)


def _cut(place: Place, size: int) -> None:
    scipy.io.savemat(place.folder / "scan.mat", {"data": COUNTS}, do_compression=size % 2 == 1)
    path = place.folder / "scan.mat"
    path.write_bytes(path.read_bytes()[:size])


def _seven(place: Place, trick: str) -> None:
    with h5py.File(place.folder / "scan.mat", "w", userblock_size=512) as file:
        data = file.create_dataset("data", data=COUNTS)
        if trick == "class":
            data.attrs["MATLAB_class"] = np.bytes_(b"\xff" * 1000)
        elif trick == "empty":
            data.attrs["MATLAB_empty"] = 1
        elif trick == "references":
            file["#refs#/a"] = COUNTS
            file.create_dataset("cell", (2, 2), h5py.ref_dtype)[...] = file["#refs#/a"].ref
        elif trick == "loop":
            file["l"] = h5py.SoftLink("/l")
        elif trick == "outside":
            del file["data"]
            file["data"] = h5py.ExternalLink(str(place.outside / "secret.h5"), "/entry/data/data")
        elif trick == "huge":
            del file["data"]
            file.create_dataset("data", (2**20,) * 3, "f8", chunks=(8, 8, 8))
        elif trick == "complex":
            del file["data"]
            file["data"] = np.zeros((6, 8, 10), [("real", "f8"), ("imag", "f8")])
    with (place.folder / "scan.mat").open("r+b") as stream:
        stream.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")


_PATH: Final = "scan.mat"
FAMILIES: Final = (
    Family(
        "mat-four",
        _four,
        {
            "kind": (0, 1, 2, 50, 4051, -1),
            "rows": (8, -1, 2**31 - 1),
            "columns": (8,),
            "imaginary": (0, 1),
            "name": (5,),
        },
        _PATH,
    ),
    Family(
        "mat-four-name",
        _four,
        {"kind": (0,), "rows": (8,), "columns": (8,), "imaginary": (0,), "name": (0, -1, 2**31 - 1)},
        _PATH,
    ),
    Family(
        "mat-dimensions",
        _dimensions,
        {
            "dimensions": (
                (),
                (0, 0, 0),
                (-1, 8, 10),
                (2**31 - 1,) * 3,
                (65536, 65536, 1),
                (1,) * 60,
                (8, 10),
                (-8, -10, 6),
            )
        },
        _PATH,
    ),
    Family("mat-class", _class, {"code": (0, 1, 2, 3, 4, 5, 16, 17, 18, 19, 255), "flags": (0, 8)}, _PATH),
    Family("mat-size", _sized, {"size": (0, 1, 100, 2**31, -1), "kind": (_MATRIX, _COMPRESSED, 77)}, _PATH),
    Family("mat-inner", _inner, {"kind": (_DOUBLE, 1, 13, 16, 18, 99), "size": (0, 480, 2**31, -1)}, _PATH),
    Family("mat-cells", _cells, {"depth": (1, 50, 3000), "code": (1, 2)}, _PATH),
    Family("mat-packed", _packed, {"levels": (1, 2, 200)}, _PATH),
    Family("mat-bomb", _bomb, {"mebibytes": (64,), "declared": (1, 64, 2000)}, _PATH),
    Family("mat-name", _names, {"name": (b"", b"\xff\xfe", b"a" * 70_000, b"__header__", b"..", b"x\ny")}, _PATH),
    Family("mat-head", _head, {"endian": (b"IM", b"MI", b"XX"), "version": (0x100, 0x200, 0xFFFF)}, _PATH),
    Family("mat-cut", _cut, {"size": (0, 1, 100, 127, 128, 136, 200, 333)}, _PATH),
    Family("mat-seven", _seven, {"trick": ("class", "empty", "references", "loop", "huge", "complex")}, _PATH),
    Family("mat-seven-outside", _seven, {"trick": ("outside",)}, _PATH, leads_out=True),
)
