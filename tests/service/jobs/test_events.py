"""The stream of events: what happens while it is being read."""

import asyncio
import threading
import time
from typing import Any

import pytest

from service.jobs.connection import connect_async
from service.jobs.events import stream, unknown
from service.jobs.record import Records
from service.jobs.scripts import job_key
from service.jobs.state import JobState, RecordedProgress


async def test_a_job_that_ends_just_after_a_read_has_its_last_events_read(
    records: Records, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Claimed and ended between a read that brought nothing and the next look at the state: both events still come."""
    records.create("job", b"{}")
    async with connect_async(redis_url) as client:
        read = client.xread

        async def read_before_the_end(*args: Any, **options: Any) -> Any:
            answer = await read(*args, **options)
            if not answer:
                attempt = records.claim("job", records.message_of("job"), "w")
                assert attempt is not None
                assert records.finish("job", attempt, JobState.SUCCEEDED, document=b"{}", result="r")
            return answer

        deadline = time.monotonic() + 5
        (queued,) = [
            event
            async for event in stream(client, job_key("job"), "0", time.monotonic(), lost=unknown("job"))
            if event is not None
        ]
        monkeypatch.setattr(client, "xread", read_before_the_end)
        events = [
            event
            async for event in stream(client, job_key("job"), queued.event_id, deadline, lost=unknown("job"))
            if event is not None
        ]
    assert [event.data["state"] for event in events if event.kind == "state"] == ["running", "succeeded"]


@pytest.mark.parametrize("patience", [0.3, 1.0])
async def test_a_wait_ends_in_time_however_much_happens(records: Records, patience: float) -> None:
    """A job that tells of its progress without a pause never leaves a moment in which nothing came."""
    records.create("job", b"{}")
    attempt = records.claim("job", records.message_of("job"), "w")
    assert attempt is not None
    over = threading.Event()

    def tell() -> None:
        iteration = 0
        while not over.is_set():
            iteration += 1
            records.progress("job", attempt, RecordedProgress(iteration, 3000))

    telling = [threading.Thread(target=tell, daemon=True) for _ in range(2)]
    for thread in telling:
        thread.start()
    try:
        begun = time.monotonic()
        async with asyncio.timeout(20):
            record = await records.wait("job", patience)
        waited = time.monotonic() - begun
    finally:
        over.set()
        for thread in telling:
            thread.join()
    assert record.state is JobState.RUNNING
    assert patience <= waited < patience + 1.0
