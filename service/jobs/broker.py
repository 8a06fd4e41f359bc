"""Dramatiq on Redis: how a job reaches a worker.

Dramatiq keeps a message until the worker that took it has acknowledged it, and hands it to another one when that
worker stops beating. These things differ from its Redis broker as it comes:

* Priorities. It fetches per queue and holds what it fetched, so a worker that serves several queues keeps urgent
  messages while it is busy. Here one consumer asks for the most urgent level first, and only when the worker is free.
* Waiting. It asks every few milliseconds, and every question beats the heart, a write that `appendfsync always` brings
  to the disk: hundreds a second from an idle worker, and milliseconds for every level asked in vain. Here an idle
  consumer waits for word on a channel and asks only where a message lies. A word lost costs no job, only the time to
  the next look.
* Lost answers. A message whose fetch was not answered stays with its worker until that stops. Here a worker gives back
  what it holds and does not know of.
* Order. It puts the messages of a dead worker behind all others. Here they go to the head, as does what a worker gives
  back: the job has waited its turn.
* Clocks. It compares the clocks of hosts, and a clock that is two seconds slow makes a dead worker. Here heartbeats
  bear the time of the Redis server.
* Delays. Nothing here is delayed, so the delay queue's consumer is left with the heartbeat, which goes on while the
  worker computes.

A job's message is redelivered after about HEARTBEAT_TIMEOUT_MS plus LOOK_S (Dramatiq's default is a minute).
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, cast
from uuid import uuid4

from dramatiq import Message
from dramatiq.broker import Consumer, MessageProxy
from dramatiq.brokers.redis import RedisBroker, _RedisConsumer
from dramatiq.errors import ConnectionClosed

from service.jobs.connection import connect, translated
from service.jobs.entry import QueuedMessage
from service.jobs.errors import QueueUnavailableError, UnknownJobError
from service.jobs.record import Records
from service.jobs.state import Priority

QUEUE: Final = "refine"
ACTOR: Final = "refine"
HEARTBEAT_TIMEOUT_MS: Final = 2000
LOOK_S: Final = 0.5  # an idle worker looks at least this often, also for messages of workers that died
_HEARTBEAT_MS: Final = 500
_DRAIN_S: Final = 0.05


class JobBroker(RedisBroker):
    """Dramatiq's Redis broker with priorities and a blocking consumer; see the module.

    slots: how many messages may be worked on at a time.
    """

    def __init__(
        self, url: str, *, levels: Iterable[Priority] = tuple(Priority), slots: int = 1, retries: int = 2
    ) -> None:
        super().__init__(  # type: ignore[no-untyped-call]
            client=connect(url, retries=retries),
            middleware=[],  # no retries, limits or results: the record says how a job ended, see service.jobs.worker
            heartbeat_timeout=HEARTBEAT_TIMEOUT_MS,
            maintenance_chance=0,  # `reclaim` does it
        )
        self.levels = tuple(level for level in Priority if level in tuple(levels))  # most urgent first
        self.channel = f"{self.namespace}:{QUEUE}"
        self.free = threading.Semaphore(slots)  # here, because Dramatiq makes a new consumer after a connection error
        self.in_hand: set[str] = set()  # ids of the messages that are worked on
        self.draining = threading.Event()  # set when the worker leaves: what it gave back is for others
        self._put_first = self.client.register_script(_PUT_FIRST)
        self._reclaim = self.client.register_script(_RECLAIM)

    def message(self, job_id: str, priority: Priority) -> QueuedMessage:
        """The first message of a job, for `Records.queue`, which puts it at the end of its level's queue."""
        queue = f"{self.namespace}:{_queue(priority)}"
        return QueuedMessage(queue, _encoded(job_id, job_id, priority), self.channel, priority.value)

    def put_first(self, job_id: str, message_id: str, priority: Priority) -> None:
        """Put another message of a job at the head of a level's queue and wake the idle workers."""
        args: tuple[str | bytes, ...] = (_queue(priority), message_id, _encoded(job_id, message_id, priority))
        self._put_first(keys=[self.namespace], args=(*args, self.channel, priority.value))

    def reclaim(self) -> int:
        """Put what dead workers held, and what this one holds unknowingly, back to the head of its queue; how many."""
        queues = ",".join(_queue(priority) for priority in Priority)
        args = [self.heartbeat_timeout, queues, self.broker_id, *self.in_hand]
        return cast(int, self._reclaim(keys=[self.namespace], args=args))

    def _dispatch(self, command: str) -> Callable[..., Any]:
        """As Dramatiq's, with the server's time for the host's."""

        def dispatch(queue_name: str, *args: Any) -> Any:
            seconds, microseconds = self.client.time()
            now_ms = seconds * 1000 + microseconds // 1000
            return self.scripts["dispatch"](
                keys=[self.namespace],
                args=[
                    command, now_ms, queue_name, self.broker_id, self.heartbeat_timeout, self.dead_message_ttl, 0,
                    self._max_unpack_size(), *args,  # type: ignore[no-untyped-call]
                ],
            )  # fmt: skip

        return dispatch

    def waiting(self) -> list[Priority]:
        """The levels that hold messages, most urgent first. Reads only."""
        pipe = self.client.pipeline(transaction=False)
        for level in self.levels:
            pipe.llen(f"{self.namespace}:{_queue(level)}")
        return [level for level, length in zip(self.levels, pipe.execute(), strict=True) if length]

    def holds(self, message_id: str) -> bool:
        """Whether a message waits or is being worked on."""
        return any(
            self.client.hexists(f"{self.namespace}:{_queue(priority)}.msgs", message_id) for priority in Priority
        )

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> Consumer:
        """The consumer of the levels; for the delay queue, which stays empty, one that beats the heart."""
        if queue_name == QUEUE:
            with self.lost():
                return LevelConsumer(self)
        return Heart(self, queue_name, prefetch, _HEARTBEAT_MS)  # type: ignore[no-untyped-call]

    @contextmanager
    def lost(self) -> Iterator[None]:
        """Let Dramatiq take a Redis that is away, or refuses, for a lost connection:
        it tries again until all is well.
        """
        try:
            with translated(self.client):
                yield
        except QueueUnavailableError as error:
            raise ConnectionClosed(error) from None  # type: ignore[no-untyped-call]


class Heart(_RedisConsumer):
    """Beats the heart, and takes nothing: its queue stays empty."""

    broker: JobBroker

    def __next__(self) -> MessageProxy | None:
        """None after a while."""
        with self.broker.lost():
            return cast(MessageProxy | None, super().__next__())  # type: ignore[no-untyped-call]


class LevelConsumer(_RedisConsumer):
    """Takes one message at a time from the most urgent level that has one; while it is worked on, takes none."""

    broker: JobBroker

    def __init__(self, broker: JobBroker) -> None:
        super().__init__(broker, QUEUE, 1, int(LOOK_S * 1000))  # type: ignore[no-untyped-call]
        self._look_due = 0.0
        self._words = broker.client.pubsub(ignore_subscribe_messages=True)
        self._words.subscribe(broker.channel)

    def __next__(self) -> MessageProxy | None:
        """A message, or None after a while."""
        if self.broker.draining.is_set():
            time.sleep(_DRAIN_S)
            return None
        with self.broker.lost():
            self._forget_words()
            if message := self._take():
                return message
            self._words.get_message(timeout=max(0.0, self._look_due - time.monotonic()))
        return None

    def _take(self) -> MessageProxy | None:
        """The most urgent message, where the worker is free."""
        if not self.broker.free.acquire(timeout=LOOK_S):
            return None
        message = None
        try:
            if time.monotonic() >= self._look_due:
                self.broker.reclaim()
                self._look_due = time.monotonic() + LOOK_S
            for level in self.broker.waiting():
                if found := self.broker.do_fetch(_queue(level), 1):
                    message = MessageProxy(Message.decode(found[0]))
                    self.broker.in_hand.add(message.message_id)
                    break
        finally:
            if message is None:
                self.broker.free.release()
        return message

    def _forget_words(self) -> None:
        """Empty the channel's backlog before looking, so that what arrives from now on ends the wait."""
        while self._words.get_message(timeout=0.0) is not None:
            continue

    def close(self) -> None:
        """Close the channel."""
        self._words.close()

    def ack(self, message: MessageProxy) -> None:
        """The message is dealt with."""
        self._settle("do_ack", message)

    def nack(self, message: MessageProxy) -> None:
        """The message cannot be dealt with: Dramatiq keeps it apart for a week."""
        self._settle("do_nack", message)

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        """Give back what was taken and not begun."""
        for message in messages:
            self._settle("do_requeue", message)

    def _settle(self, command: str, message: MessageProxy) -> None:
        try:
            with self.broker.lost():
                getattr(self.broker, command)(_queue(Priority(message.options["level"])), message.message_id)
        except ConnectionClosed:
            raise  # Dramatiq repeats this call
        except BaseException:
            self._let_go(message)  # not repeated: the next look gives it back
            raise
        self._let_go(message)

    def _let_go(self, message: MessageProxy) -> None:
        self.broker.in_hand.discard(message.message_id)
        self.broker.free.release()


class Queue:
    """What the service does with the queue: hand out jobs that are recorded.
    Knows the actor by name, never imports it.
    """

    def __init__(self, url: str, records: Records) -> None:
        self._broker = JobBroker(url)
        self._records = records

    def message(self, job_id: str, priority: Priority) -> QueuedMessage:
        """What hands out a job when its record says that it is queued: `Records.queue` writes both at once."""
        return self._broker.message(job_id, priority)

    def enqueue_again(self, job_id: str, priority: Priority) -> None:
        """Hand out a job by a new message, before all others of its priority: it has waited its turn.

        A delivery of an earlier message does nothing from now on.
        """
        message_id = uuid4().hex
        self._records.assign(job_id, message_id)
        with translated(self._broker.client):
            self._broker.put_first(job_id, message_id, priority)

    def recover(self, older_than_s: float = 10.0) -> list[str]:
        """Hand out again the unfinished jobs that no message stands for; their ids.

        A job gets there when Redis was away as its worker ended, or has lost its last writes.
        """
        handed = []
        now = self._records.now()
        for job_id in self._records.unfinished():
            try:
                record = self._records.get(job_id)
                if now - record.created > older_than_s and not self._holds(self._records.message_of(job_id)):
                    self.enqueue_again(job_id, record.priority)
                    handed.append(job_id)
            except UnknownJobError:
                continue  # it ended and expired while we looked
        return handed

    def close(self) -> None:
        """Close the connections."""
        self._broker.client.close()

    def _holds(self, message_id: str) -> bool:
        with translated(self._broker.client):
            return self._broker.holds(message_id)


def _queue(priority: Priority) -> str:
    return f"{QUEUE}.{priority}"


def _encoded(job_id: str, message_id: str, priority: Priority) -> bytes:
    options = {"redis_message_id": message_id, "level": priority.value}
    message: Message[Any] = Message(QUEUE, ACTOR, (job_id, message_id), {}, options, message_id)
    return message.encode()


# Both as Dramatiq's dispatch.lua does it (the keys are described there), but with LPUSH: it takes from the left.
_PUT_FIRST: Final = """
local queue = KEYS[1] .. ':' .. ARGV[1]
redis.call('HSET', queue .. '.msgs', ARGV[2], ARGV[3])
redis.call('LPUSH', queue, ARGV[2])
redis.call('PUBLISH', ARGV[4], ARGV[5])
"""

_RECLAIM: Final = """
local namespace, timeout, own, found = KEYS[1], ARGV[1], ARGV[3], 0
local heartbeats = namespace .. ':__heartbeats__'
local in_hand = {}
for i = 4, #ARGV do in_hand[ARGV[i]] = true end

local function give_back(worker)
    for name in string.gmatch(ARGV[2], '[^,]+') do
        local queue, held = namespace .. ':' .. name, namespace .. ':__acks__.' .. worker .. '.' .. name
        for _, message in ipairs(redis.call('SMEMBERS', held)) do
            if worker ~= own or not in_hand[message] then
                redis.call('SREM', held, message)
                if redis.call('HEXISTS', queue .. '.msgs', message) == 1 then
                    redis.call('LPUSH', queue, message)
                    found = found + 1
                end
            end
        end
    end
end

local time = redis.call('TIME')
local oldest = string.format('%d', time[1] * 1000 + math.floor(time[2] / 1000) - timeout)
for _, dead in ipairs(redis.call('ZRANGEBYSCORE', heartbeats, '-inf', oldest)) do
    if dead ~= own then
        give_back(dead)
        redis.call('ZREM', heartbeats, dead)
    end
end
give_back(own)
return found
"""
