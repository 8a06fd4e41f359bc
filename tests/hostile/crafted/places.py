"""What stands where a file is expected: pipes, sockets, devices, folders, links; and folders of frames."""

import os
import socket
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
import tifffile

from tests.hostile.crafted import COUNTS, Family, Place


def _put(place: Place, path: Path, kind: str) -> None:
    """Something that is no regular file, or leads to none."""
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "socket":
            with socket.socket(socket.AF_UNIX) as found:
                here = os.open(path.parent, os.O_RDONLY)
                found.bind(f"/proc/self/fd/{here}/{path.name}")  # the names of sockets are short
                os.close(here)
        case "folder":
            path.mkdir()
        case "loop":
            path.symlink_to(path.name)
        case "nowhere":
            path.symlink_to("missing")
        case "pipe behind a link":
            os.mkfifo(path.with_name("pipe"))
            path.symlink_to("pipe")
        case "secret":
            path.symlink_to(
                place.outside / f"secret{path.suffix if path.suffix in ('.npy', '.h5', '.tif') else '.txt'}"
            )
        case _:
            path.symlink_to(kind)


def _roles(place: Place, kind: str, role: str, suffix: str) -> dict[str, Any]:
    """It is named as the data, a map, the motors or the description."""
    bad = f"bad{suffix}"
    _put(place, place.folder / bad, kind)
    if role == "path":
        return {"path": bad}
    if role in ("dark", "flat"):
        np.save(place.folder / "scan.npy", COUNTS)
        return {"path": "scan.npy", role: bad}
    (place.folder / "frames").mkdir()
    tifffile.imwrite(place.folder / "frames" / "S_0000.tif", COUNTS[0])
    return {"path": "frames", role: bad, "scan": 7} | ({"beamline": "34-ID-C"} if role == "spec" else {})


def _linked(place: Place, kind: str, virtual: bool) -> None:
    """It is what an HDF5 file leads to."""
    _put(place, place.folder / "bad.h5", kind)
    with h5py.File(place.folder / "scan.h5", "w") as file:
        if virtual:
            layout = h5py.VirtualLayout(COUNTS.shape, COUNTS.dtype)
            layout[...] = h5py.VirtualSource("bad.h5", "entry/data/data", COUNTS.shape)
            file.create_virtual_dataset("entry/data/data", layout)
        else:
            file["entry/data/data"] = h5py.ExternalLink("bad.h5", "/entry/data/data")


def _frame(place: Place, kind: str) -> dict[str, Any]:
    """It is one frame of a folder."""
    frames = place.folder / "frames"
    frames.mkdir()
    for number in (0, 1, 3):
        tifffile.imwrite(frames / f"S_{number:04d}.tif", COUNTS[number])
    _put(place, frames / "S_0002.tif", kind)
    return {"path": "frames"}


def _folder(place: Place, trick: str) -> dict[str, Any]:
    frames = place.folder / "frames"
    frames.mkdir()
    shapes = {
        "empty": [],
        "gap": [0, 2],
        "twice": [0, 1],
        "shapes": [0, 1],
        "zero": [0, 1],
        "hidden": [0, 1],
        "many": [],
        "deep": [],
    }
    for number in shapes[trick]:
        tifffile.imwrite(frames / f"S_{number:04d}.tif", COUNTS[0][: 8 - (number if trick == "shapes" else 0)])
    if trick == "zero":
        (frames / "S_0002.tif").touch()
    elif trick == "twice":
        tifffile.imwrite(frames / "S_001.tif", COUNTS[0])
    elif trick == "hidden":
        tifffile.imwrite(frames / ".S_0002.tif", COUNTS[0])
    elif trick == "many":
        for number in range(3000):
            (frames / f"S_{number:05d}.tif").touch()
    elif trick == "deep":
        (frames / Path(*["d" * 60] * 40)).mkdir(parents=True)
    return {"path": "frames"}


def _called(place: Place, name: str) -> dict[str, Any]:
    np.save(place.folder / f"{name}.npy", COUNTS)
    return {"path": f"{name}.npy"}


def _asked(place: Place, path: str) -> dict[str, Any]:
    """Nothing is made: the name itself is the trick."""
    return {"path": path.replace("{outside}", str(place.outside))}


_KINDS: Final = ("pipe", "socket", "folder", "loop", "nowhere", "pipe behind a link")
_AWAY: Final = (
    "secret",
    "/dev/zero",
    "/dev/random",
    "/dev/stdin",
    "/proc/self/environ",
    "/proc/self/mem",
    "/etc/passwd",
    "/",
)
_NAMES: Final = (
    "a" * 240,
    "two\nlines",
    "=1+1",
    " ",
    "%s%n%x",
    "\u202egpj",
    "-rf",
    "*",
    "[a",
    "{x}",
    "~root",
    "a;b|c`d`",
)
_PATHS: Final = (
    "{outside}/secret.npy", "/etc/passwd", "/../../etc/passwd", "/proc/self/fd/0", "/dev/zero", "//",
    "/" + "a/" * 2000, "/" + "a" * 4000,
)  # fmt: skip
FAMILIES: Final = (
    Family(
        "place-data", _roles, {"kind": _KINDS, "role": ("path",), "suffix": (".npy", ".h5", ".tif", ".mat", ".npz")}
    ),
    Family("place-map", _roles, {"kind": _KINDS, "role": ("dark", "flat"), "suffix": (".tif", ".npy")}),
    Family("place-motors", _roles, {"kind": _KINDS, "role": ("spec",), "suffix": (".spec",)}),
    Family("place-beamline", _roles, {"kind": _KINDS, "role": ("beamline",), "suffix": (".yaml",)}),
    Family(
        "place-away",
        _roles,
        {"kind": _AWAY, "role": ("path", "dark", "flat"), "suffix": (".npy", ".h5")},
        leads_out=True,
    ),
    Family(
        "place-away-text", _roles, {"kind": _AWAY, "role": ("spec", "beamline"), "suffix": (".yaml",)}, leads_out=True
    ),
    Family("place-linked", _linked, {"kind": (*_KINDS, *_AWAY), "virtual": (False, True)}, leads_out=True),
    Family("place-frame", _frame, {"kind": (*_KINDS, *_AWAY)}, leads_out=True),
    Family("folder", _folder, {"trick": ("empty", "gap", "twice", "shapes", "zero", "hidden", "many", "deep")}),
    Family("called", _called, {"name": _NAMES}),
    Family("asked", _asked, {"path": _PATHS}, leads_out=True),
)
