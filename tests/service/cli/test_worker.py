"""`inphase worker`: what cannot work is said at once."""

import pytest

from tests.service.cli.processes import NO_STATE


def test_worker_without_a_home_is_one_line(inphase, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    """A worker whose store is not named either."""
    monkeypatch.delenv("INPHASE_STATE_DIR")
    monkeypatch.setenv("HOME", "/proc/nowhere")
    code, _, err = inphase("worker", "--redis-url", "redis://127.0.0.1:1")
    assert code == 1
    assert NO_STATE in err


def test_worker_without_redis_says_what_to_do(inphase, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    """A worker needs a service's Redis."""
    monkeypatch.delenv("REDIS_URL", raising=False)
    code, _, err = inphase("worker")
    assert code == 1
    assert "inphase serve" in err


def test_queues_that_do_not_exist(inphase) -> None:  # type: ignore[no-untyped-def]
    """A worker for unknown priorities is refused before it starts anything, with those that exist."""
    code, _, err = inphase("worker", "--queues", "high,urgent")
    assert code == 1
    assert "--queues 'high,urgent': expected some of high, normal, low" in " ".join(err.split())
