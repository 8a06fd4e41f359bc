"""What a worker watches while an attempt runs: reasons to stop, progress, and what is deaf to both."""

import io
import threading
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from PIL import Image

from service.jobs import worker
from service.jobs.compute import Halted, Succeeded
from service.jobs.process import ComputeProcess
from service.jobs.record import Records
from service.jobs.settings import WorkerSettings
from service.jobs.state import JobState, RecordedProgress
from service.jobs.store import Store
from service.jobs.worker import Leave, Refiner, Watch
from tests.service.jobs.stand_in import STAND_IN, assignment


def running(records: Records, job_id: str) -> None:
    """A job in its first attempt."""
    records.create(job_id, b"{}")
    assert records.claim(job_id, job_id, "w") == 1


def watch(records: Records, folder: Path, job_id: str, attempt: int = 1, limit_s: float = 60.0) -> Watch:
    """A watch of an attempt."""
    return Watch(records, Store(folder), job_id, attempt, limit_s, threading.Event())


def test_reasons_to_stop(compute: ComputeProcess, records: Records, tmp_path: Path) -> None:
    """Cancellation, a newer attempt, the time limit and the worker's leaving each stop the job under their name."""
    leaving = threading.Event()
    leaving.set()
    wanted = assignment(tmp_path, steps=1000, step_s=0.01)
    job_id = wanted.job_id
    running(records, job_id)
    records.request_cancel(job_id)
    for made, reason in (
        (watch(records, tmp_path, job_id), "cancelled"),
        (watch(records, tmp_path, job_id, attempt=2), "stale"),
        (watch(records, tmp_path, job_id, limit_s=0.0), "time limit"),
        (Watch(records, Store(tmp_path), job_id, 1, 60.0, leaving), "leaving"),
    ):
        compute.assign(wanted)
        assert made.over(compute) == Halted()
        assert made.stop_reason == reason
    assert not Store(tmp_path).has(job_id, "result-1")


def test_progress_reaches_the_record(compute: ComputeProcess, records: Records, tmp_path: Path) -> None:
    """What the process tells is in the record, its picture in the store, and the progress says that it is there."""
    wanted = assignment(tmp_path, steps=30, step_s=0.02)
    running(records, wanted.job_id)
    compute.assign(wanted)
    assert isinstance(watch(records, tmp_path, wanted.job_id).over(compute), Succeeded)
    progress = records.get(wanted.job_id).progress
    assert progress is not None
    assert (progress.total, progress.preview) == (30, True)
    picture = Store(tmp_path).preview(wanted.job_id, 1)
    assert picture is not None
    assert Image.open(io.BytesIO(picture)).size == (24, 16)


def test_a_preview_that_cannot_be_written_harms_nothing(records: Records, tmp_path: Path) -> None:
    """Without room for the picture the progress is told without it."""
    job_id = uuid4().hex  # no folder in the store
    running(records, job_id)
    watch(records, tmp_path, job_id)._tell(RecordedProgress(1, 2), (np.ones((4, 4), np.complex64),))
    assert records.get(job_id).progress == RecordedProgress(1, 2)


def test_redis_away_does_not_stop_a_job(compute: ComputeProcess, away: str, tmp_path: Path) -> None:
    """While Redis is away the computation goes on."""
    compute.assign(assignment(tmp_path, steps=30, step_s=0.02))
    assert isinstance(watch(Records(away), tmp_path, uuid4().hex).over(compute), Succeeded)


def test_a_computation_that_hangs_is_ended(
    compute: ComputeProcess, records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told to stop by the time limit and deaf to it, a job is stopped all the same, with its process."""
    monkeypatch.setattr(worker, "_UNWIND_S", 0.2)
    wanted = assignment(tmp_path, end="hang")
    running(records, wanted.job_id)
    compute.assign(wanted)
    made = watch(records, tmp_path, wanted.job_id, limit_s=0.1)
    assert made.over(compute) == Halted()
    assert made.limit_text.startswith("time limit: the job ran longer than 0.1 s")
    assert not compute.alive
    assert records.get(wanted.job_id).state is JobState.RUNNING  # the refiner ends it


def test_an_attempt_is_told_to_prometheus(records: Records, redis_url: str, tmp_path: Path) -> None:
    """Its outcome, its stages as its compute process had them, and the seat before and after."""
    refiner = Refiner(WorkerSettings(redis_url, tmp_path, threads=1), Leave(), STAND_IN)
    sample = refiner.figures.registry.get_sample_value
    assert sample("inphase_worker_seats", {"state": "away"}) == 1
    refiner.warm()
    try:
        for outcome, order in (("succeeded", {"steps": 0}), ("failed", {"raise": "no"}), ("died", {"end": "segfault"})):
            wanted = assignment(tmp_path, **order)
            records.create(wanted.job_id, wanted.document)
            refiner.refine(wanted.job_id, wanted.job_id)
            assert sample("inphase_worker_attempt_duration_seconds_count", {"outcome": outcome}) == 1
        assert sample("inphase_worker_stage_duration_seconds_count", {"stage": "store"}) == 1
        assert sample("inphase_worker_restarts_total") == 1  # after the crash
        assert sample("inphase_worker_seats", {"state": "idle"}) == 1
    finally:
        refiner.depart()
