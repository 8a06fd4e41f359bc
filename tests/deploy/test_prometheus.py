"""Rules and dashboards ask for what the service tells; tests/system evaluates them in a real Prometheus."""

import json
import re
import shutil
import subprocess

import pytest
import yaml
from prometheus_client import Metric

from service.door.budget import Budget
from service.jobs.record import Records
from service.jobs.state import JobState
from service.telemetry import Metrics
from tests.deploy.known import DEPLOY
from tests.deploy.monitoring import DASHBOARDS, RULES, expressions, matchers_in, metrics_in, recorded, rules


def told() -> dict[str, Metric]:
    """Every series of the service by its name."""
    metrics = Metrics()
    metrics.watch(Budget(1, 1), Records("redis://127.0.0.1:1"), None)
    endings = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("_total",)}
    return {
        f"{metric.name}{ending}": metric
        for metric in metrics.registry.collect()
        for ending in endings.get(metric.type, ("",))
    }


@pytest.mark.parametrize("where", expressions())
def test_an_expression_asks_for_what_there_is(where: str) -> None:
    """Each series is exported or recorded; each state that it chooses is one of a job."""
    expression = expressions()[where]
    named = metrics_in(expression)
    assert named or 'up{job="inphase"}' in expression
    assert named <= told().keys() | recorded()
    for label, _, value in matchers_in(expression):
        assert label in ("state", "code", "route", "job")
        if label == "state":
            assert set(value.split("|")) <= set(JobState)


def test_every_rule_says_what_it_means() -> None:
    """Alerts say when, how long, and what it is; recorded ones have a name of three parts."""
    for rule in rules():
        if "alert" in rule:
            assert set(rule) == {"alert", "expr", "for", "annotations"}
        else:
            assert set(rule) == {"record", "expr"}
            assert re.fullmatch(r"inphase:\w+:\w+", rule["record"])
    assert yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())["rule_files"] == list(RULES)


def test_streams_of_events_are_no_latency() -> None:
    """Whatever asks for the time or the number of requests leaves them out, or asks for what was recorded without."""
    of_requests = [text for text in expressions().values() if "inphase_http_request_duration_seconds" in text]
    assert of_requests
    assert all('route!~".*/events"' in text for text in of_requests)


def test_dashboards_are_whole() -> None:
    """Of the source that is provisioned; every panel has a title, says what it is, and lies beside the others."""
    (source,) = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"]
    assert DASHBOARDS
    for path in DASHBOARDS:
        board = json.loads(path.read_text())
        taken: set[tuple[int, int]] = set()
        for panel in board["panels"]:
            assert panel["title"]
            assert panel["description"]
            assert panel["datasource"] == {"type": source["type"], "uid": source["uid"]}
            at = panel["gridPos"]
            cells = {(at["x"] + i, at["y"] + j) for i in range(at["w"]) for j in range(at["h"])}
            assert not cells & taken
            assert max(x for x, _ in cells) < 24
            taken |= cells
        assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_promtool_takes_the_rules() -> None:
    """Debian's own checker."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("no promtool on this machine: `make prometheus` installs Debian's")
    command = [program, "check", "rules", *(str(DEPLOY / "prometheus" / name) for name in RULES)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
