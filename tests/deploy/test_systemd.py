"""The units: checked by systemd's own tools where they are, and against the settings."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.deploy.known import DEPLOY, SECRETS, drain_s, unknown

UNITS = DEPLOY / "systemd"
SERVICES = sorted(UNITS.glob("*.service"))


def entries(path: Path) -> dict[str, list[str]]:
    """Values by key; a unit may say a key more than once."""
    found: dict[str, list[str]] = {}
    for line in path.read_text().splitlines():
        if re.match(r"[A-Z]\w*=", line):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def variables() -> dict[str, str]:
    """The environment file."""
    lines = (UNITS / "inphase.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The units with programs that exist here, the template as its first instance."""
    folder = tmp_path_factory.mktemp("units")
    units = []
    for path in SERVICES:
        unit = folder / path.name.replace("@", "@1")
        unit.write_text(path.read_text().replace("/opt/inphase/bin/inphase", "/bin/true"))
        units.append(unit)
    return units


def run(tool: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """One of systemd's tools."""
    if shutil.which(tool) is None:
        pytest.skip(f"no {tool}: systemd is not installed")
    return subprocess.run(
        [tool, *arguments], capture_output=True, text=True, timeout=60, env={"PATH": os.environ["PATH"]}
    )


def test_systemd_has_no_complaint(installed: list[Path]) -> None:
    """Every key and value is known to systemd."""
    done = run("systemd-analyze", "verify", *installed)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_units_are_hardened(installed: list[Path]) -> None:
    """The exposure that systemd computes, 0 to 10, is below 2.5: "OK" begins at 5, an ordinary unit has 9.6."""
    for unit in installed:
        done = run("systemd-analyze", "security", "--offline=true", "--threshold=25", unit)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.name)
def test_secrets_are_credentials(path: Path) -> None:
    """Secrets come as credentials, from files that root alone may read, under the names that the settings read."""
    loaded = [value.partition(":") for value in entries(path)["LoadCredential"]]
    assert {name for name, _, _ in loaded} <= SECRETS
    assert all(source == f"/etc/inphase/secrets/{name}" for name, _, source in loaded)
    assert "d /etc/inphase/secrets 0700 root root" in (UNITS / "tmpfiles.conf").read_text()


def test_settings_exist_and_leave_time_to_finish() -> None:
    """The environment file and the units set what exists; systemd kills after the drain."""
    assert not unknown(variables())
    for path in (UNITS / "inphase-api.service", UNITS / "inphase-worker@.service"):
        unit = entries(path)
        own = dict(part.split("=", 1) for value in unit["Environment"] for part in value.split())
        assert not unknown(own)
        assert float(unit["TimeoutStopSec"][0]) >= drain_s(variables()) + 30
        assert own["INPHASE_STATE_DIR"] == f"/var/lib/{unit['StateDirectory'][0]}"
    drop_in = entries(UNITS / "gpu.conf")
    assert not unknown(dict(value.split("=", 1) for value in drop_in["Environment"]))


def test_users_exist() -> None:
    """The users of the units are made by sysusers."""
    users = {line.split()[1] for line in (UNITS / "sysusers.conf").read_text().splitlines() if line.startswith("u ")}
    assert {entries(path)["User"][0] for path in SERVICES} == users
    done = run("systemd-sysusers", "--dry-run", UNITS / "sysusers.conf")
    if "unrecognized option" not in done.stderr:  # systemd before 250
        assert done.returncode == 0, done.stderr
