"""The examples in the pages: blocks of Python, blocks of shell, and single commands."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in (
        *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")),
        *sorted((ROOT / "docs").rglob("*.md")),
    )
}
URL = "http://127.0.0.1:8000"  # where every page supposes the service

_COMMAND = re.compile(r"\s*(?:\w+=\S+ )*(?:\.venv/bin/)?(inphase|inphase-train) (.*)")


@dataclass(frozen=True)
class Command:
    """A command of ours as a page has it. program: inphase or inphase-train."""

    page: str
    program: str
    arguments: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page}: {self.program} {shlex.join(self.arguments)}"


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of a language, in their order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGES[page], re.DOTALL | re.MULTILINE)


def with_blocks(language: str) -> list[str]:
    """The pages that have blocks of a language."""
    return [page for page in PAGES if blocks(page, language)]


def code(page: str) -> Iterator[str]:
    """The lines of a page that are shell: indented ones, and those of sh blocks; lines that go on are joined."""
    prose = re.sub(r"^```(?!sh).*?^```$", "", PAGES[page], flags=re.DOTALL | re.MULTILINE)
    fenced = "\n".join(blocks(page, "sh"))
    indented = "\n".join(line for line in prose.splitlines() if line.startswith("    "))
    yield from re.sub(r"\\\n\s*", "", f"{indented}\n{fenced}").splitlines()


def commands(page: str) -> list[Command]:
    """Every call of our commands in a page."""
    found = []
    for line in code(page):
        if match := _COMMAND.match(line):
            words = shlex.split(match[2], comments=True)
            found.append(Command(page, match[1], tuple(word for word in words if word != "&")))
    return found
