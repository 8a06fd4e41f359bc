"""inphase-train: what is wrong with a command is said before anything is trained."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from training.cli import app

CONFIG = Path(__file__).parents[2] / "training" / "configs" / "inphase-bcdi.yaml"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "states no budget"),
        (["--max-time", "1h"], "DD:HH:MM:SS"),
        (["--crystals", "8", "--set", "bach=3"], "unknown setting 'bach'"),
    ],
)
def test_a_fit_that_cannot_be_is_refused(arguments: list[str], said: str) -> None:
    """No budget, no time, no such setting: the reason, and the status of a wrong command line."""
    result = CliRunner().invoke(app, ["fit", "--config", str(CONFIG), *arguments], env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert said in result.output
