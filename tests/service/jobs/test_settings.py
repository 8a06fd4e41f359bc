"""What a worker is told."""

from pathlib import Path

from service.jobs.settings import WorkerSettings
from service.jobs.state import Priority


def test_settings_travel_as_one_line() -> None:
    """What the service writes to its worker's stdin comes back equal."""
    levels = (Priority.HIGH, Priority.LOW)
    settings = WorkerSettings("unix:///a%20b", Path("/x y"), "cuda:0", 3, 2, levels, 2**30, 1.5, 0.0, 9.0)
    assert "\n" not in settings.to_json()
    assert WorkerSettings.from_json(settings.to_json()) == settings
