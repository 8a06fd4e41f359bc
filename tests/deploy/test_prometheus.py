"""The alerts ask for what the service tells."""

import re
from pathlib import Path
from typing import Any

import yaml

from inphase.models.repository import Repository
from inphase.models.session import Sessions
from service.door.budget import Budget
from service.holdings import Holdings
from service.jobs.record import Records
from service.jobs.state import JobState
from service.jobs.store import Store
from service.telemetry import Metrics
from tests.deploy.known import DEPLOY


def test_alerts_ask_for_metrics_that_exist(tmp_path: Path, models_dir: Path) -> None:
    """Every metric of an alert is one of the service's; every alert says when, how long, and what it means."""
    metrics = Metrics()
    metrics.watch(Budget(1, 1), Records("redis://127.0.0.1:1"), None)
    sessions = Sessions(Repository(models_dir))
    metrics.registry.register(Holdings(Store(tmp_path / "store"), sessions, None, None))
    told = {sample for metric in metrics.registry.collect() for sample in (metric.name, f"{metric.name}_total")}
    rules: list[dict[str, Any]] = yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text())["groups"][0]["rules"]
    for rule in rules:
        assert set(rule) == {"alert", "expr", "for", "annotations"}
        assert set(re.findall(r"\binphase_\w+", rule["expr"])) <= told
        states = {state for found in re.findall(r'state=~?"([^"]+)"', rule["expr"]) for state in found.split("|")}
        assert states <= set(JobState)
    assert yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())["rule_files"] == ["alerts.yml"]
