"""`inphase scan replay` refuses what would be of no effect, before it asks a service."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from inphase.errors import InphaseError
from inphase.live import replay
from inphase.ptycho.measurement import Measurement
from service import cli

GRID = 2.0 * np.stack(np.meshgrid(np.arange(5), np.arange(5), indexing="ij"), -1).reshape(-1, 2)


@pytest.mark.parametrize(
    ("kind", "option", "value", "what"),
    [
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


def test_maps_go_with_a_ptychographic_scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The frames are sent as the file has them, and dark and flat field with the template."""
    np.savez(tmp_path / "scan.npz", data=np.full((25, 8, 8), 9, np.uint16), scan=GRID)
    np.save(tmp_path / "dark.npy", np.full((16, 16), 3))
    sent: list[Measurement] = []

    def replayed(client: object, source: Measurement, *_: object, **__: object) -> None:
        sent.append(source)
        raise InphaseError("enough")

    monkeypatch.setattr(replay, "replay", replayed)
    command = ["scan", "replay", str(tmp_path / "scan.npz"), "--kind", "ptycho", "--unit", "pixel", "--json"]
    CliRunner().invoke(cli.app, [*command, "--dark", str(tmp_path / "dark.npy"), "--roi", "0:8,0:8"])
    (measured,) = sent
    assert measured.corrections is not None
    assert measured.corrections.dark is not None
    assert (measured.patterns[0, 0, 0], measured.corrections.dark.shape, measured.counts()[0, 0, 0]) == (9, (8, 8), 6)
