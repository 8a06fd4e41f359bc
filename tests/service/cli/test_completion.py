"""The shell completes commands and options."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.service.cli.processes import ROOT

SCRIPT = """
source "$1"
COMP_WORDS=(inphase ${@:2}) COMP_CWORD=$(($# - 1))
_inphase_completion inphase
echo "${COMPREPLY[@]}"
"""


@pytest.fixture
def completed(inphase, tmp_path: Path):  # type: ignore[no-untyped-def]
    """What bash offers for words that have been typed."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash on this machine")
    code, script, err = inphase("completion", "bash")
    assert (code, err) == (0, "")
    (tmp_path / "script").write_text(script)
    program = tmp_path / "bin" / "inphase"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {ROOT!r})\nfrom service.cli import main\nmain()\n"
    )
    program.chmod(0o755)
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"

    def offered(*words: str) -> list[str]:
        command = [bash, "-c", SCRIPT, "bash", str(tmp_path / "script"), *words]
        done = subprocess.run(
            command, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=True, timeout=120
        )
        return done.stdout.split()

    return offered


def test_bash_completes(completed) -> None:  # type: ignore[no-untyped-def]
    """Commands of commands, and options."""
    assert completed("jobs", "del") == ["delete"]
    assert completed("reconstruct", "--ref") == ["--refine"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_have_their_scripts(inphase, shell: str) -> None:  # type: ignore[no-untyped-def]
    """Each asks the command in the same variable."""
    code, script, _ = inphase("completion", shell)
    assert code == 0
    assert "_INPHASE_COMPLETE=complete_" + shell in script
