"""What the service says about itself."""

import httpx
import numpy as np
from numpy.typing import NDArray
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from service.door.budget import Budget
from service.settings import Settings
from service.telemetry import Metrics
from tests.service.api.calls import URL
from tests.service.api.conftest import NPY, npy
from tests.service.conftest import AppContext


async def test_metrics(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """Requests by route template, stages and refusals are counted; ids never become labels."""
    await client.post(URL, params={"refine": "none"}, content=npy(pattern), headers=NPY)
    await client.get(f"/v1/jobs/{'0' * 32}")
    text = (await client.get("/metrics")).text
    assert (
        'inphase_http_request_duration_seconds_count{code="200",method="POST",route="/v1/reconstructions"} 1.0' in text
    )
    assert 'route="/v1/jobs/{job_id}"' in text
    assert 'inphase_stage_duration_seconds_count{stage="infer"} 1.0' in text
    assert 'inphase_refused_requests_total{code="503",reason="queue"} 1.0' in text
    assert "0" * 32 not in text


async def test_two_applications_share_nothing(serving: AppContext, settings: Settings) -> None:
    """Metrics of one application do not appear in another."""
    async with serving(settings) as one, serving(settings) as other:
        await one.get("/v1/models")
        assert 'route="/v1/models"' in (await one.get("/metrics")).text
        assert 'route="/v1/models"' not in (await other.get("/metrics")).text


async def test_request_ids(client: httpx.AsyncClient) -> None:
    """A sane one is echoed, anything else replaced; every answer has one."""
    assert (await client.get("/healthz", headers={"X-Request-ID": "run-42.a"})).headers["x-request-id"] == "run-42.a"
    strange = (await client.get("/healthz", headers={"X-Request-ID": "a b\tc"})).headers["x-request-id"]
    assert len(strange) == 32


async def test_the_log_says_who_called_from_where(client: httpx.AsyncClient) -> None:
    """By the owner of the key; nobody where there is none."""
    with capture_logs(processors=[merge_contextvars]) as lines:
        await client.get("/v1/models")
        await client.get("/v1/models", headers={"Authorization": "Apikey wrong"})
    told = [(line.get("owner"), line["client"], line["status"]) for line in lines if line["event"] == "request"]
    assert told == [("admin", "127.0.0.1", 200), (None, "127.0.0.1", 401)]


def test_the_gauges_tell_what_is_held() -> None:
    """At the moment of asking; without a queue it is not up, and has no jobs."""
    metrics, budget = Metrics(), Budget(100, 100)
    metrics.watch(budget, None, None)
    budget.share("ada").grow_to(60)
    assert metrics.registry.get_sample_value("inphase_bytes_in_flight") == 60
    assert metrics.registry.get_sample_value("inphase_queue_up") == 0
    assert metrics.registry.get_sample_value("inphase_jobs", {"state": "queued"}) is None
