"""The two streams of the terminal, the exit codes, and progress: bars, and lines where nobody sees bars."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

out = Console(soft_wrap=True, highlight=False)
err = Console(stderr=True, soft_wrap=True, highlight=False)

# exit codes; 2 is typer's own for wrong usage
FAILED: Final = 1
USAGE: Final = 2
UNREACHABLE: Final = 3
INTERRUPTED: Final = 130

Advance = Callable[[int, int], None]
Stage = Callable[[str], Advance]


def print_json(content: Any) -> None:
    """JSON on standard output, nothing else."""
    sys.stdout.write(json.dumps(content, indent=2) + "\n")


def trusted(level: str | None, probability: float | None) -> str:
    """The verdict, with the probability of being right where it is known; empty where there is none yet."""
    return (level or "") + ("" if probability is None else f" {probability:.0%}")


def progress(console: Console = err, *, silent: bool = False) -> Progress:
    """Progress bars, gone when done; silent also where nobody looks."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True, disable=silent or not console.is_terminal)


class Lines:
    """Progress as lines, for a log. every_s: what passes is told so often at most."""

    def __init__(self, console: Console, every_s: float = 10.0) -> None:
        self._console, self._every_s = console, every_s
        self._told = time.monotonic()

    def tell(self, text: str, *, passing: bool = False) -> None:
        """A line. passing: another one like it follows soon, so that it may be left out."""
        now = time.monotonic()
        if passing and now - self._told < self._every_s:
            return
        self._told = now
        self._console.print(text, markup=False)


@contextmanager
def stages(bars: Progress, name: str = "") -> Iterator[Stage]:
    """A bar for one job, gone when it has ended, or lines where there is no terminal: a function that names the stage
    that begins, and gives one that says how far it is.
    """
    if not bars.console.is_terminal:
        yield _in_lines(Lines(bars.console), name)
        return
    task = bars.add_task(name, total=None)

    def stage(what: str) -> Advance:
        bars.reset(task, description=f"{name}: {what}" if name else what, total=None)
        return lambda done, total: bars.update(task, completed=done, total=total)

    try:
        yield stage
    finally:
        bars.remove_task(task)


def _in_lines(lines: Lines, name: str) -> Stage:
    def stage(what: str) -> Advance:
        text = f"{name}: {what}" if name else what
        lines.tell(text)
        return lambda done, total: lines.tell(f"{text}, {done} of {total}", passing=True)

    return stage
