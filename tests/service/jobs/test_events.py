"""The stream of events: what happens while it is being read."""

import time
from typing import Any

import pytest

from service.jobs.connection import connect_async
from service.jobs.events import stream
from service.jobs.record import Records
from service.jobs.state import JobState


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
        (queued,) = [event async for event in stream(client, "job", "0", time.monotonic()) if event is not None]
        monkeypatch.setattr(client, "xread", read_before_the_end)
        events = [event async for event in stream(client, "job", queued.event_id, deadline) if event is not None]
    assert [event.data["state"] for event in events if event.kind == "state"] == ["running", "succeeded"]
