"""Dramatiq on Redis: how a job reaches a worker.

Dramatiq keeps a message until the worker that took it has acknowledged it, and hands it to another one when that
worker stops beating. Three things differ from its Redis broker as it comes:

* Priorities. It fetches per queue and holds what it fetched, so a worker that serves several queues keeps urgent
  messages while it is busy. Here one consumer asks for the most urgent level first, and only when the worker is free.
* Waiting. It asks every few milliseconds, and every question beats the heart, a write that `appendfsync always` brings
  to the disk: hundreds a second from an idle worker, and milliseconds for every level asked in vain. Here an idle
  consumer waits for word on a channel and asks only where a message lies. A word lost costs no job, only the time to
  the next look.
* Delays. Nothing here is delayed, so the delay queue's consumer is left with the heartbeat, which goes on while the
  worker computes.

A job's message is redelivered after about HEARTBEAT_TIMEOUT_MS plus LOOK_S (Dramatiq's default is a minute).
"""

import threading
import time
from collections.abc import Iterable
from typing import Any, Final
from uuid import uuid4

import redis
from dramatiq import Message
from dramatiq.broker import Consumer, MessageProxy
from dramatiq.brokers.redis import RedisBroker, _RedisConsumer
from dramatiq.errors import ConnectionClosed

from service.jobs.connection import connect
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
    """Dramatiq's Redis broker with priorities and a blocking consumer; see the module."""

    def __init__(self, url: str, *, levels: Iterable[Priority] = tuple(Priority), retries: int = 2) -> None:
        super().__init__(  # type: ignore[no-untyped-call]
            client=connect(url, retries=retries),
            middleware=[],  # no retries, limits or results: the record says how a job ended, see service.jobs.worker
            heartbeat_timeout=HEARTBEAT_TIMEOUT_MS,
            maintenance_chance=1_000_000,  # of a million: look for dead workers with every command
        )
        self.levels = tuple(level for level in Priority if level in tuple(levels))  # most urgent first
        self.channel = f"{self.namespace}:{QUEUE}"
        self.free = threading.Event()  # here, because Dramatiq makes a new consumer after a connection error
        self.free.set()
        self.draining = threading.Event()  # set when the worker leaves: what it gave back is for others

    def submit(self, message: Message[Any], priority: Priority) -> None:
        """Put a message on a level's queue and wake the idle workers."""
        message = message.copy(options={"redis_message_id": message.message_id, "level": priority.value})
        self.do_enqueue(_queue(priority), message.message_id, message.encode())
        self.client.publish(self.channel, priority.value)

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
            return LevelConsumer(self)
        return super().consume(queue_name, prefetch, _HEARTBEAT_MS)


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
        try:
            self._forget_words()
            if not self.broker.free.wait(LOOK_S):
                return None
            if message := self._take():
                return message
            self._words.get_message(timeout=max(0.0, self._look_due - time.monotonic()))
        except (redis.ConnectionError, redis.TimeoutError) as error:
            raise ConnectionClosed(error) from None  # type: ignore[no-untyped-call]
        return None

    def _take(self) -> MessageProxy | None:
        """The most urgent message. When a look is due, ask every level: asking also returns what dead workers held."""
        levels = self.broker.waiting()
        if time.monotonic() >= self._look_due:
            levels = list(self.broker.levels)
        for level in levels:
            if found := self.broker.do_fetch(_queue(level), 1):
                self.broker.free.clear()
                return MessageProxy(Message.decode(found[0]))
        if len(levels) == len(self.broker.levels):
            self._look_due = time.monotonic() + LOOK_S
        return None

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
            getattr(self.broker, command)(
                _queue(Priority(message.options["level"])), message.options["redis_message_id"]
            )
        except (redis.ConnectionError, redis.TimeoutError) as error:
            raise ConnectionClosed(error) from None  # type: ignore[no-untyped-call]  # Dramatiq repeats this call
        except redis.RedisError:
            self.broker.free.set()  # not repeated: the message stays with this worker until it stops
            raise
        self.broker.free.set()


class Queue:
    """What the service does with the queue: hand out jobs that are recorded. Knows the actor by name, never imports it."""

    def __init__(self, url: str, records: Records) -> None:
        self._broker = JobBroker(url)
        self._records = records

    def enqueue(self, job_id: str, priority: Priority = Priority.NORMAL) -> None:
        """Hand out a job just recorded. Raises QueueUnavailableError where Redis does not answer."""
        self._send(job_id, job_id, priority)

    def enqueue_again(self, job_id: str, priority: Priority) -> None:
        """Hand out a job by a new message; a delivery of an earlier one does nothing from now on."""
        message_id = uuid4().hex
        self._records.assign(job_id, message_id)
        self._send(job_id, message_id, priority)

    def recover(self, older_than_s: float = 10.0) -> list[str]:
        """Hand out again the unfinished jobs that no message stands for; their ids.

        A job gets there when its process died between recording and handing out, or when Redis was away as it ended.
        """
        handed = []
        for job_id in self._records.unfinished():
            try:
                record = self._records.get(job_id)
                if time.time() - record.created > older_than_s and not self._holds(self._records.message_of(job_id)):
                    self.enqueue_again(job_id, record.priority)
                    handed.append(job_id)
            except UnknownJobError:
                continue  # it ended and expired while we looked
        return handed

    def close(self) -> None:
        """Close the connections."""
        self._broker.client.close()

    def _send(self, job_id: str, message_id: str, priority: Priority) -> None:
        message: Message[Any] = Message(
            queue_name=QUEUE,
            actor_name=ACTOR,
            args=(job_id, message_id),
            kwargs={},
            options={},
            message_id=message_id,
        )
        try:
            self._broker.submit(message, priority)
        except (redis.ConnectionError, redis.TimeoutError, redis.ResponseError) as error:
            raise QueueUnavailableError(f"Redis does not answer ({error}): the job was not handed out") from error

    def _holds(self, message_id: str) -> bool:
        try:
            return self._broker.holds(message_id)
        except (redis.ConnectionError, redis.TimeoutError) as error:
            raise QueueUnavailableError(f"Redis does not answer ({error})") from error


def _queue(priority: Priority) -> str:
    return f"{QUEUE}.{priority}"
