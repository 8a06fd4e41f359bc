"""What dashboards and rules ask of Prometheus, and a Prometheus that asks a service."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.deploy.known import DEPLOY
from tests.system.serving import free_port, plain, until

RULES = ("recorded.yml", "alerts.yml")
DASHBOARDS = tuple(sorted((DEPLOY / "grafana/dashboards").glob("*.json")))
INTERVAL = "250ms"  # between two scrapes here; in deployments it is that of prometheus.yml
_METRIC = re.compile(r"\binphase[_:][\w:]+")
_MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"([^"]*)"')


def rules() -> list[dict[str, Any]]:
    """Every rule, recorded ones first."""
    return [
        rule
        for name in RULES
        for group in yaml.safe_load((DEPLOY / "prometheus" / name).read_text())["groups"]
        for rule in group["rules"]
    ]


def recorded() -> set[str]:
    """The series that rules record."""
    return {rule["record"] for rule in rules() if "record" in rule}


def expressions() -> dict[str, str]:
    """Every expression by where it stands."""
    found = {rule.get("record") or rule["alert"]: rule["expr"] for rule in rules()}
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                found[f"{path.stem}, {panel['title']}, {target['refId']}"] = target["expr"]
    return found


def metrics_in(expression: str) -> set[str]:
    """The series of ours that an expression names."""
    return set(_METRIC.findall(expression))


def matchers_in(expression: str) -> list[tuple[str, str, str]]:
    """Label, operator and value of what chooses among series."""
    return _MATCHER.findall(expression)


class Prometheus:
    """A running Prometheus."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def query(self, expression: str) -> list[dict[str, Any]]:
        """What an expression gives now, its subqueries as often as is scraped here: two of their steps in a deployment
        take twenty seconds. AssertionError where it cannot be evaluated.
        """
        hasty = expression.replace(":10s]", f":{INTERVAL}]")
        answer = self._http.get("/api/v1/query", params={"query": hasty}).json()
        assert answer["status"] == "success", (expression, answer)
        found = answer["data"]["result"]
        return found if answer["data"]["resultType"] == "vector" else [{"value": found}]

    def rules(self) -> list[dict[str, Any]]:
        """The rules as they were evaluated."""
        groups = self._http.get("/api/v1/rules").json()["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]


@contextmanager
def prometheus(target: str, key: str, folder: Path) -> Iterator[Prometheus]:
    """Debian's Prometheus with our configuration, but for the address and the haste; skips where there is none.

    target: host:port of a service.
    """
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip(
            "no Prometheus on this machine: `make prometheus` installs Debian's, and then expressions are evaluated"
        )
    configuration = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())
    configuration["global"] = {"scrape_interval": INTERVAL, "evaluation_interval": INTERVAL}
    scraped, _ = configuration["scrape_configs"]  # workers have names in deployments alone
    configuration["scrape_configs"] = [scraped]
    (folder / "key").write_text(key)
    scraped["authorization"]["credentials_file"] = str(folder / "key")
    del scraped["dns_sd_configs"]
    scraped["static_configs"] = [{"targets": [target]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    for name in RULES:
        shutil.copy(DEPLOY / "prometheus" / name, folder)
    port = free_port()
    command = [
        program, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    http = plain(f"http://127.0.0.1:{port}", timeout=30)

    def ready() -> bool:
        assert process.poll() is None, (folder / "log").read_text()
        try:
            return http.get("/-/ready").status_code == 200
        except httpx.TransportError:
            return False

    try:
        until(ready)
        yield Prometheus(http)
    finally:
        http.close()
        process.terminate()
        process.wait(30)
