"""The regular sweep."""

import os
import time
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

from service.jobs.broker import Queue
from service.jobs.errors import UnknownJobError, UnknownSeriesError
from service.jobs.housekeeping import sweep
from service.jobs.record import Records, SeriesScan
from service.jobs.series import SeriesRecords
from service.jobs.state import JobState
from service.jobs.store import Store


def job(records: Records, store: Store, *, ended: bool, written: float) -> str:
    """A job with arrays written at this time."""
    job_id = uuid4().hex
    os.utime(store.write(job_id, "input", {"a": np.zeros(1000)}), (0, written))
    records.create(job_id, b"{}")
    if ended:
        records.request_cancel(job_id)
    return job_id


def test_expiry_forgets_record_and_arrays_together(
    records: Records, series: SeriesRecords, queue: Queue, tmp_path: Path
) -> None:
    """Ended jobs beyond their age vanish from Redis and the store; unfinished ones stay however old."""
    store = Store(tmp_path)
    now = time.time()
    ended = job(records, store, ended=True, written=now - 100)
    unfinished = job(records, store, ended=False, written=now - 100)
    assert sweep(records, series, queue, store, max_age_s=3600).expired == []
    time.sleep(0.05)
    assert sweep(records, series, queue, store, max_age_s=0.01).expired == [ended]
    with pytest.raises(UnknownJobError):
        records.get(ended)
    assert records.get(unfinished).state is JobState.QUEUED
    assert [stored.job_id for stored in store.jobs()] == [unfinished]


def test_expiry_by_size_forgets_the_record_too(
    records: Records, series: SeriesRecords, queue: Queue, tmp_path: Path
) -> None:
    """Above the store's bound the oldest ended jobs go, record and all."""
    store = Store(tmp_path, max_bytes=20_000)
    ids = [job(records, store, ended=True, written=time.time() - 100 + age) for age in range(4)]
    assert sweep(records, series, queue, store, max_age_s=3600).expired == ids[:2]
    assert [record.job_id for record in records.page().records] == ids[:1:-1]


def test_arrays_without_a_record(records: Records, series: SeriesRecords, queue: Queue, tmp_path: Path) -> None:
    """Arrays may wait for their record a while; after an hour without one they may expire like others."""
    store = Store(tmp_path, max_bytes=1)
    fresh, left = uuid4().hex, uuid4().hex
    store.write(fresh, "input", {"a": np.zeros(10)})
    os.utime(store.write(left, "input", {"a": np.zeros(10)}), (0, time.time() - 7200))
    assert sweep(records, series, queue, store, max_age_s=1e9).expired == [left]
    assert store.has(fresh, "input")


def test_a_frame_lives_as_long_as_its_series(
    records: Records, series: SeriesRecords, queue: Queue, tmp_path: Path
) -> None:
    """What scans are brought into stays while the series has scans or jobs, however full the store;
    then it goes with it.
    """
    store = Store(tmp_path, max_bytes=1)
    kept = series.create(uuid4().hex, b"{}", 1, "ada").series_id
    os.utime(store.write(kept, "frame", {"object": np.zeros(1000)}), (0, time.time() - 9999))
    scan = uuid4().hex
    records.create(scan, b"{}", scan=SeriesScan(kept, 0))
    series.close_series(kept)
    sweep(records, series, queue, store, max_age_s=0)
    assert store.has(kept, "frame")
    records.request_cancel(scan)
    time.sleep(0.01)
    sweep(records, series, queue, store, max_age_s=0)
    assert not store.has(kept, "frame")
    with pytest.raises(UnknownSeriesError):
        series.get(kept)
