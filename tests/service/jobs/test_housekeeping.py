"""The regular sweep."""

import os
import time
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

from service.jobs.broker import Queue
from service.jobs.entry import Origin, SeriesScan
from service.jobs.errors import UnknownJobError, UnknownSeriesError
from service.jobs.housekeeping import Swept, sweep
from service.jobs.record import Records
from service.jobs.series import SeriesRecords
from service.jobs.state import JobState
from service.jobs.store import Store


def job(records: Records, store: Store, *, ended: bool) -> str:
    """A job with arrays, whose files say that they were written long ago."""
    job_id = uuid4().hex
    os.utime(store.write(job_id, "input", {"a": np.zeros(1000)}), (0, 0))
    records.create(job_id, b"{}")
    if ended:
        records.request_cancel(job_id)
    return job_id


def test_expiry_forgets_record_and_arrays_together(
    records: Records, series: SeriesRecords, queue: Queue, tmp_path: Path
) -> None:
    """Ended jobs beyond their age vanish from Redis and the store; unfinished ones stay however old."""
    store = Store(tmp_path)
    ended = job(records, store, ended=True)
    unfinished = job(records, store, ended=False)
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
    ids = [job(records, store, ended=True) for _ in range(4)]
    assert sweep(records, series, queue, store, max_age_s=3600).expired == ids[:2]
    assert [record.job_id for record in records.page().records] == ids[:1:-1]


def test_arrays_without_a_record(records: Records, series: SeriesRecords, queue: Queue, tmp_path: Path) -> None:
    """Arrays may wait for their record a while; when they were seen without one for an hour, they go where there is no
    room, and else when they would have expired.
    """
    clock = [0.0]
    full, roomy = (Store(tmp_path / name, most, lambda: clock[0]) for name, most in (("full", 1), ("roomy", None)))
    left = uuid4().hex
    for store in (full, roomy):
        os.utime(store.write(left, "input", {"a": np.zeros(10)}), (0, 0))
        assert sweep(records, series, queue, store, max_age_s=7200).expired == []
    clock[0] = 3700.0
    full.write(fresh := uuid4().hex, "input", {"a": np.zeros(10)})
    assert sweep(records, series, queue, full, max_age_s=7200).expired == [left]
    assert full.has(fresh, "input")
    assert sweep(records, series, queue, roomy, max_age_s=7200).expired == []
    clock[0] = 7300.0
    assert sweep(records, series, queue, roomy, max_age_s=7200).expired == [left]


def test_a_clock_that_is_days_ahead_deletes_nothing(
    records: Records, series: SeriesRecords, queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of this host, or of the one that wrote the files: what is old, Redis says."""
    store = Store(tmp_path, max_bytes=100_000)
    ended = job(records, store, ended=True)
    unfinished = job(records, store, ended=False)
    store.write(unrecorded := uuid4().hex, "input", {"a": np.zeros(1000)})
    (tmp_path / ended / ".input.npz.1.tmp").touch()
    kept = series.create(uuid4().hex, b"{}", 0, Origin("ada")).series_id
    series.close_series(kept)
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 8 * 86_400)
    swept = sweep(records, series, queue, store, max_age_s=7 * 86_400)
    assert swept == Swept([], [])
    assert {stored.job_id for stored in store.jobs()} == {ended, unfinished, unrecorded}
    assert (tmp_path / ended / ".input.npz.1.tmp").exists()
    assert series.exists(kept)


def test_a_frame_lives_as_long_as_its_series(
    records: Records, series: SeriesRecords, queue: Queue, tmp_path: Path
) -> None:
    """What scans are brought into stays while the series has scans or jobs, however full the store;
    then it goes with it.
    """
    store = Store(tmp_path, max_bytes=1)
    kept = series.create(uuid4().hex, b"{}", 1, Origin("ada")).series_id
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
