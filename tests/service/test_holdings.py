"""What Prometheus is told of jobs, store and networks."""

import importlib.metadata
import math
import platform
import re
from pathlib import Path

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

from inphase.models.families import single
from inphase.models.repository import Repository
from inphase.models.session import Sessions
from inphase.pattern import Pattern
from service.holdings import Holdings
from service.inference.batcher import Batcher
from service.inference.order import Order
from service.inference.waiting import Cap
from service.jobs.errors import StoreUnavailableError
from service.jobs.scripts import SECONDS
from service.jobs.state import JobState
from service.jobs.store import Store
from tests.service.api.calls import URL
from tests.service.api.conftest import NPY, npy
from tests.service.api.queued import client, predicted, records, services

__all__ = ["client"]  # a fixture
ROOT = Path(__file__).resolve().parents[2]


def idle() -> Batcher:
    """Nothing is asked of it."""
    return Batcher(1, lambda _: Cap(1, 1))


def value(client: httpx.AsyncClient, sample: str, **labels: str) -> float | None:
    """A sample of the running service."""
    return services(client).metrics.registry.get_sample_value(sample, labels)


async def test_jobs_are_counted_by_how_they_ended_and_how_long_they_took(
    client: httpx.AsyncClient, pattern: NDArray[np.uint32]
) -> None:
    """Whichever process ended them; the oldest one that waits is told by its age."""
    await predicted(client, pattern)
    reader = services(client).reader
    assert reader is not None
    reader._rest_until = math.inf
    job = (await client.post(URL, params={"wait": 0}, content=npy(pattern), headers=NPY)).json()["id"]
    await client.get("/v1/status")  # the pulse has felt Redis
    oldest = value(client, "inphase_oldest_waiting_job_seconds")
    assert oldest is not None
    assert 0 < oldest < 60
    kept = records(client)
    kept._client.hincrbyfloat(f"inphase:job:{job}", "created", -45.0)
    older = value(client, "inphase_oldest_waiting_job_seconds")
    assert older is not None
    assert older > 45
    await client.delete(f"/v1/jobs/{job}")
    name = "inphase_job_duration_seconds"
    assert value(client, f"{name}_count", state="succeeded") == 1
    assert value(client, f"{name}_count", state="failed") == 0
    counts = [value(client, f"{name}_bucket", state="cancelled", le=str(most)) for most in SECONDS]
    assert counts == [0.0 if most < 45 else 1.0 for most in SECONDS]
    assert value(client, f"{name}_bucket", state="cancelled", le="+Inf") == 1
    assert value(client, f"{name}_sum", state="cancelled") == pytest.approx(45, abs=15)  # it waited a little besides
    assert value(client, "inphase_oldest_waiting_job_seconds") == 0
    assert kept.durations().keys() == {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED}


async def test_store_build_and_networks_are_told(client: httpx.AsyncClient) -> None:
    """Bytes, version, and each version of a network with what it runs on."""
    build = {"version": importlib.metadata.version("inphase"), "python": platform.python_version()}
    assert value(client, "inphase_build_info", **build) == 1
    active = {"name": "inphase-bcdi", "version": "1", "active": "true", "provider": "CPUExecutionProvider"}
    assert value(client, "inphase_model_info", **active) == 1
    assert value(client, "inphase_model_info", **{**active, "name": "blind", "provider": ""}) == 1
    loaded = {"name": "inphase-bcdi", "version": "1", "wanted": active["provider"], "provider": active["provider"]}
    assert value(client, "inphase_model_fallback", **loaded) == 0
    assert value(client, "inphase_store_limit_bytes") == services(client).settings.bounds.store_bytes


async def test_what_the_networks_compute_is_counted(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """Patterns by outcome, the time in the line and in the network, and how many each run had."""
    await predicted(client, pattern)
    model = {"name": "inphase-bcdi", "version": "1"}
    assert value(client, "inphase_inferences_total", **model, outcome="success") == 1
    assert value(client, "inphase_inferences_total", **model, outcome="failure") == 0
    running = value(client, "inphase_inference_seconds_total", **model, part="running")
    assert running is not None
    assert running > 0
    assert value(client, "inphase_waiting_inferences") == 0
    batcher = services(client).batcher
    network = services(client).sessions.get(None)
    tensors = single.features(
        network.version.card, Pattern(pattern.astype(np.float32), np.zeros(pattern.shape, np.uint8)), None
    )
    orders = [Order(network, tensors, "ada") for _ in range(3)]
    batcher._compute(orders)  # as when three wait together
    sizes = [value(client, "inphase_batch_patterns_bucket", **model, le=le) for le in ("1", "2", "4", "+Inf")]
    assert sizes == [1, 1, 2, 2]
    assert value(client, "inphase_batch_patterns_sum", **model) == 4


def test_the_bytes_of_the_store_are_looked_up_now_and_then(
    tmp_path: Path, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And are left out while it fails."""
    store, registry = Store(tmp_path / "store", 10**6), CollectorRegistry()
    store.write("a" * 32, "input", {"x": np.zeros(1000)})
    registry.register(Holdings(store, Sessions(Repository(models_dir)), idle(), None, None))
    first = registry.get_sample_value("inphase_store_bytes")
    assert first == store.total_bytes() > 8000

    def fails() -> int:
        raise StoreUnavailableError("the disk is away")

    monkeypatch.setattr(store, "total_bytes", fails)
    assert registry.get_sample_value("inphase_store_bytes") == first
    monkeypatch.setattr("service.holdings._STORE_S", -1.0)
    assert registry.get_sample_value("inphase_store_bytes") is None
    assert registry.get_sample_value("inphase_oldest_waiting_job_seconds") is None


async def test_every_metric_stands_on_its_page(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """With its labels; and the page has no others."""
    await predicted(client, pattern)
    await client.get("/v1/nothing")
    await client.get("/v1/status")
    told: dict[str, set[str]] = {}
    for metric in services(client).metrics.registry.collect():
        name = f"{metric.name}_total" if metric.type == "counter" else metric.name
        told[name] = {label for sample in metric.samples for label in sample.labels} - {"le"}
    table = (ROOT / "docs/reference/monitoring.md").read_text().partition("## Metrics of a worker")[0]
    lines = [line.split("|") for line in table.splitlines() if line.startswith("| `inphase_")]
    listed = {name: set(re.findall(r"`(\w+)`", line[2])) for line in lines for name in re.findall(r"`(\w+)`", line[1])}
    told["inphase_webhooks_total"] = {"outcome"}  # none was sent
    assert listed == told
