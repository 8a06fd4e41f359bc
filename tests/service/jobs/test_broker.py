"""The broker: priorities, one message at a time, redelivery, recovery."""

import time
from uuid import uuid4

import pytest

from service.jobs.broker import HEARTBEAT_TIMEOUT_MS, LOOK_S, JobBroker, LevelConsumer, Queue
from service.jobs.errors import QueueUnavailableError
from service.jobs.record import Records
from service.jobs.state import JobState, Priority


def submit(records: Records, queue: Queue, priority: Priority = Priority.NORMAL) -> str:
    """A job in the queue."""
    job_id = uuid4().hex
    records.create(job_id, b"{}", asked="{}", reader=job_id, priority=priority)
    assert records.queue(job_id, job_id, b"{}", queue.message(job_id, priority))
    return job_id


def take(consumer: LevelConsumer, seconds: float = 5.0) -> str | None:
    """The job of the next message, or None within `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if (message := next(consumer)) is not None:
            consumer.taken = message  # type: ignore[attr-defined]
            return str(message.args[0])
    return None


def settle(consumer: LevelConsumer) -> None:
    """Acknowledge what was taken last."""
    consumer.ack(consumer.taken)  # type: ignore[attr-defined]


def test_urgent_first_then_in_order(records: Records, queue: Queue, redis_url: str) -> None:
    """A worker is served by priority, and within one priority in the order of submission."""
    low = submit(records, queue, Priority.LOW)
    normal = [submit(records, queue) for _ in range(3)]
    high = submit(records, queue, Priority.HIGH)
    consumer = LevelConsumer(JobBroker(redis_url))
    order = []
    for _ in range(5):
        order.append(take(consumer))
        settle(consumer)
    assert order == [high, *normal, low]
    consumer.close()


def test_busy_worker_holds_nothing_back(records: Records, queue: Queue, redis_url: str) -> None:
    """While a worker is busy it takes no further message: an idle one gets it, whatever the priority."""
    busy, idle = LevelConsumer(JobBroker(redis_url)), LevelConsumer(JobBroker(redis_url))
    first = submit(records, queue)
    assert take(busy) == first
    second = submit(records, queue, Priority.HIGH)
    assert take(busy, 2 * LOOK_S) is None
    assert take(idle) == second
    settle(busy)
    third = submit(records, queue)
    assert take(busy) == third
    for consumer in (busy, idle):
        consumer.close()


def test_only_the_levels_asked_for(records: Records, queue: Queue, redis_url: str) -> None:
    """A worker for urgent jobs leaves the others alone."""
    consumer = LevelConsumer(JobBroker(redis_url, levels=(Priority.HIGH,)))
    submit(records, queue, Priority.LOW)
    assert take(consumer, 2 * LOOK_S) is None
    high = submit(records, queue, Priority.HIGH)
    assert take(consumer) == high
    consumer.close()


def test_idle_worker_hears_at_once(records: Records, queue: Queue, redis_url: str) -> None:
    """An idle consumer does not wait for its next look: the median of its reactions is a small part of LOOK_S."""
    consumer = LevelConsumer(JobBroker(redis_url))
    assert take(consumer, 0.1) is None
    delays = []
    for _ in range(9):
        submitted = submit(records, queue)
        begun = time.monotonic()
        assert take(consumer) == submitted
        delays.append(time.monotonic() - begun)
        settle(consumer)
    assert sorted(delays)[4] < LOOK_S / 5
    consumer.close()


def test_message_of_a_dead_worker_goes_to_another(records: Records, queue: Queue, redis_url: str) -> None:
    """What a worker took and did not acknowledge comes back after the heartbeat timeout, not sooner, and once."""
    job_id = submit(records, queue)
    dead, alive = LevelConsumer(JobBroker(redis_url)), LevelConsumer(JobBroker(redis_url))
    assert take(dead) == job_id
    begun = time.monotonic()
    assert take(alive, 10) == job_id
    waited = time.monotonic() - begun
    assert HEARTBEAT_TIMEOUT_MS / 1000 - 0.1 <= waited < HEARTBEAT_TIMEOUT_MS / 1000 + LOOK_S + 1.0
    settle(dead)  # it was only slow: too late to acknowledge
    settle(alive)
    assert take(alive, 2 * LOOK_S) is None
    for consumer in (dead, alive):
        consumer.close()


def test_what_comes_back_goes_first(records: Records, queue: Queue, redis_url: str) -> None:
    """A dead worker's message, and a job that is handed out again, go before those that came later, not behind them."""
    died, given_back, later = (submit(records, queue) for _ in range(3))
    dead, alive = LevelConsumer(JobBroker(redis_url)), LevelConsumer(JobBroker(redis_url))
    assert [take(dead), settle(dead), take(dead)] == [died, None, given_back]
    queue.enqueue_again(died, Priority.NORMAL)
    time.sleep(HEARTBEAT_TIMEOUT_MS / 1000)
    order = []
    for _ in range(3):
        order.append(take(alive))
        settle(alive)
    assert order == [given_back, died, later]
    for consumer in (dead, alive):
        consumer.close()


def test_a_fetch_whose_answer_was_lost(records: Records, queue: Queue, redis_url: str) -> None:
    """A message that Redis has handed out and nobody received comes back at the worker's next look,
    while that lives.
    """
    lost = submit(records, queue)
    consumer = LevelConsumer(JobBroker(redis_url))
    assert consumer.broker.do_fetch("refine.normal", 1)
    begun = time.monotonic()
    assert take(consumer) == lost
    assert time.monotonic() - begun < HEARTBEAT_TIMEOUT_MS / 1000
    assert take(consumer, 2 * LOOK_S) is None  # what is in hand is not given back
    settle(consumer)
    consumer.close()


def test_a_host_with_a_slow_clock_is_not_dead(
    records: Records, queue: Queue, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Heartbeats bear the server's time: what a worker on a host an hour behind holds is not taken from it."""
    monkeypatch.setattr("dramatiq.brokers.redis.current_millis", lambda: int((time.time() - 3600) * 1000))
    job_id = submit(records, queue)
    slow, other = LevelConsumer(JobBroker(redis_url)), LevelConsumer(JobBroker(redis_url))
    assert take(slow) == job_id
    assert take(other, 2.5 * LOOK_S) is None
    for consumer in (slow, other):
        consumer.close()


def test_several_slots(records: Records, queue: Queue, redis_url: str) -> None:
    """A worker with two slots takes two messages and no third."""
    submitted = [submit(records, queue) for _ in range(3)]
    consumer = LevelConsumer(JobBroker(redis_url, slots=2))
    assert [take(consumer), take(consumer)] == submitted[:2]
    assert take(consumer, 2 * LOOK_S) is None
    settle(consumer)
    assert take(consumer) == submitted[2]
    consumer.close()


def test_what_was_not_begun_is_given_back(records: Records, queue: Queue, redis_url: str) -> None:
    """A leaving worker requeues; the next one gets it without waiting for a heartbeat."""
    job_id = submit(records, queue)
    leaving, other = LevelConsumer(JobBroker(redis_url)), LevelConsumer(JobBroker(redis_url))
    assert take(leaving) == job_id
    leaving.requeue([leaving.taken])  # type: ignore[attr-defined]
    assert take(other, 1.5) == job_id
    for consumer in (leaving, other):
        consumer.close()


def test_a_job_is_queued_and_handed_out_once_and_at_once(records: Records, queue: Queue, redis_url: str) -> None:
    """The message is there when the record says queued; a call that is repeated, as redis-py does where an answer was
    lost, a late reader's and that for a cancelled job bring no message.
    """
    broker = JobBroker(redis_url)
    job_id = submit(records, queue)
    assert broker.holds(job_id)
    assert records.queue(job_id, job_id, b"{}", queue.message(job_id, Priority.NORMAL))
    assert not records.queue(job_id, "late", b"{ }", queue.message(job_id, Priority.NORMAL))
    cancelled = uuid4().hex
    records.create(cancelled, b"{}", asked="{}", reader=cancelled)
    records.request_cancel(cancelled)
    assert not records.queue(cancelled, cancelled, b"{}", queue.message(cancelled, Priority.NORMAL))
    consumer = LevelConsumer(broker)
    assert take(consumer) == job_id
    settle(consumer)
    assert take(consumer, 2 * LOOK_S) is None
    consumer.close()


def test_recovery_hands_out_what_has_no_message(records: Records, queue: Queue, redis_url: str) -> None:
    """A job recorded but never handed out, or acknowledged without an end, is handed out again; others are not."""
    lost = uuid4().hex
    records.create(lost, b"{}", priority=Priority.LOW)
    waiting = submit(records, queue)
    ended = submit(records, queue)
    records.request_cancel(ended)
    assert queue.recover() == []  # too young: the service may be about to hand it out
    assert queue.recover(older_than_s=-1) == [lost]
    assert queue.recover(older_than_s=-1) == []
    consumer = LevelConsumer(JobBroker(redis_url))
    assert [take(consumer), settle(consumer)][0] == waiting
    assert records.get(waiting).state is JobState.QUEUED  # acknowledged, and its worker never said how it ended
    assert queue.recover(older_than_s=-1) == [waiting]
    consumer.close()


def test_redis_away(away: str) -> None:
    """Handing out without Redis raises QueueUnavailableError within a second."""
    queue = Queue(away, Records(away))
    begun = time.monotonic()
    with pytest.raises(QueueUnavailableError):
        queue.enqueue_again(uuid4().hex, Priority.NORMAL)
    assert time.monotonic() - begun < 1
