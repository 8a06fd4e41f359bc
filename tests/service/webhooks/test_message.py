"""What a webhook says."""

import json

from service.jobs.entry import JobRecord
from service.jobs.state import JobState, Priority
from service.webhooks.message import message


def test_a_message_says_how_a_job_ended_and_where_it_is() -> None:
    """Type, time and data, as Standard Webhooks have them; nothing of the measurement."""
    record = JobRecord(
        "f" * 32, 1, JobState.FAILED, "diverged", 1, Priority.LOW, "ada", 0.0, 1.0, 2.0, "w", False, None, "", b"{}",
        proposal="hc5001",
    )  # fmt: skip
    assert json.loads(message(record)) == {
        "type": "job.failed",
        "timestamp": "1970-01-01T00:00:02.000+00:00",
        "data": {
            "id": "f" * 32,
            "state": "failed",
            "reason": "diverged",
            "owner": "ada",
            "proposal": "hc5001",
            "series": None,
            "created": "1970-01-01T00:00:00.000+00:00",
            "finished": "1970-01-01T00:00:02.000+00:00",
            "link": f"/v1/jobs/{'f' * 32}",
        },
    }
