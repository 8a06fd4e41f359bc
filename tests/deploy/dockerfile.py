"""The Dockerfile's stages, and what they do carried out in a folder instead of an image."""

import importlib.metadata
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dockerfile_parse import DockerfileParser
from packaging.version import Version

from tests.deploy.known import ROOT
from tests.deploy.pins import pins

# places in the image that stand below a folder here
_PLACES = re.compile(r"(?<![\w.])/(opt/inphase|opt/models|src|build|locks|wheels|var/lib/inphase|tmp/numba)\b")


@dataclass
class Stage:
    """One FROM and what follows it."""

    name: str
    parent: str
    instructions: list[tuple[str, str]] = field(default_factory=list)


def stages() -> dict[str, Stage]:
    """All stages by name, in order."""
    with (ROOT / "Dockerfile").open("rb") as file:
        parser = DockerfileParser(fileobj=file)
        found: list[Stage] = []
        for part in parser.structure:
            instruction, value = part["instruction"], part["value"]
            if instruction == "FROM":
                parent, _, name = value.partition(" AS ")
                found.append(Stage(name, parent))
            elif found and instruction != "COMMENT":
                found[-1].instructions.append((instruction, value))
    return {stage.name: stage for stage in found}


def chain(target: str) -> Iterator[tuple[str, str]]:
    """The instructions that make a stage, those of its parents first."""
    stage = stages()[target]
    if stage.parent in stages():
        yield from chain(stage.parent)
    yield from stage.instructions


def last(target: str, instruction: str) -> str:
    """What an image's last USER, CMD, ... says."""
    return [value for name, value in chain(target) if name == instruction][-1]


def environment(target: str) -> dict[str, str]:
    """ENV of an image."""
    pairs: dict[str, str] = {}
    for name, value in chain(target):
        if name == "ENV":
            pairs |= dict(part.split("=", 1) for part in shlex.split(value))
    return pairs


class Build:
    """An image built below a folder: its COPY and its pip and python lines, with the image's paths moved there.

    Left out is what only an image needs: users, folders of the system, compiled modules. What this environment has in
    the version of the lock is there before pip installs the lock, as layers of an engine's cache are: pip finds it and
    fetches the rest alone. wheel: where the stage of that name is, which is the same for every image; it is built where
    it is not there yet.
    """

    def __init__(self, target: str, folder: Path, wheel: Path) -> None:
        self.target = target
        self._wheel = wheel
        self.image = folder / "image"
        if not wheel.exists():
            self._carry_out(chain("wheel"), wheel)
        self._carry_out(chain(f"dependencies-{target}"), self.image)
        self._carry_out(chain(target), self.image)

    def environment(self, **more: str) -> dict[str, str]:
        """The environment of a process in the image: nothing of this checkout, nothing of this virtual environment."""
        machine = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "LANG"))}
        own = {name: self._placed(value, self.image) for name, value in environment(self.target).items()}
        del own["PYTHONDONTWRITEBYTECODE"]  # an image is compiled beforehand; here the first import is
        own["PATH"] = own["PATH"].replace("$PATH", os.environ["PATH"])
        return machine | own | {"HOME": str(self.image)} | more

    def command(self) -> list[str]:
        """ENTRYPOINT and CMD."""
        entry, command = (json.loads(last(self.target, name)) for name in ("ENTRYPOINT", "CMD"))
        return [*self._found(entry), *command]

    def health_check(self) -> list[str]:
        """HEALTHCHECK's command."""
        command = last(self.target, "HEALTHCHECK").partition(" CMD ")[2]
        return self._found(json.loads(command))

    def python(self, code: str) -> str:
        """What Python in the image prints."""
        done = subprocess.run(
            [self.image / "opt/inphase/bin/python", "-c", code], env=self.environment(), cwd=self.image,
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def _found(self, command: list[str]) -> list[str]:
        return [str(self.image / "opt/inphase/bin" / command[0]), *command[1:]]

    def _carry_out(self, instructions: Iterator[tuple[str, str]], root: Path) -> None:
        (root / "src").mkdir(parents=True, exist_ok=True)
        for name, value in instructions:
            if name == "COPY" and "--from=" not in value:
                *sources, target = value.split()
                self._copy(sources, root, target)
            elif name == "RUN" and re.search(r"\b(pip|python)\b", value):
                self._run(value, root)

    def _copy(self, sources: list[str], root: Path, target: str) -> None:
        place = Path(self._placed(target, root))
        place = place if place.is_absolute() else root / "src" / place
        for source in sources:
            into = place / Path(source).name if target.endswith("/") else place
            into.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, into, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / source, into)

    def _run(self, value: str, root: Path) -> None:
        if f"-r /locks/{self.target}.txt" in value:
            self._provide()
        mounted = "--mount=" in value
        script = re.sub(r"--mount=\S+ ", "", value).replace("--no-cache-dir ", "")
        script = re.sub(r"\binstall\b", "install --no-compile", script)
        script = self._placed(script, root)
        if mounted:
            script = script.replace(f"{root}/wheels", f"{self._wheel}/wheels")
        paths = os.pathsep.join((f"{root}/opt/inphase/bin", str(Path(sys.executable).parent), os.environ["PATH"]))
        done = subprocess.run(
            ["sh", "-ec", script], cwd=root / "src", capture_output=True, text=True, timeout=600,
            env={name: value for name, value in os.environ.items() if not name.startswith("PYTHON")} | {"PATH": paths},
        )  # fmt: skip
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"

    def _provide(self) -> None:
        (site,) = (self.image / "opt/inphase/lib").glob("python*/site-packages")
        for name, version in pins(self.target).items():
            try:
                there = importlib.metadata.distribution(name)
            except importlib.metadata.PackageNotFoundError:
                continue
            if Version(there.version).public != str(
                version
            ):  # a local version, such as +cpu, is that of the lock as well
                continue
            for file in there.files or []:
                source, target = Path(str(file.locate())), site / file
                if ".." in file.parts or not source.is_file():  # programs name the interpreter of this environment
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                try:
                    target.hardlink_to(source)
                except OSError:  # another file system
                    shutil.copy2(source, target)

    def _placed(self, text: str, root: Path) -> str:
        return _PLACES.sub(rf"{root}/\1", text)
