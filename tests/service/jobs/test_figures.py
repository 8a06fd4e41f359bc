"""What a worker tells of itself."""

import re
import socket
from pathlib import Path

import httpx
import pytest

from inphase.errors import InphaseError
from inphase.imaging.clock import Lap
from service.jobs.figures import OUTCOMES, Figures

PAGE = Path(__file__).resolve().parents[3] / "docs/reference/monitoring.md"
SEATS = {"idle": 1, "busy": 2, "away": 0}


@pytest.fixture
def figures() -> Figures:
    """Of a worker with three seats that has succeeded once."""
    made = Figures(lambda: SEATS)
    made.ended("succeeded", 7.0, [Lap("refine", 0.0, 5.0), Lap("rank", 5.0, 1.0), Lap("refine", 6.0, 0.5)])
    made.restarted(0)
    return made


def test_attempts_and_stages_are_timed(figures: Figures) -> None:
    """By outcome and by stage; every outcome is there before it happens."""
    sample = figures.registry.get_sample_value
    counts = {o: sample("inphase_worker_attempt_duration_seconds_count", {"outcome": o}) for o in OUTCOMES}
    assert counts == {**dict.fromkeys(OUTCOMES, 0), "succeeded": 1}
    assert sample("inphase_worker_attempt_duration_seconds_sum", {"outcome": "succeeded"}) == 7
    assert sample("inphase_worker_stage_duration_seconds_sum", {"stage": "refine"}) == 5.5
    assert sample("inphase_worker_seats", {"state": "busy"}) == 2
    assert sample("inphase_worker_restarts_total") == 0
    figures.restarted(2)
    assert sample("inphase_worker_restarts_total") == 2


def test_prometheus_finds_them_on_the_port(figures: Figures) -> None:
    """A port that is taken is one sentence with what to do."""
    with socket.socket() as held:
        held.bind(("", 0))
        port = held.getsockname()[1]
        held.listen()
        with pytest.raises(InphaseError, match=rf"port {port} for the worker's metrics .* choose another one"):
            figures.serve(port)
    figures.serve(port)
    assert 'inphase_worker_seats{state="busy"} 2.0' in httpx.get(f"http://127.0.0.1:{port}/metrics").text


def test_every_metric_stands_on_the_page(figures: Figures) -> None:
    """With its labels; and the page has no others."""
    told = {
        f"{metric.name}_total" if metric.type == "counter" else metric.name: {
            label for sample in metric.samples for label in sample.labels
        }
        - {"le"}
        for metric in figures.registry.collect()
    }
    table = PAGE.read_text().partition("## Metrics of a worker")[2].partition("## Log")[0]
    lines = [line.split("|") for line in table.splitlines() if line.startswith("| `inphase_")]
    assert {name: set(re.findall(r"`(\w+)`", line[2])) for line in lines for name in [line[1].strip(" `")]} == told
