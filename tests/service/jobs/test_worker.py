"""The worker's parts that need no second process: settings, the watch beside a job."""

import io
import os
import threading
import time
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from service.jobs import worker
from service.jobs.record import Records
from service.jobs.settings import WorkerSettings
from service.jobs.state import JobState, Priority, Progress
from service.jobs.store import Store
from service.jobs.worker import Watch


def running(records: Records) -> str:
    """A job in its first attempt."""
    job_id = uuid4().hex
    records.create(job_id, b"{}")
    assert records.claim(job_id, job_id, "w") == 1
    return job_id


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(tmp_path / "store")


def watch(records: Records, store: Store, job_id: str, attempt: int = 1, limit_s: float = 60.0) -> Watch:
    """A started watch."""
    made = Watch(records, store, job_id, attempt, limit_s, threading.Event())
    made.start()
    return made


def stopped(made: Watch) -> str:
    """Why the watch says stop, within two seconds."""
    deadline = time.monotonic() + 2
    while not made.cancelled() and time.monotonic() < deadline:
        time.sleep(0.01)
    made.close()
    return made.stop_reason


def test_settings_travel_as_one_line() -> None:
    """What the service writes to its worker's stdin comes back equal."""
    settings = WorkerSettings("unix:///a%20b", Path("/x y"), "cuda:0", 2, (Priority.HIGH, Priority.LOW), 1.5, 0.0)
    assert "\n" not in settings.to_json()
    assert WorkerSettings.from_json(settings.to_json()) == settings


def test_progress_is_written_at_most_five_times_a_second(records: Records, store: Store) -> None:
    """However often a job reports, Redis hears of it at most 5 times a second, and of the last report in the end."""
    job_id = running(records)
    made = watch(records, store, job_id)
    begun = time.monotonic()
    for iteration in range(300):
        made.report(Progress(iteration, 300))
        time.sleep(0.003)
    seconds = time.monotonic() - begun
    time.sleep(0.5)
    made.close()
    events = records._client.xlen(f"inphase:job:{job_id}:events") - 2  # but for queued and running
    assert 2 <= events <= 5 * (seconds + 0.5) + 1
    assert records.get(job_id).progress == Progress(299, 300)


def test_reasons_to_stop(records: Records, store: Store) -> None:
    """Cancellation, a newer attempt, the time limit and the worker's leaving each stop the job under their name."""
    job_id = running(records)
    made = watch(records, store, job_id)
    time.sleep(0.3)
    assert not made.cancelled()
    records.request_cancel(job_id)
    assert stopped(made) == "cancelled"
    assert stopped(watch(records, store, running(records), attempt=2)) == "stale"
    assert stopped(watch(records, store, running(records), limit_s=0.0)) == "time limit"
    leaving = threading.Event()
    leaving.set()
    made = Watch(records, store, running(records), 1, 60.0, leaving)
    made.start()
    assert stopped(made) == "leaving"


def test_redis_away_does_not_stop_a_job(away: str, store: Store) -> None:
    """While Redis is away the computation goes on."""
    made = watch(Records(away), store, uuid4().hex)
    made.report(Progress(1, 2))
    time.sleep(0.5)
    assert not made.cancelled()
    made.close()


def test_a_computation_that_hangs_ends_its_process(
    records: Records, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told to stop by the time limit and deaf to it, a job is failed with the reason and its process ended."""
    job_id = running(records)
    made = Watch(records, store, job_id, 1, 0.1, threading.Event())
    exits: list[int] = []

    def leave(code: int) -> None:
        exits.append(code)
        made._done.set()  # ends the watch only: os._exit would end the tests

    monkeypatch.setattr(worker, "_UNWIND_S", 0.2)
    monkeypatch.setattr(os, "_exit", leave)
    made.start()
    made.join(5)
    assert exits == [70]
    record = records.get(job_id)
    assert record.state is JobState.FAILED
    assert record.reason.startswith("time limit")


def test_previews_are_drawn_beside_the_computation(records: Records, store: Store) -> None:
    """The planes are asked for at most 5 times a second, drawn elsewhere, and the progress says that they are there."""
    job_id = running(records)
    store.write(job_id, "input", {})
    made = watch(records, store, job_id)
    asked_by: list[int] = []

    def planes() -> tuple[NDArray[np.complex64], ...]:
        asked_by.append(threading.get_ident())
        return (np.full((8, 8), 1j, np.complex64),) * 3

    for iteration in range(200):
        made.report(Progress(iteration, 200), planes)
        time.sleep(0.003)
    time.sleep(0.4)
    made.close()
    assert 2 <= len(asked_by) <= 6
    assert set(asked_by) == {threading.get_ident()}  # valid only while the computation stands still
    progress = records.get(job_id).progress
    assert progress is not None
    assert progress.preview
    picture = store.preview(job_id, 1)
    assert picture is not None
    assert Image.open(io.BytesIO(picture)).size == (24, 16)
    assert store.preview(job_id, 2) is None


def test_a_preview_that_cannot_be_written_harms_nothing(records: Records, store: Store) -> None:
    """Without room for the picture the progress goes on, without it."""
    job_id = running(records)  # no folder in the store
    made = watch(records, store, job_id)
    made.report(Progress(1, 2), lambda: (np.ones((4, 4), np.complex64),))
    time.sleep(0.4)
    made.close()
    assert records.get(job_id).progress == Progress(1, 2)
