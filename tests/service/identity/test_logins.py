"""Logins in Redis."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from service.identity.logins import LIFE_S, Logins
from service.jobs.embedded import EmbeddedRedis
from service.jobs.errors import NoRedisError


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """A Redis of our own."""
    server = EmbeddedRedis(tmp_path / "redis")
    try:
        yield server.start()
    except NoRedisError as error:
        pytest.skip(str(error))
    finally:
        server.stop()


def test_a_login_is_known_everywhere_for_half_a_day_and_stored_as_a_digest(url: str) -> None:
    """Another process knows the token, Redis does not, and forgets it in time."""
    here, there = Logins(url), Logins(url)
    token = here.open("a" * 64)
    assert there.key_of(token) == "a" * 64
    assert there.key_of("another") is None
    with redis.Redis.from_url(url) as client:
        (key,) = client.keys("inphase:login:*")
        assert token.encode() not in key
        assert LIFE_S - 60 < client.ttl(key) <= LIFE_S
    there.end(token)
    assert here.key_of(token) is None
    here.close()
    there.close()
