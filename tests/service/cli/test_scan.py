"""`inphase scan replay` refuses what would be of no effect, before it asks a service."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from service import cli


@pytest.mark.parametrize(
    ("kind", "option", "value", "what"),
    [
        ("ptycho", "model", "inphase-bcdi", "a ptychographic scan"),
        ("ptycho", "grid", "model", "a ptychographic scan"),
        ("ptycho", "beamline", "34-ID-C", "a ptychographic scan"),
        ("rocking", "focus", "0.1", "a rocking curve"),
    ],
)
def test_an_option_of_the_other_kind_is_named(tmp_path: Path, kind: str, option: str, value: str, what: str) -> None:
    """It would change nothing, so whoever gives it means something else."""
    done = CliRunner().invoke(
        cli.app, ["scan", "replay", str(tmp_path / "scan.npz"), "--kind", kind, f"--{option}", value]
    )
    assert done.exit_code == 1
    assert f"no option of {what}" in str(done.exception)
    assert option in str(done.exception)
