"""Job records: states, fencing, listing, waiting."""

import asyncio
import threading
import time
from uuid import uuid4

import pytest
import redis

from service.jobs.entry import Origin, QueuedMessage, Repeatable
from service.jobs.errors import KeyReusedError, QueueUnavailableError, UnknownJobError
from service.jobs.listing import Filter
from service.jobs.record import MAX_DELIVERIES, Records
from service.jobs.state import JobState, Priority, RecordedProgress

MESSAGE = QueuedMessage("queue", b"message", "channel", "word")


def new(records: Records, **options: object) -> str:
    """A queued job."""
    job_id = uuid4().hex
    records.create(job_id, b'{"x": 1}', **options)  # type: ignore[arg-type]
    return job_id


def read(records: Records, fingerprint: str) -> str:
    """A job that is queued when its data have been read."""
    job_id = new(records, asked="this")
    assert records.take(job_id, job_id)
    assert records.queue(job_id, job_id, b"{}", MESSAGE, fingerprint=fingerprint)
    return job_id


def claim(records: Records, job_id: str, worker: str = "w") -> int | None:
    """An attempt by the message that stands for the job."""
    return records.claim(job_id, records.message_of(job_id), worker)


def test_a_job_waits_from_its_queueing_on_and_not_while_it_is_read(records: Records) -> None:
    """Of several waits the last one counts."""
    job_id = read(records, "a")
    assert records.get(job_id).waited_s == 0.0
    assert claim(records, job_id) == 1
    first = records.get(job_id)
    assert first.queued is not None
    assert first.started is not None
    assert first.created < first.queued < first.started
    assert first.waited_s == pytest.approx(first.started - first.queued, abs=1e-6)
    assert records.release(job_id, 1)
    queued = records.get(job_id).queued
    assert queued is not None
    assert queued > first.started


def test_created_job_is_queued_with_its_document(records: Records) -> None:
    """A new record is queued, has no attempt yet, and carries document, owner and priority unchanged."""
    record = records.get(new(records, origin=Origin("ada"), priority=Priority.HIGH))
    assert (record.state, record.attempt, record.owner, record.priority) == (JobState.QUEUED, 0, "ada", Priority.HIGH)
    assert record.document == b'{"x": 1}'
    assert abs(record.created - time.time()) < 5  # one machine, one clock
    assert (record.started, record.finished, record.progress, record.result) == (None, None, None, "")


def test_creation_repeated_by_the_client_is_one_job(records: Records) -> None:
    """redis-py repeats a call whose answer was lost:
    the same creation twice is one job, another document is an error.
    """
    job_id = new(records)
    records.create(job_id, b'{"x": 1}')
    assert records.count(JobState.QUEUED) == 1
    with pytest.raises(ValueError, match="exists already"):
        records.create(job_id, b"{}")


def test_what_needs_no_worker_ends_from_reading(records: Records) -> None:
    """A job answered at once is recorded as succeeded, with its result as the only revision, and never waits."""
    job_id = new(records, origin=Origin("ada"), asked="this")
    assert (records.get(job_id).state, records.get(job_id).asked) == (JobState.ACCEPTED, "this")
    assert records.take(job_id, "reader")
    assert records.conclude(job_id, "reader", JobState.SUCCEEDED, document=b"{}", result="result-0")
    record = records.get(job_id)
    assert (record.state, record.result, record.owner) == (JobState.SUCCEEDED, "result-0", "ada")
    assert [(r.number, r.kind, r.result, r.final) for r in record.revisions] == [(1, "network", "result-0", True)]
    assert record.finished is not None
    assert records.position(job_id) is None


def test_only_its_reader_gets_a_job_on(records: Records) -> None:
    """What is being read is nobody else's: taken once, queued or ended by its reader alone;
    taking again after a lost answer is the same.
    """
    job_id = new(records, asked="this")
    assert records.unread() == job_id
    assert records.take(job_id, "a")
    assert records.take(job_id, "a")
    assert not records.take(job_id, "b")
    assert records.unread() is None
    assert not records.queue(job_id, "b", b"{}", MESSAGE)
    assert not records.conclude(job_id, "b", JobState.FAILED, reason="no")
    assert records.get(job_id).state is JobState.READING
    assert records.queue(job_id, "a", b"{}", MESSAGE, fingerprint="f", first="revision-1")
    assert records.queue(job_id, "a", b"{}", MESSAGE, fingerprint="f", first="revision-1")
    record = records.get(job_id)
    assert (record.state, record.document, record.fingerprint) == (JobState.QUEUED, b"{}", "f")
    assert [(r.kind, r.final) for r in record.revisions] == [("network", False)]


def test_a_reader_that_says_no_more_loses_its_job(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it read is accepted again, and given up after MAX_DELIVERIES readers; one that speaks keeps it."""
    job_id = new(records, asked="this")
    for attempt in range(MAX_DELIVERIES):
        assert records.take(job_id, str(attempt))
        records.announce_readers([str(attempt)])
        assert records.reclaim() == 0
        with monkeypatch.context() as patch:
            patch.setattr("service.jobs.record._PRESENT_S", -1.0)
            assert records.reclaim() == 1
        assert records.get(job_id).state is JobState.ACCEPTED
    assert not records.take(job_id, "last")
    assert records.get(job_id).state is JobState.FAILED
    assert "ended the service 3 times" in records.get(job_id).reason


def test_given_back_is_not_held_against_a_job(records: Records) -> None:
    """A full store is not the job's doing: it may be read as often as it takes."""
    job_id = new(records, asked="this")
    for attempt in range(MAX_DELIVERIES + 2):
        assert records.take(job_id, str(attempt))
        assert records.give_back(job_id, str(attempt))
    assert records.get(job_id).state is JobState.ACCEPTED


def test_a_job_cancelled_while_it_is_read_is_not_queued(records: Records) -> None:
    """An accepted one is cancelled at once."""
    reading, accepted = new(records, asked="this"), new(records, asked="that")
    assert records.take(reading, "a")
    assert records.request_cancel(reading) is JobState.READING
    assert not records.queue(reading, "a", b"{}", MESSAGE)
    assert records.get(reading).state is JobState.CANCELLED
    assert records.request_cancel(accepted) is JobState.CANCELLED
    assert not records.take(accepted, "a")


def test_a_discarded_job_leaves_nothing(records: Records, redis_url: str) -> None:
    """Neither in a list, nor as a key, nor what its Idempotency-Key stood for; only its own reader can do it."""
    job_id, key = uuid4().hex, Repeatable("k", "digest")
    records.create(job_id, b"{}", asked="this", origin=Origin("ada"), repeatable=key, reader="a")
    assert not records.discard(job_id, "b", "bad")
    assert records.get(job_id).state is JobState.READING
    assert records.discard(job_id, "a", "bad")
    with pytest.raises(UnknownJobError):
        records.get(job_id)
    assert records.page().records == ()
    with redis.Redis.from_url(redis_url) as client:
        assert not [key for key in client.scan_iter() if job_id.encode() in key or b"idempotency" in key]
        assert not client.zscore("inphase:jobs:reading", job_id)


def test_a_promised_job_is_not_discarded(records: Records) -> None:
    """Somebody was told its id: it fails with the reason instead. What is gone cannot be promised."""
    job_id = uuid4().hex
    records.create(job_id, b"{}", asked="this", reader="a")
    records.promise(job_id)
    assert not records.discard(job_id, "a", "no counts in it")
    record = records.get(job_id)
    assert (record.state, record.reason) == (JobState.FAILED, "no counts in it")
    with pytest.raises(UnknownJobError):
        records.promise("0" * 32)


def test_a_job_may_be_read_from_its_first_moment(records: Records) -> None:
    """Created for a reader: nobody else can take it in between, and the same call repeated finds it its own."""
    job_id = uuid4().hex
    for _ in range(2):
        record = records.create(job_id, b"{}", asked="this", reader="a")
        assert (record.state, record.reader) == (JobState.READING, "a")
    assert not records.take(job_id, "b")
    assert records.unread() is None
    assert records.queue(job_id, "a", b"{}", MESSAGE)


def test_a_job_cancelled_while_it_is_read_does_not_succeed(records: Records) -> None:
    """Neither by its reader's end nor by another reader after this one has died."""
    one, other = new(records, asked="this"), new(records, asked="that")
    for job_id in (one, other):
        assert records.take(job_id, "a")
        assert records.request_cancel(job_id) is JobState.READING
    assert not records.conclude(one, "a", JobState.SUCCEEDED, result="result-0")
    assert records.give_back(other, "a")
    assert not records.take(other, "b")
    assert {records.get(job_id).state for job_id in (one, other)} == {JobState.CANCELLED}
    assert records.get(one).revisions == ()


def test_path_to_success(records: Records) -> None:
    """claim, progress and finish move a job through its states and leave times in order."""
    job_id = new(records)
    assert claim(records, job_id) == 1
    assert records.progress(job_id, 1, RecordedProgress(10, 50, 0.25, 99, "ER"))
    assert records.get(job_id).progress == RecordedProgress(10, 50, 0.25, 99, "ER")
    assert records.finish(job_id, 1, JobState.SUCCEEDED, document=b"{}", result="result-1")
    record = records.get(job_id)
    assert (record.state, record.document, record.result, record.worker) == (
        JobState.SUCCEEDED,
        b"{}",
        "result-1",
        "w",
    )
    assert record.started is not None
    assert record.finished is not None
    assert record.created <= record.started <= record.finished


def test_stale_attempt_changes_nothing(records: Records) -> None:
    """After a newer attempt has begun, the older one can neither report, give back, nor end the job;
    the newer one can.
    """
    job_id = new(records)
    assert claim(records, job_id, "old") == 1
    assert claim(records, job_id, "new") == 2
    before = records.get(job_id)
    assert not records.progress(job_id, 1, RecordedProgress(1, 2))
    assert not records.release(job_id, 1)
    assert not records.finish(job_id, 1, JobState.FAILED, reason="late", document=b"late", result="result-1")
    assert records.get(job_id) == before
    assert records.should_stop(job_id, 1) == "stale"
    assert records.should_stop(job_id, 2) == ""
    assert records.finish(job_id, 2, JobState.SUCCEEDED, result="result-2")
    assert not records.finish(job_id, 1, JobState.SUCCEEDED, result="result-1")
    assert records.get(job_id).result == "result-2"


def test_a_revision_is_told_once_whichever_attempt_makes_it(records: Records) -> None:
    """A second attempt that comes as far again adds nothing, a stale one is refused, and the last result is final."""
    job_id = new(records)
    first = records.claim(job_id, records.message_of(job_id), "a")
    assert first is not None
    assert records.revise(job_id, first, "level-1")
    assert records.revise(job_id, first, "level-1")
    assert records.release(job_id, first)
    second = records.claim(job_id, records.message_of(job_id), "b")
    assert second is not None
    assert not records.revise(job_id, first, "level-2")
    assert records.revise(job_id, second, "level-1")
    assert records.revise(job_id, second, "level-2")
    assert records.finish(job_id, second, JobState.SUCCEEDED, document=b"{}", result="result-2")
    assert not records.revise(job_id, second, "level-3")
    assert [(r.number, r.kind, r.result, r.final) for r in records.get(job_id).revisions] == [
        (1, "refined", "level-1", False), (2, "refined", "level-2", False), (3, "refined", "result-2", True),
    ]  # fmt: skip


def test_ending_repeated_by_the_client_is_true_again(records: Records) -> None:
    """An ending whose answer was lost is sent again and must not look stale: its result would be thrown away."""
    job_id = new(records)
    claim(records, job_id)
    assert records.finish(job_id, 1, JobState.SUCCEEDED, result="result-1")
    assert records.finish(job_id, 1, JobState.SUCCEEDED, result="result-1")


def test_many_claims_at_once_get_different_numbers(records: Records, redis_url: str) -> None:
    """Attempts are numbered atomically: threads that claim at the same moment never share a number."""
    job_id = new(records)
    numbers: list[int | None] = []
    others = [Records(redis_url) for _ in range(MAX_DELIVERIES)]
    threads = [threading.Thread(target=lambda r=other: numbers.append(claim(r, job_id))) for other in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    for other in others:
        other.close()
    assert sorted(number or 0 for number in numbers) == list(range(1, MAX_DELIVERIES + 1))


def test_poisoned_after_three_deliveries(records: Records) -> None:
    """A job that was delivered three times and never ended is failed at the fourth, and says why."""
    job_id = new(records)
    assert [claim(records, job_id) for _ in range(MAX_DELIVERIES + 1)] == [1, 2, 3, None]
    record = records.get(job_id)
    assert record.state is JobState.FAILED
    assert record.reason.startswith("poisoned")


def test_given_back_is_not_held_against_the_job(records: Records) -> None:
    """A worker that leaves gives its job back: queued again at its old place, and no delivery counted."""
    job_id = new(records)
    later = new(records)
    for attempt in range(1, 3 * MAX_DELIVERIES):
        assert claim(records, job_id) == attempt
        assert records.release(job_id, attempt)
    assert records.get(job_id).state is JobState.QUEUED
    assert (records.position(job_id), records.position(later)) == (0, 1)


def test_given_back_with_blame_is_held_against_the_job(records: Records) -> None:
    """Where the job may be what ended its process, it is queued again and counted; the reason names what happened."""
    job_id = new(records)
    for attempt in range(1, MAX_DELIVERIES + 1):
        assert claim(records, job_id) == attempt
        assert records.release(job_id, attempt, blame="the compute process was killed")
    assert claim(records, job_id) is None
    record = records.get(job_id)
    assert record.state is JobState.FAILED
    assert record.reason.startswith(
        "poisoned: the job ended its worker process 3 times (the compute process was killed)"
    )


def test_deliveries_by_another_message_do_nothing(records: Records) -> None:
    """Only the message that stands for the job may start an attempt: a duplicate is dropped."""
    job_id = new(records)
    records.assign(job_id, "second")
    assert records.claim(job_id, job_id, "w") is None
    assert records.get(job_id).state is JobState.QUEUED
    assert records.claim(job_id, "second", "w") == 1


def test_cancel(records: Records) -> None:
    """Queued: cancelled at once. Running: flagged, and ended by the worker. Ended: stays. Unknown: error. Twice:
    the same.
    """
    queued, running, ended = new(records), new(records), new(records)
    claim(records, running)
    claim(records, ended)
    records.finish(ended, 1, JobState.SUCCEEDED)
    for _ in range(2):
        assert records.request_cancel(queued) is JobState.CANCELLED
        assert records.request_cancel(running) is JobState.RUNNING
        assert records.request_cancel(ended) is JobState.SUCCEEDED
    assert records.should_stop(running, 1) == "cancelled"
    assert records.get(running).cancel_requested
    assert claim(records, queued) is None
    assert claim(records, running) is None  # redelivered after its worker died: not begun again
    assert records.get(running).state is JobState.CANCELLED
    with pytest.raises(UnknownJobError, match="expired"):
        records.request_cancel(uuid4().hex)


def test_a_reason_of_a_cancellation_stays_with_the_job(records: Records) -> None:
    """The first one that is given, for a queued job and for a running one; none changes a job that has ended."""
    queued, running, ended = new(records), new(records), new(records)
    claim(records, running)
    claim(records, ended)
    records.finish(ended, 1, JobState.SUCCEEDED)
    for job_id in (queued, running, ended):
        records.request_cancel(job_id, "the beam is down")
        records.request_cancel(job_id, "no, another reason")
    records.finish(running, 1, JobState.CANCELLED, reason="cancelled on request")
    told = "cancelled on request: the beam is down"
    assert [records.get(job_id).reason for job_id in (queued, running, ended)] == [told, told, ""]


def test_position_counts_who_goes_before(records: Records) -> None:
    """The position is the number of queued jobs that are more urgent, or as urgent and older."""
    low = new(records, priority=Priority.LOW)
    normal = [new(records) for _ in range(3)]
    high = new(records, priority=Priority.HIGH)
    assert [records.position(job_id) for job_id in (high, *normal, low)] == [0, 1, 2, 3, 4]
    claim(records, high)
    records.request_cancel(normal[0])
    assert [records.position(job_id) for job_id in (high, *normal, low)] == [None, None, 0, 1, 2]


def test_pages_cover_every_job_once(records: Records) -> None:
    """Following the cursor lists every job exactly once, newest first, also when others come and go meanwhile."""
    ids = [new(records, origin=Origin("ada" if number % 3 else "bob")) for number in range(25)]
    page = records.page(limit=7)
    listed = [record.job_id for record in page.records]
    new(records)
    records.request_cancel(ids[0])
    while page.cursor is not None:
        page = records.page(limit=7, cursor=page.cursor)
        listed += [record.job_id for record in page.records]
    assert listed == ids[::-1]


def test_page_filters(records: Records) -> None:
    """Filters by state and owner hold across page borders."""
    ids = [new(records, origin=Origin("ada" if number % 3 else "bob")) for number in range(25)]
    for job_id in ids[::2]:
        claim(records, job_id)
    wanted = [job_id for number, job_id in enumerate(ids) if number % 2 == 0 and number % 3 == 0][::-1]
    running = Filter(state=JobState.RUNNING, owner="bob")
    first = records.page(running, limit=2)
    rest = records.page(running, cursor=first.cursor, limit=50)
    assert [record.job_id for record in (*first.records, *rest.records)] == wanted
    assert rest.cursor is None
    with pytest.raises(ValueError, match="invalid literal"):
        records.page(cursor="nonsense")


def test_page_by_time_and_by_anything(records: Records) -> None:
    """Since and until bound the creation; what is accepted may depend on anything;
    the owner's list is its own index.
    """
    ids = [new(records, origin=Origin("ada")) for _ in range(6)]
    created = [records.get(job_id).created for job_id in ids]
    middle = Filter(since=created[2], until=created[4])
    assert [record.job_id for record in records.page(middle).records] == ids[4:1:-1]
    third = Filter(owner="ada", accepts=lambda record: record.job_id == ids[2])
    assert [record.job_id for record in records.page(third, limit=1).records] == [ids[2]]
    assert records.page(Filter(owner="bob")).records == ()


def test_a_page_looks_at_so_many_jobs(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    """A filter that nothing passes does not read everything at once:
    an empty page with a cursor, until the end is reached.
    """
    monkeypatch.setattr("service.jobs.record._LOOKED_AT", 10)
    for _ in range(25):
        new(records)
    nothing = Filter(accepts=lambda record: False)
    pages = [records.page(nothing, limit=5)]
    while pages[-1].cursor is not None:
        pages.append(records.page(nothing, limit=5, cursor=pages[-1].cursor))
    assert len(pages) == 2
    assert all(page.records == () for page in pages)


def test_a_repeated_request_is_the_first_job(records: Records) -> None:
    """The same key with the same request gives the first job back and makes none;
    with another request it is refused.
    """
    request = Repeatable("k1", "digest")
    first = new(records, origin=Origin("ada"), repeatable=request)
    other = uuid4().hex
    assert records.create(other, b"{}", origin=Origin("ada"), repeatable=request).job_id == first
    assert records.replayed("ada", request) == records.get(first)
    with pytest.raises(UnknownJobError):
        records.get(other)
    with pytest.raises(KeyReusedError, match=first):
        records.create(other, b"{}", origin=Origin("ada"), repeatable=Repeatable("k1", "another"))
    with pytest.raises(KeyReusedError, match=first):
        records.replayed("ada", Repeatable("k1", "another"))
    assert records.replayed("bob", request) is None
    assert (
        records.create(other, b"{}", origin=Origin("bob"), repeatable=request).job_id == other
    )  # keys of others are others
    records.request_cancel(first)
    records.remove(first)
    assert records.replayed("ada", request) is None
    again = uuid4().hex
    assert records.create(again, b"{}", origin=Origin("ada"), repeatable=request).job_id == again


def test_concurrent_duplicates_make_one_job(records: Records, redis_url: str) -> None:
    """Twenty clients that send the same request at the same moment all get the same job."""
    found: list[str] = []
    gate = threading.Barrier(20)

    def send() -> None:
        own = Records(redis_url)
        job_id = uuid4().hex
        gate.wait()
        found.append(own.create(job_id, b"{}", repeatable=Repeatable("k", "d")).job_id)
        own.close()

    threads = [threading.Thread(target=send) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(found) == 20
    assert len(set(found)) == 1
    assert records.count(JobState.QUEUED) == 1


def test_a_result_is_found_by_its_fingerprint(records: Records) -> None:
    """Only a succeeded job stands for its fingerprint, the latest one, and none that was removed."""
    first, second = read(records, "f"), read(records, "f")
    assert records.earlier("f") is None
    claim(records, first)
    records.finish(first, 1, JobState.SUCCEEDED, result="r")
    assert records.earlier("f") == records.get(first)
    claim(records, second)
    records.finish(second, 1, JobState.FAILED)
    assert records.earlier("f") == records.get(first)
    third = new(records, asked="this")
    records.take(third, "a")
    records.conclude(third, "a", JobState.SUCCEEDED, result="r", fingerprint="f")
    assert records.earlier("f") == records.get(third)
    records.remove(first)
    assert records.earlier("f") == records.get(third)
    records.remove(third)
    assert records.earlier("f") is None
    assert records.earlier("g") is None


def test_removing(records: Records) -> None:
    """An ended job can be forgotten with all its traces, an unfinished one cannot."""
    queued, ended = new(records), new(records)
    claim(records, ended)
    records.finish(ended, 1, JobState.FAILED, reason="no")
    assert records.finished_before(time.time() + 60) == [ended]
    assert records.finished_before(time.time() - 60) == []
    assert not records.remove(queued)
    assert records.remove(ended)
    assert not records.remove(ended)
    with pytest.raises(UnknownJobError):
        records.get(ended)
    assert [record.job_id for record in records.page().records] == [queued]
    assert records.unfinished() == [queued]
    with redis.Redis.from_url(records._url) as client:
        assert not [key for key in client.scan_iter() if ended.encode() in key]


def test_workers_are_those_that_spoke_lately(records: Records) -> None:
    """A worker is listed from its word until it leaves."""
    records.announce("a")
    records.announce("b")
    assert sorted(records.workers()) == ["a", "b"]
    records.depart("a")
    assert records.workers() == ["b"]


async def test_wait_ends_with_the_job(records: Records) -> None:
    """wait returns within a small part of a second after the job has ended."""
    job_id = new(records)
    claim(records, job_id)

    async def end() -> float:
        await asyncio.sleep(0.3)
        await asyncio.to_thread(records.finish, job_id, 1, JobState.SUCCEEDED, result="r")
        return time.monotonic()

    ending = asyncio.create_task(end())
    record = await records.wait(job_id, 10)
    assert (record.state, record.result) == (JobState.SUCCEEDED, "r")
    assert time.monotonic() - await ending < 0.5  # a loaded machine's slack; polling every second would fail


async def test_wait_for_ended_or_slow_or_unknown_jobs(records: Records) -> None:
    """wait returns at once for an ended job, after the timeout for one that goes on, and raises for none."""
    ended, slow = new(records), new(records)
    records.request_cancel(ended)
    assert (await records.wait(ended, 10)).state is JobState.CANCELLED
    begun = time.monotonic()
    assert (await records.wait(slow, 0.2)).state is JobState.QUEUED
    assert 0.2 <= time.monotonic() - begun < 1.5
    assert (await records.wait(slow, 0)).state is JobState.QUEUED
    with pytest.raises(UnknownJobError):
        await records.wait(uuid4().hex, 5)


async def test_many_waiters(records: Records) -> None:
    """A hundred calls may wait at once, each on its own job."""
    ids = [new(records) for _ in range(100)]
    waiting = [asyncio.create_task(records.wait(job_id, 20)) for job_id in ids]
    await asyncio.sleep(0.2)
    for job_id in ids:
        await asyncio.to_thread(records.request_cancel, job_id)
    assert all(record.state is JobState.CANCELLED for record in await asyncio.gather(*waiting))


async def test_following_replays_after_an_event(records: Records) -> None:
    """Events come in order up to the end; following again after one of them brings exactly the rest."""
    job_id = new(records)
    claim(records, job_id)
    records.progress(job_id, 1, RecordedProgress(1, 2, 0.5, 3, "HIO"))
    records.finish(job_id, 1, JobState.FAILED, reason="diverged")
    events = [event async for event in records.follow(job_id) if event is not None]
    assert [event.data.get("state") for event in events] == ["queued", "running", None, "failed"]
    assert events[2].data == {
        "iteration": 1,
        "total": 2,
        "chi2": 0.5,
        "support_voxels": 3,
        "stage": "HIO",
        "preview": False,
    }
    assert events[3].data["reason"] == "diverged"
    assert [event async for event in records.follow(job_id, events[1].event_id)] == events[2:]
    assert [event async for event in records.follow(job_id, events[3].event_id)] == []


async def test_redis_away_is_said_soon(away: str) -> None:
    """Without Redis every call raises QueueUnavailableError, well within a second."""
    records = Records(away)
    begun = time.monotonic()
    for call in (records.workers, records.page, lambda: records.get("0" * 32)):
        with pytest.raises(QueueUnavailableError, match="does not answer"):
            call()
    with pytest.raises(QueueUnavailableError):
        await records.wait("0" * 32, 5)
    assert time.monotonic() - begun < 2
    records.close()
