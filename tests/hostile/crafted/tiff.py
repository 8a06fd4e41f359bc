"""TIFF: pages that lead back, tags that lie, descriptions that name other files."""

import json
import struct
from typing import Any, Final

import numpy as np
import tifffile

from tests.hostile.crafted import COUNTS, Family, Place

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _DESCRIPTION = 256, 257, 258, 259, 262, 270
_OFFSETS, _SAMPLES, _ROWS, _BYTES, _PREDICTOR, _TILE_WIDTH, _SUBPAGES, _FORMAT = 273, 277, 278, 279, 317, 322, 330, 339
_HONEST: Final = {
    _WIDTH: 10, _HEIGHT: 8, _BITS: 16, _COMPRESSION: 1, _PHOTOMETRIC: 1, _OFFSETS: 8, _SAMPLES: 1, _ROWS: 8,
    _BYTES: 160, _FORMAT: 1,
}  # fmt: skip


def _tiff(
    tags: dict[int, int], following: int = 0, entries: int | None = None, pixels: bytes = COUNTS[0].tobytes()
) -> bytes:
    """Signature, pixels, and one page, written by hand so that it may lie."""
    at = 8 + len(pixels)
    page = struct.pack("<H", len(tags) if entries is None else entries)
    page += b"".join(struct.pack("<HHII", tag, 4, 1, value % 2**32) for tag, value in sorted(tags.items()))
    return struct.pack("<2sHI", b"II", 42, at) + pixels + page + struct.pack("<I", following % 2**32)


def _chain(place: Place, following: int) -> None:
    (place.folder / "scan.tif").write_bytes(_tiff(_HONEST, following))


def _loop(place: Place, pages: int, back_to: int, big: bool) -> None:
    """A chain of pages whose last one leads to an earlier one."""
    path = place.folder / "scan.tif"
    tifffile.imwrite(
        path, np.repeat(COUNTS[:1], pages, 0), bigtiff=big, photometric="minisblack", contiguous=False, metadata=None
    )
    with tifffile.TiffFile(path) as tif:
        found = [page.offset for page in tif.pages]
        last, size = found[-1], (8, 20, 8) if big else (2, 12, 4)
    content = bytearray(path.read_bytes())
    count = int.from_bytes(content[last : last + size[0]], "little")
    at = last + size[0] + count * size[1]
    content[at : at + size[2]] = found[min(back_to, pages - 1)].to_bytes(size[2], "little")
    path.write_bytes(content)


def _tag(place: Place, tag: int, value: int) -> None:
    (place.folder / "scan.tif").write_bytes(_tiff(_HONEST | {tag: value}))


def _without(place: Place, tag: int) -> None:
    (place.folder / "scan.tif").write_bytes(_tiff({key: value for key, value in _HONEST.items() if key != tag}))


def _entries(place: Place, entries: int) -> None:
    (place.folder / "scan.tif").write_bytes(_tiff(_HONEST, entries=entries))


def _codec(place: Place, code: int, size: int) -> None:
    pixels = place.garbage(size)
    (place.folder / "scan.tif").write_bytes(_tiff(_HONEST | {_COMPRESSION: code, _BYTES: size}, pixels=pixels))


def _described(place: Place, text: str) -> None:
    stack = np.random.default_rng(2).poisson(9, (6, 16, 16)).astype(np.uint16)
    said = text.replace("{outside}", str(place.outside))
    tifffile.imwrite(
        place.folder / "scan.tif",
        stack,
        photometric="minisblack",
        metadata=None,
        description=said.encode("utf-8", "replace"),
    )


_OME: Final = (
    '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:a">'
    '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="16" SizeY="16" SizeZ="16"'
    ' SizeC="1" SizeT="1"><TiffData IFD="0" PlaneCount="16"><UUID FileName="{target}">urn:uuid:b</UUID></TiffData>'
    "</Pixels></Image></OME>"
)


def _ome(place: Place, target: str, role: str) -> dict[str, Any]:
    """An OME-TIFF whose only plane lies in another file."""
    said = _OME.format(target=target.replace("{outside}", str(place.outside)))
    name = "scan.ome.tif" if role == "path" else "map.ome.tif"
    tifffile.imwrite(place.folder / name, np.zeros((16, 16), np.uint16), metadata=None, description=said)
    if role == "path":
        return {"path": name}
    np.save(place.folder / "scan.npy", np.random.default_rng(2).poisson(9, (16, 16, 16)))
    return {"path": "scan.npy", role: name}


def _stump(place: Place, content: bytes) -> None:
    (place.folder / "scan.tif").write_bytes(content)


_ENTITIES: Final = '<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "ha">' + "".join(
    f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(12)
) + ']><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">&m;</OME>'  # fmt: skip
_INCLUDED: Final = '<?xml version="1.0"?><!DOCTYPE o [<!ENTITY x SYSTEM "file://{outside}/secret.txt">]><OME>&x;</OME>'
_TEXTS: Final = (
    "ImageJ=1.53\nimages=999999999\nslices=999999999\n", "ImageJ=1.53\nimages=-1\n", "ImageJ=" + "9" * 10_000,
    _ENTITIES, _INCLUDED,
    json.dumps({"shape": [2**40, 16, 16]}), json.dumps({"shape": [6, 16, -16]}), json.dumps({"shape": "x"}),
    '{"shape": [' + "[" * 5000,
    '{"shape": [6, 16, 16], "truncated": true}', "<OME" + "<Image>" * 4000,
    "# Count_cutoff 999999999999999999 counts", "# Count_cutoff -1 counts",
    "# Count_cutoff " + "9" * 400, "scanimage.SI.x = 1\n" * 50, "state.configName = x\n", "[MetaMorph]", "\0" * 500,
    "x" * 100_000,
)  # fmt: skip
_OUT: Final = ("{outside}/secret.tif", "../../outside/secret.tif", "../../../outside/secret.tif")
_TAGS: Final = (_WIDTH, _HEIGHT, _BITS, _OFFSETS, _SAMPLES, _ROWS, _BYTES, _PREDICTOR, _TILE_WIDTH, _SUBPAGES, _FORMAT)
_PATH: Final = "scan.tif"

FAMILIES: Final = (
    Family("tif-chain", _chain, {"following": (8, 168, 169, 2**31, -1)}, _PATH),
    Family("tif-loop", _loop, {"pages": (1, 3, 150), "back_to": (0, 1), "big": (False, True)}, _PATH),
    Family("tif-tag", _tag, {"tag": _TAGS, "value": (0, 1, 3, 2**16, 2**31, -1)}, _PATH),
    Family("tif-without", _without, {"tag": tuple(_HONEST)}, _PATH),
    Family("tif-entries", _entries, {"entries": (0, 1, 5, 11, 65535)}, _PATH),
    Family(
        "tif-codec",
        _codec,
        {"code": (2, 3, 4, 5, 6, 7, 8, 32773, 32946, 34712, 34887, 34925, 50000, 50001, 65000), "size": (3, 400)},
        _PATH,
    ),
    Family("tif-text", _described, {"text": _TEXTS}, _PATH),
    Family("tif-ome", _ome, {"target": _OUT, "role": ("path", "dark", "flat")}),
    Family(
        "tif-ome-none",
        _ome,
        {"target": ("scan.ome.tif", "missing.tif", "", "/dev/zero", "a" * 3000), "role": ("path", "dark")},
    ),
    Family(
        "tif-stump",
        _stump,
        {
            "content": (
                b"",
                b"II*\0",
                b"MM\0*\0\0\0\x08",
                b"II+\0\x08\0\0\0",
                b"II*\0\xff\xff\xff\xff",
                b"EP*\0" + bytes(99),
                b"II*\0\x08\0\0\0",
            )
        },
        _PATH,
    ),
)
