"""What a worker is told."""

from pathlib import Path

from service.jobs.settings import WorkerSettings, for_compute, for_worker
from service.jobs.state import Priority


def test_settings_travel_as_one_line() -> None:
    """What the service writes to its worker's stdin comes back equal."""
    levels = (Priority.HIGH, Priority.LOW)
    settings = WorkerSettings("unix:///a%20b", Path("/x y"), "cuda:0", 3, 2, levels, 2**30, 1.5, 0.0, 9.0)
    assert "\n" not in settings.to_json()
    assert WorkerSettings.from_json(settings.to_json()) == settings


def test_processes_get_no_more_secrets_than_they_need() -> None:
    """A worker none of those that open the service, what computes neither Redis nor the collector of traces."""
    both = {"PATH": "/bin", "INPHASE_DEVICE": "cpu", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}
    worker = {"INPHASE_REDIS_PASSWORD": "p", "REDIS_URL": "r", "OTEL_EXPORTER_OTLP_HEADERS": "authorization=t"}
    service = {"INPHASE_API_KEY": "k", "INPHASE_WEBHOOK_SECRET": "s", "inphase_api_key": "k"}
    assert for_worker(both | worker | service) == both | worker
    assert for_compute(both | worker | service) == both | {"OMP_WAIT_POLICY": "PASSIVE"}


def test_threads_wait_as_the_operator_says() -> None:
    """They sleep where nothing was said."""
    assert for_compute({})["OMP_WAIT_POLICY"] == "PASSIVE"
    assert for_compute({"OMP_WAIT_POLICY": "ACTIVE"})["OMP_WAIT_POLICY"] == "ACTIVE"
