"""The command as a process of its own, and what it prints."""

import os
import subprocess
import sys
from pathlib import Path

from service import cli

ROOT = str(Path(cli.__file__).parent.parent.parent)

NAMELESS = """
import pwd, sys

def nobody(uid):
    raise KeyError(f"getpwuid(): uid not found: {uid}")

pwd.getpwuid = nobody
from service.cli import main
sys.argv = ["inphase", *sys.argv[1:]]
main()
"""


def nameless(models_dir: Path, home: str | None, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    """Run the command in a process of its own as a user whose id has no entry: in a container any id may be given."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("INPHASE_", "HOME", "XDG_", "REDIS_"))
    }
    for name in ("USER", "LOGNAME", "LNAME", "USERNAME"):
        kept.pop(name, None)
    env = kept | {"INPHASE_MODELS_DIR": str(models_dir), "INPHASE_THREADS": "1", "PYTHONPATH": ROOT}
    return subprocess.run(
        [sys.executable, "-c", NAMELESS, *map(str, arguments)],
        env=env if home is None else env | {"HOME": home}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


NO_STATE = "INPHASE_STATE_DIR or --state-dir"


def one_line(err: str) -> str:
    """The one sentence with which a command ends."""
    (line,) = err.strip().splitlines()
    assert line.startswith("inphase: ")
    return line
