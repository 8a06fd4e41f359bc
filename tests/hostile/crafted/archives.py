"""npy and npz: headers that lie, archives that unpack to more, pickles."""

import io
import pickle
import struct
import zipfile
from typing import Any, Final

import numpy as np

from tests.hostile.crafted import COUNTS, Family, Place


class _Harm:
    """Unpickled, it would write a file."""

    def __reduce__(self) -> tuple[Any, ...]:
        return open, ("/tmp/inphase-unpickled", "w")


def _npy(array: Any = COUNTS) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def _head(text: bytes, version: tuple[int, int] = (1, 0), length: int | None = None) -> bytes:
    """The beginning of a npy file with this header."""
    text = text + b" " * (-(len(text) + 11) % 64) + b"\n"
    declared = len(text) if length is None else length
    size = struct.pack("<H" if version[0] == 1 else "<I", declared % (2**16 if version[0] == 1 else 2**32))
    return b"\x93NUMPY" + bytes(version) + size + text


def _dict(shape: str = "(6, 8, 10)", descr: str = "'<u2'", fortran: str = "False", more: str = "") -> bytes:
    return f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, {more}}}".encode()


def _header(place: Place, text: bytes, version: tuple[int, int]) -> None:
    (place.folder / "scan.npy").write_bytes(_head(text, version) + COUNTS.tobytes())


def _length(place: Place, length: int, version: tuple[int, int]) -> None:
    (place.folder / "scan.npy").write_bytes(_head(_dict(), version, length) + COUNTS.tobytes())


def _tail(place: Place, size: int) -> None:
    (place.folder / "scan.npy").write_bytes((_npy() + bytes(4096))[:size])


def _members(place: Place, **members: bytes) -> None:
    with zipfile.ZipFile(place.folder / "scan.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/").replace("_npy", ".npy"), content)


def _bomb(place: Place, mebibytes: int, shape: str) -> None:
    """A few kilobytes of zeros: declared as they are, as more, and as less."""
    with (
        zipfile.ZipFile(place.folder / "scan.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("data.npy", "w", force_zip64=True) as member,
    ):
        member.write(_head(_dict(shape, "'|u1'")))
        for _ in range(mebibytes):
            member.write(bytes(2**20))


def _pickled(place: Place, where: str) -> dict[str, Any]:
    harm = np.empty((2, 2, 2), object)
    harm.fill(_Harm())
    if where == "npy":
        (place.folder / "scan.npy").write_bytes(_head(_dict("(2,2,2)", "'|O'")) + pickle.dumps(harm))
    elif where == "bare":
        (place.folder / "scan.npy").write_bytes(pickle.dumps(_Harm()))
    else:
        _members(place, **{"data_npy": _npy(), f"{where}_npy": _head(_dict("(2,2,2)", "'|O'")) + pickle.dumps(harm)})
    return {"path": "scan.npy" if where in ("npy", "bare") else "scan.npz"}


def _entry(place: Place, name: str) -> None:
    with zipfile.ZipFile(place.folder / "scan.npz", "w") as archive:
        archive.writestr(name, _npy())


def _lying(place: Place, offset: int, value: int, local: bool) -> None:
    """Four bytes of the directory (or of the member's own head) changed: sizes, method, flags, offsets."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.npy", _npy())
    content = bytearray(stream.getvalue())
    at = content.index(b"PK\x03\x04" if local else b"PK\x01\x02") + offset
    content[at : at + 4] = value.to_bytes(4, "little")
    (place.folder / "scan.npz").write_bytes(content)


def _many(place: Place, count: int) -> None:
    _members(place, **{f"m{number}_npy": _head(_dict("(0,)")) for number in range(count)})


def _beside(place: Place, name: str, value: Any) -> None:
    """Honest counts beside a mask, maps and geometry that are not."""
    np.savez(
        place.folder / "scan.npz", data=np.random.default_rng(2).poisson(9, (16, 16, 16)), **{name: np.asarray(value)}
    )


def _nested(place: Place, levels: int) -> None:
    content = _npy()
    for _ in range(levels):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr("data.npy", content)
        content = stream.getvalue()
    (place.folder / "scan.npz").write_bytes(content)


_HEADERS: Final = (
    _dict("(-1, 8, 10)"), _dict("(6, 8, True)"), _dict("(6.0, 8, 10)"), _dict("[6, 8, 10]"),
    _dict("(" * 900 + ")" * 900),
    _dict(f"({'9' * 4000}, 8, 10)"), _dict("(2**62, 8, 10)"), _dict("(4611686018427387904, 8, 10)"),
    _dict("(0, 8, 10)"),
    _dict("(6,)"), _dict("()"), _dict("(1,) * 64"), _dict("None"), _dict("((6, 8), 10)"), _dict("(6, 8, 10)", "'|O'"),
    _dict(descr="'|V8'"), _dict(descr="'<M8[s]'"), _dict(descr="'|S3'"), _dict(descr="'<c8'"), _dict(descr="'<f2'"),
    _dict(descr="'>u8'"), _dict(descr="[('a', '<f4'), ('b', '|O')]"), _dict(descr="[" * 500 + "]" * 500),
    _dict(descr="'<u3'"),
    _dict(descr="'<U999999999'"), _dict(descr="('<f4', (9, 9))"), _dict(fortran="1"), _dict(fortran="'yes'"),
    _dict(more="'more': 1"), b"{'descr': '<u2'}", b"{}", b"[]",
    b"__import__('os').system('touch /tmp/inphase-unpickled')",
    b"\xff\xfe" * 30, b"\0" * 100, b"{" * 3000, _dict("lambda: 0"), _dict("(6, 8, 10)") + b"#" * 50_000,
)  # fmt: skip
_WRONG: Final = (float("nan"), float("inf"), -1.0, 1e300)

FAMILIES: Final = (
    Family("npy-header", _header, {"text": _HEADERS, "version": ((1, 0),)}, "scan.npy"),
    Family("npy-version", _header, {"text": (_dict(),), "version": ((2, 0), (3, 0), (0, 0), (9, 9))}, "scan.npy"),
    Family("npy-length", _length, {"length": (0, 1, 2**16 - 1, 2**32 - 1), "version": ((1, 0), (2, 0))}, "scan.npy"),
    Family("npy-tail", _tail, {"size": (0, 5, 6, 9, 127, 1087, 1089, 5000)}, "scan.npy"),
    Family(
        "npz-bomb",
        _bomb,
        {"mebibytes": (1, 64), "shape": ("(256, 512, 512)", "(65536, 1024, 1024)", "(1, 1024, 1024)", "(8, 8, 8)")},
        "scan.npz",
    ),
    Family("pickle", _pickled, {"where": ("npy", "bare", "mask", "q_steps", "saturation", "dark", "other")}),
    Family(
        "npz-entry",
        _entry,
        {
            "name": (
                "../../data.npy",
                "/etc/data.npy",
                "data",
                ".npy",
                "a" * 60_000 + ".npy",
                "\u202e.npy",
                "d\nata.npy",
                "d/" * 900 + ".npy",
            )
        },
        "scan.npz",
    ),
    Family(
        "npz-directory",
        _lying,
        {"offset": (8, 10, 16, 20, 24, 28, 42), "value": (0, 1, 0xFFFFFFFF), "local": (False,)},
        "scan.npz",
    ),
    Family(
        "npz-local", _lying, {"offset": (6, 8, 18, 22, 26), "value": (99, 0xFFFFFFFF), "local": (True,)}, "scan.npz"
    ),
    Family("npz-many", _many, {"count": (0, 999, 1500)}, "scan.npz"),
    Family(
        "npz-beside",
        _beside,
        {
            "name": ("q_steps", "q_centre", "sample_rotation"),
            "value": (*(np.full((3, 3), value) for value in _WRONG), np.zeros((2, 2, 2)), np.array(["x"])),
        },
        "scan.npz",
    ),
    Family(
        "npz-mask",
        _beside,
        {
            "name": ("mask", "dark", "flat"),
            "value": (
                np.full((16, 16), np.nan),
                np.full((16, 16), 255, np.uint8),
                np.zeros((16, 16)),
                np.ones((3, 3)),
                np.ones(0),
            ),
        },
        "scan.npz",
    ),
    Family("npz-saturation", _beside, {"name": ("saturation",), "value": (*_WRONG, 0, [1, 2], "x")}, "scan.npz"),
    Family("npz-nested", _nested, {"levels": (1, 2, 30)}, "scan.npz"),
)
