"""How large the images are, estimated from the wheels that they install; nothing is built.

python -m benchmarks.images             # seconds; asks the package index for the sizes of the wheels, through uv
"""

import gzip
import hashlib
import importlib.metadata
import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import unquote

import typer
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import canonicalize_name, parse_wheel_filename

from benchmarks import ROOT
from training.evaluate.tables import table

LOCKS: Final = ROOT / "deploy/locks"
TARGETS: Final = ("api", "api-gpu", "worker", "worker-gpu")
_GLIBC: Final = 36  # of Debian bookworm, in the base image: 2.36
_PYTHON: Final = (3, 11)
_CODE: Final = ("inphase", "service", "training")
_LARGEST: Final = 4
_ALL: Final = 0.995  # of the bytes
_MOST: Final = 0.8  # below which nothing is said of the disk
_MB: Final = 1e6


@dataclass(frozen=True)
class Wheel:
    """One file that an image installs. packed: bytes to be fetched; unpacked: on the disk, where that is known."""

    name: str
    version: str
    packed: int
    unpacked: int | None


def tags() -> list[Tag]:
    """What the interpreter of the images takes, the best first."""
    platforms = [f"manylinux_2_{minor}_x86_64" for minor in range(_GLIBC, 4, -1)]
    platforms += ["manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64", "linux_x86_64"]
    return [
        *cpython_tags(_PYTHON, platforms=platforms),
        *compatible_tags(_PYTHON, f"cp{_PYTHON[0]}{_PYTHON[1]}", platforms),
    ]


def chosen(wheels: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The wheel of a release that pip takes in an image. ValueError where there is none for it."""
    rank = {tag: place for place, tag in enumerate(tags())}

    def place(wheel: Mapping[str, Any]) -> int:
        name = unquote(wheel["url"]).rpartition("/")[2]
        return min((rank[tag] for tag in parse_wheel_filename(name)[3] if tag in rank), default=len(rank))

    best = min(wheels, key=place, default=None)
    if best is None or place(best) == len(rank):
        raise ValueError(f"no wheel among {[wheel['url'] for wheel in wheels]} runs in the images")
    return best


def of_lock(text: str) -> list[Wheel]:
    """The wheels of a lock as `pylock.toml` (PEP 751) tells it, with their sizes."""
    found = []
    for package in tomllib.loads(text)["packages"]:
        name, version = package["name"], package["version"]
        found.append(Wheel(name, version, chosen(package.get("wheels", []))["size"], _installed(name, version)))
    return found


def _installed(name: str, version: str) -> int | None:
    """Bytes of a package with its compiled modules, where this environment has the same version of it."""
    try:
        there = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return None
    if there.version != version:
        return None
    places = [Path(str(path.locate())) for path in there.files or []]
    return sum(place.stat().st_size for place in places if place.is_file())


def locked(target: str) -> str:
    """`pylock.toml` of an image, which uv makes of its lock and of what the index tells."""
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if uv is None:
        raise typer.BadParameter("uv asks the index: `make images` installs it")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "pylock.toml"
        command = [
            uv, "pip", "compile", str(LOCKS / f"{target}.txt"), "--quiet", "--no-deps", "--format", "pylock.toml",
            "--python-version", ".".join(map(str, _PYTHON)), "--python-platform", f"x86_64-manylinux_2_{_GLIBC}",
            "--output-file", str(out),
        ]  # fmt: skip
        subprocess.run(command, check=True, timeout=300)
        return out.read_text()


def digest(target: str) -> str:
    """Which lock the sizes are of."""
    return hashlib.sha256((LOCKS / f"{target}.txt").read_bytes()).hexdigest()[:12]


def folders(target: str) -> Iterator[Path]:
    """What an image has of this repository."""
    yield from (ROOT / name for name in _CODE)
    if target.startswith("api"):
        yield ROOT / "models"


def packed(folder: Path) -> tuple[int, int]:
    """Bytes of a folder as a layer has it, and on the disk."""
    stream = io.BytesIO()
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for path in files:
            tar.add(path, path.relative_to(ROOT))
    return len(gzip.compress(stream.getvalue(), 6)), sum(path.stat().st_size for path in files)


def cpu_torch(version: str) -> Wheel | None:
    """PyTorch without CUDA, where pip of this machine finds that: its local version says `+cpu`."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--dest",
            folder,
            f"torch=={version}",
        ]
        subprocess.run(command, check=True, timeout=600)
        (wheel,) = Path(folder).iterdir()
        local = str(parse_wheel_filename(wheel.name)[1])
        return Wheel("torch", local, wheel.stat().st_size, _installed("torch", local)) if "+cpu" in local else None


def row(target: str, wheels: list[Wheel]) -> list[str]:
    """An image in the table."""
    ours = [packed(folder) for folder in folders(target)]
    fetched = sum(wheel.packed for wheel in wheels)
    known = [wheel for wheel in wheels if wheel.unpacked is not None]
    share = sum(wheel.packed for wheel in known) / fetched
    disk = sum(wheel.unpacked or 0 for wheel in known) + sum(size for _, size in ours)
    largest = sorted(wheels, key=lambda wheel: -wheel.packed)[:_LARGEST]
    return [
        target,
        str(len(wheels)),
        f"{(fetched + sum(size for size, _ in ours)) / _MB:.0f}",
        "-" if share < _MOST else f"{disk / _MB:.0f}" if share > _ALL else f"more than {disk / _MB:.0f}",
        ", ".join(f"{wheel.name} {wheel.packed / _MB:.0f}" for wheel in largest),
        digest(target),
    ]


def main(
    out: Annotated[Path, typer.Option(help="The table is written to this Markdown file.")] = ROOT
    / "benchmarks/results/images.md",
) -> None:
    """Ask the index and write the table.

    Example: python -m benchmarks.images --out /tmp/images.md
    """
    rows = []
    for target in TARGETS:
        wheels = of_lock(locked(target))
        if target == "worker":
            (torch,) = (wheel for wheel in wheels if canonicalize_name(wheel.name) == "torch")
            cpu = cpu_torch(torch.version)
            if cpu is None:
                typer.echo("left out the CPU worker: pip of this machine finds no torch without CUDA")
                continue
            wheels[wheels.index(torch)] = cpu
        rows.append(row(target, wheels))
    today = datetime.now(UTC).date().isoformat()
    lines = [
        "# Sizes of the images\n",
        f"Estimated {today} for Linux on x86-64, from the sizes of the wheels that `deploy/locks` pins, as the package "
        "index tells them, and from what the Dockerfile copies of this repository; in MB of 10^6 bytes. *Packed* is "
        "what a registry keeps and a host fetches. *On the disk* counts the packages that the environment of this "
        "command has in the same version, with their compiled modules; where it lacks some it is more, and where it "
        "lacks CUDA nothing is said. The base image comes on top of both. The worker has "
        "PyTorch without CUDA (`PIP_EXTRA_INDEX_URL`): with the index's default one it is as large as worker-gpu. "
        "No image was built. One command makes this page: `make images`.\n",
    ]
    lines += table(["image", "packages", "packed", "on the disk", "largest, packed", "lock"], rows)
    out.write_text("\n".join(lines) + "\n")
    typer.echo(f"wrote {out}")


if __name__ == "__main__":
    typer.run(main)
