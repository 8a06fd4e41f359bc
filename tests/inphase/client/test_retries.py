"""When a call is made again."""

import pytest

from inphase.client.errors import (
    ConflictError,
    FaultError,
    LateError,
    OverloadError,
    RequestError,
    ServiceError,
    UnreachableError,
)
from inphase.client.retries import Retries

_BUSY = "urn:inphase:error:busy"


@pytest.mark.parametrize(
    ("failed", "once", "again"),
    [
        (UnreachableError("", sent=False), True, True),
        (UnreachableError("", sent=True), False, True),
        (LateError(""), False, False),
        (OverloadError("", 503, urn=_BUSY), True, True),
        (OverloadError("", 503), False, True),
        (FaultError("", 502), False, True),
        (FaultError("", 504), False, True),
        (FaultError("", 500, urn="urn:inphase:error:internal"), False, False),
        (RequestError("", 422), False, False),
        (ConflictError("", 409), False, False),
        (ServiceError(""), False, False),
    ],
)
def test_a_call_is_repeated_only_where_that_is_safe(failed: ServiceError, once: bool, again: bool) -> None:
    """once: of a call that must not come twice; again: of one that may."""
    assert (Retries().pause(failed, 1, repeatable=False) is not None) is once
    assert (Retries().pause(failed, 1, repeatable=True) is not None) is again


def test_the_service_says_how_long() -> None:
    """Retry-After counts, unless it is longer than a caller waits."""
    policy = Retries(longest_s=30.0)
    assert policy.pause(OverloadError("", 503, urn=_BUSY, retry_after=5.0), 1, repeatable=False) == 5.0
    assert policy.pause(OverloadError("", 429, urn=_BUSY, retry_after=30.0), 2, repeatable=False) == 30.0
    assert policy.pause(OverloadError("", 507, urn=_BUSY, retry_after=60.0), 1, repeatable=True) is None


def test_pauses_grow_and_end() -> None:
    """Twice as long each time, give or take a half, so that many callers do not come back together."""
    policy = Retries(attempts=4, first_s=1.0)
    failed = UnreachableError("", sent=False)
    for attempt, middle in ((1, 1.0), (2, 2.0), (3, 4.0)):
        pauses = {policy.pause(failed, attempt, repeatable=True) for _ in range(20)}
        assert len(pauses) > 1
        assert all(pause is not None and 0.5 * middle <= pause <= 1.5 * middle for pause in pauses)
    assert policy.pause(failed, 4, repeatable=True) is None
