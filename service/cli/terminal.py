"""The two streams of the terminal, the exit codes, and progress bars."""

import json
import sys
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


@contextmanager
def stages(bars: Progress, name: str = "") -> Iterator[Stage]:
    """A bar for one job, gone when it has ended: a function that names the stage that begins,
    and gives one that says how far it is.
    """
    task = bars.add_task(name, total=None)

    def stage(what: str) -> Advance:
        bars.reset(task, description=f"{name}: {what}" if name else what, total=None)
        return lambda done, total: bars.update(task, completed=done, total=total)

    try:
        yield stage
    finally:
        bars.remove_task(task)
