"""Rules and dashboards ask for what the service tells; tests/system evaluates them in a real Prometheus."""

import re
import shutil
import subprocess
from pathlib import Path

import onnxruntime
import pytest
import yaml
from prometheus_client import Metric

from inphase.models.repository import Repository
from inphase.models.session import Sessions
from service.door.budget import Budget
from service.holdings import Holdings
from service.inference.batcher import Batcher
from service.inference.waiting import Cap
from service.jobs.record import Records
from service.jobs.state import JobState
from service.jobs.store import Store
from service.telemetry import Metrics
from tests.deploy.known import DEPLOY
from tests.deploy.monitoring import RULES, expressions, matchers_in, metrics_in, recorded, rules


@pytest.fixture
def told(tmp_path: Path, models_dir: Path) -> dict[str, Metric]:
    """Every series of the service by its name."""
    metrics = Metrics()
    metrics.watch(Budget(1, 1), Records("redis://127.0.0.1:1"), None)
    batcher = Batcher(1, lambda _: Cap(1, 1))
    sessions = Sessions(Repository(models_dir))
    metrics.registry.register(Holdings(Store(tmp_path / "store"), sessions, batcher, None, None))
    endings = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("_total",)}
    return {
        f"{metric.name}{ending}": metric
        for metric in metrics.registry.collect()
        for ending in endings.get(metric.type, ("",))
    }


@pytest.mark.parametrize("where", expressions())
def test_an_expression_asks_for_what_there_is(where: str, told: dict[str, Metric]) -> None:
    """Each series is exported or recorded; each state that it chooses is one of a job."""
    expression = expressions()[where]
    named = metrics_in(expression)
    assert named or 'up{job="inphase"}' in expression
    assert named <= told.keys() | recorded()
    for label, _, value in matchers_in(expression):
        assert label in ("state", "code", "route", "job", "part")
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


@pytest.fixture
def promtool() -> str:
    """Debian's own checker."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("no promtool on this machine: `make prometheus` installs Debian's")
    return program


def test_a_gpu_that_was_asked_for_and_not_got_is_an_alert(promtool: str, tmp_path: Path, models_dir: Path) -> None:
    """Prometheus raises it a minute after the service has told; where the network runs on what was asked, never."""
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime was built for CUDA")
    told: dict[str, dict[str, str]] = {}
    for wanted in ("cuda", "cpu"):
        sessions = Sessions(Repository(models_dir), 1, wanted)
        sessions.get(None)
        metrics = Holdings(Store(tmp_path / "store"), sessions, Batcher(1, lambda _: Cap(1, 1)), None, None).collect()
        samples = [sample for metric in metrics if metric.name == "inphase_model_fallback" for sample in metric.samples]
        told |= {wanted: {**samples[0].labels, "value": str(int(samples[0].value)), "instance": wanted}}
    shutil.copy(DEPLOY / "prometheus/alerts.yml", tmp_path)
    lines = {
        wanted: ",".join(f'{name}="{text}"' for name, text in labels.items() if name != "value")
        for wanted, labels in told.items()
    }
    series = [
        {"series": f"inphase_model_fallback{{{lines[wanted]}}}", "values": f"{told[wanted]['value']}x9"}
        for wanted in told
    ]
    raised = {name: text for name, text in told["cuda"].items() if name != "value"}
    text = "inphase-bcdi@1 runs on CPUExecutionProvider at cuda, not on CUDAExecutionProvider: /v1/models says why"
    alert = {"exp_labels": raised, "exp_annotations": {"summary": text}}
    tests = {
        "rule_files": ["alerts.yml"],
        "evaluation_interval": "15s",
        "tests": [
            {
                "interval": "15s",
                "input_series": series,
                "alert_rule_test": [
                    {"eval_time": "45s", "alertname": "InphaseFallback", "exp_alerts": []},
                    {"eval_time": "75s", "alertname": "InphaseFallback", "exp_alerts": [alert]},
                ],
            }
        ],
    }
    (tmp_path / "tests.yml").write_text(yaml.safe_dump(tests))
    done = subprocess.run([promtool, "test", "rules", tmp_path / "tests.yml"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_takes_the_rules(promtool: str) -> None:
    """Their syntax and their expressions."""
    command = [promtool, "check", "rules", *(str(DEPLOY / "prometheus" / name) for name in RULES)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
