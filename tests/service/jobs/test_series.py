"""Series in Redis."""

from uuid import uuid4

import pytest

from inphase.errors import CancelledError
from service.jobs.errors import KeyReusedError, UnknownSeriesError
from service.jobs.record import Place, Records, Request
from service.jobs.series import SeriesRecords


def test_scans_become_jobs_once(records: Records, series: SeriesRecords) -> None:
    """Whoever comes second with a scan gets the first one's job; a failed scan says why; what is left is known."""
    made = series.create(uuid4().hex, b"order", 4, "ada")
    assert (made.owner, made.total, made.order, made.cancelled) == ("ada", 4, b"order", False)
    first, second = uuid4().hex, uuid4().hex
    assert records.create(first, b"{}", owner="ada", place=Place(made.series_id, 1)).job_id == first
    assert records.create(second, b"{}", owner="ada", place=Place(made.series_id, 1)).job_id == first
    assert records.get(first).series == made.series_id
    series.fail(made.series_id, 2, "no such file")
    now = series.get(made.series_id)
    assert (now.jobs, now.failed, now.waiting()) == ({1: first}, {2: "no such file"}, [0, 3])


def test_a_cancelled_series_takes_no_job(records: Records, series: SeriesRecords) -> None:
    """A scan that was being read when the series was cancelled becomes no job; nor does one of a series that is gone."""
    made = series.create(uuid4().hex, b"", 2, "").series_id
    assert series.cancel(made)
    assert not series.cancel(made)
    assert series.open() == []
    for place in (Place(made, 0), Place(uuid4().hex, 0)):
        with pytest.raises(CancelledError):
            records.create(uuid4().hex, b"{}", place=place)
    assert records.page().records == ()


def test_one_feeder_at_a_time(series: SeriesRecords) -> None:
    """A lease keeps others out, can be renewed, and ends by itself."""
    made = series.create(uuid4().hex, b"", 2, "").series_id
    assert series.lease(made, "a", 60)
    assert not series.lease(made, "b", 60)
    assert series.lease(made, "a", 60)
    assert 0 < series._client.ttl(f"inphase:series:{made}:feeder") <= 60


def test_a_try_is_taken_back(series: SeriesRecords) -> None:
    """What was read and could not be accepted does not count as a reading that ended the service."""
    made = series.create(uuid4().hex, b"", 1, "").series_id
    for _ in range(5):
        assert series.begin(made, 0) == 1
        series.spare(made, 0)
    assert [series.begin(made, 0) for _ in range(2)] == [1, 2]


def test_listing_and_repeating(series: SeriesRecords) -> None:
    """Newest first in pages, one owner's or all; the same request again is the same series."""
    ids = [series.create(uuid4().hex, b"", 1, "ada" if n % 2 else "bob").series_id for n in range(5)]
    page, cursor = series.page(None, None, 2)
    rest, end = series.page(None, cursor, 10)
    assert [record.series_id for record in (*page, *rest)] == ids[::-1]
    assert end is None
    assert [record.series_id for record in series.page("ada", None, 10)[0]] == [ids[3], ids[1]]
    assert series.open() == ids
    request = Request("k", "d")
    first = series.create(uuid4().hex, b"", 1, "ada", request).series_id
    assert series.create(uuid4().hex, b"", 1, "ada", request).series_id == first
    with pytest.raises(KeyReusedError, match=first):
        series.create(uuid4().hex, b"", 1, "ada", Request("k", "other"))


def test_removing(series: SeriesRecords) -> None:
    """Nothing of a series is left."""
    made = series.create(uuid4().hex, b"", 1, "ada").series_id
    series.lease(made, "a", 60)
    series.begin(made, 0)
    series.fail(made, 0, "no")
    series.remove(made)
    with pytest.raises(UnknownSeriesError, match="expired"):
        series.get(made)
    assert not [key for key in series._client.scan_iter() if made.encode() in key]
    assert series.page("ada", None, 10) == ([], None)
