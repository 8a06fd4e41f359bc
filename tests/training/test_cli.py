"""inphase-train: what is wrong with a command is said before anything is trained."""

from pathlib import Path

import pytest
import typer
from typer.core import TyperCommand
from typer.testing import CliRunner

from tests.sentences import fragments
from training.cli import app

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "training" / "configs" / "inphase-bcdi.yaml"


@pytest.mark.parametrize("command", typer.main.get_group(app).commands.values(), ids=lambda command: command.name)
def test_help_is_in_sentences(command: TyperCommand) -> None:
    """A command says what it does, and so does every one of its options; an example stands at its end."""
    assert not fragments(command)
    assert command.epilog
    assert command.epilog.startswith(f"Example: inphase-train {command.name} ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "states no budget"),
        (["--max-time", "1h"], "DD:HH:MM:SS"),
        (["--crystals", "8", "--set", "bach=3"], "unknown setting 'bach'"),
        (["--crystals", "8", "--models", "there"], "those of a --scan"),
        (["--crystals", "8", "--version", "2"], "those of a --scan"),
    ],
)
def test_a_fit_that_cannot_be_is_refused(arguments: list[str], said: str) -> None:
    """No budget, no time, no such setting: the reason, and the status of a wrong command line."""
    result = CliRunner().invoke(app, ["fit", "--config", str(CONFIG), *arguments], env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert said in result.output


def test_a_measured_scan_that_is_not_there_is_told(tmp_path: Path) -> None:
    """By name, without the tale of where in the program it was missed."""
    config, scan = CONFIG.with_name("ptychopinn-measured.yaml"), tmp_path / "nothing.npz"
    arguments = ["--crystals", "8", "--run", str(tmp_path / "run"), "--set", f"measured.scan={scan}"]
    done = CliRunner().invoke(app, ["fit", "--config", str(config), *arguments])
    assert done.exit_code == 2
    assert f"error: {scan}: no such file" in done.stderr


def test_an_unknown_model_is_an_error_before_anything_runs(tmp_path: Path) -> None:
    """It names what there is, and nothing is written."""
    arguments = ["--model", "nothing@1", "--models", str(ROOT / "models"), "--out", str(tmp_path)]
    done = CliRunner().invoke(app, ["evaluate", *arguments])
    assert done.exit_code == 2
    assert "there is no model 'nothing'" in done.stderr
    assert "inphase-bcdi" in done.stderr
    assert not list(tmp_path.iterdir())
