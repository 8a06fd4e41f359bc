"""Series in Redis."""

from uuid import uuid4

import pytest

from inphase.errors import CancelledError
from service.jobs.entry import NewScan, Origin, Party, Repeatable, SeriesScan
from service.jobs.errors import KeyReusedError, UnknownJobError, UnknownSeriesError
from service.jobs.record import Records
from service.jobs.series import SeriesRecords
from service.jobs.state import JobState, Priority


def test_scans_become_jobs_once(records: Records, series: SeriesRecords) -> None:
    """Whoever comes second with a scan gets the first one's job; what is left is known."""
    made = series.create(uuid4().hex, b"order", 4, Origin("ada"))
    assert (made.owner, made.total, made.order, made.cancelled) == ("ada", 4, b"order", False)
    first, second = uuid4().hex, uuid4().hex
    assert records.create(first, b"{}", origin=Origin("ada"), scan=SeriesScan(made.series_id, 1)).job_id == first
    assert records.create(second, b"{}", origin=Origin("ada"), scan=SeriesScan(made.series_id, 1)).job_id == first
    assert records.get(first).series == made.series_id
    now = series.get(made.series_id)
    assert (now.jobs, now.waiting()) == ({1: first}, [0, 2, 3])


def test_a_cancelled_series_takes_no_job(records: Records, series: SeriesRecords) -> None:
    """A scan that was being read when the series was cancelled becomes no job;
    nor does one of a series that is gone.
    """
    made = series.create(uuid4().hex, b"", 2, Origin("")).series_id
    assert series.cancel(made)
    assert not series.cancel(made)
    assert series.open() == []
    for place in (SeriesScan(made, 0), SeriesScan(uuid4().hex, 0)):
        with pytest.raises(CancelledError):
            records.create(uuid4().hex, b"{}", scan=place)
    assert records.page().records == ()


def test_all_scans_at_once(records: Records, series: SeriesRecords) -> None:
    """They are accepted in their order, with what is to be read; those that are jobs already stay as they are."""
    made = series.create(uuid4().hex, b"", 3, Origin("ada")).series_id
    earlier = records.create(uuid4().hex, b"{}", asked="b", origin=Origin("ada"), scan=SeriesScan(made, 1)).job_id
    ids = [uuid4().hex for _ in range(3)]
    scans = [NewScan(ids[n], b"{}", f"scan {n}", SeriesScan(made, n)) for n in range(3)]
    records.create_all(scans, priority=Priority.LOW, origin=Origin("ada"))
    assert series.get(made).jobs == {0: ids[0], 1: earlier, 2: ids[2]}
    assert [records.get(ids[n]).asked for n in (0, 2)] == ["scan 0", "scan 2"]
    assert records.get(ids[0]).state is JobState.ACCEPTED
    assert records.count_unread(Priority.LOW) == 2
    assert records.unread() == earlier  # of normal priority
    with pytest.raises(UnknownJobError):
        records.get(ids[1])


def test_listing_and_repeating(series: SeriesRecords) -> None:
    """Newest first in pages, one owner's or all; the same request again is the same series."""
    ids = [series.create(uuid4().hex, b"", 1, Origin("ada" if n % 2 else "bob")).series_id for n in range(5)]
    page, cursor = series.page(None, None, 2)
    rest, end = series.page(None, cursor, 10)
    assert [record.series_id for record in (*page, *rest)] == ids[::-1]
    assert end is None
    assert [record.series_id for record in series.page(Party("ada"), None, 10)[0]] == [ids[3], ids[1]]
    assert series.open() == ids
    request = Repeatable("k", "d")
    first = series.create(uuid4().hex, b"", 1, Origin("ada"), request).series_id
    assert series.create(uuid4().hex, b"", 1, Origin("ada"), request).series_id == first
    with pytest.raises(KeyReusedError, match=first):
        series.create(uuid4().hex, b"", 1, Origin("ada"), Repeatable("k", "other"))


def test_removing(series: SeriesRecords) -> None:
    """Nothing of a series is left."""
    made = series.create(uuid4().hex, b"", 1, Origin("ada")).series_id
    series.remove(made)
    with pytest.raises(UnknownSeriesError, match="expired"):
        series.get(made)
    assert not [key for key in series._client.scan_iter() if made.encode() in key]
    assert series.page(Party("ada"), None, 10) == ([], None)
