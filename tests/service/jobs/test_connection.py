"""Which answers of Redis mean "not for now", told by real ones, and which Redis is refused."""

import pytest
import redis

from service.jobs.connection import connect, refusal, refuse_eviction, translated
from service.jobs.embedded import EmbeddedRedis
from service.jobs.errors import NoRedisError, QueueRefusedError, QueueUnavailableError
from service.jobs.record import Records
from tests.service.refusing import WAYS, refusing


@pytest.mark.parametrize("way", WAYS)
def test_every_refusal_is_told_by_its_word(redis_url: str, way: str) -> None:
    """A script, a plain write and a pipeline are refused by the same word; afterwards the same client writes."""
    client = connect(redis_url)
    script = client.register_script("return redis.call('SET', 'a', 'b')")

    def pipeline() -> None:
        client.pipeline(transaction=False).set("a", "b").execute()

    calls = (script, lambda: client.set("a", "b"), pipeline)
    with refusing(redis_url, way):
        for call in calls:
            with pytest.raises(QueueRefusedError, match=rf"Redis refuses: .*\((READONLY|{way})\)"), translated(client):
                call()
    for call in calls:
        call()
    client.close()


@pytest.mark.parametrize(
    "text",
    [
        "Error running script (call to f_08): @user_script:1: @user_script: 1: -OOM command not allowed",
        "OOM command not allowed when used memory > 'maxmemory'. script: 08, on @user_script:1.",
        "Command # 2 (HSET a b) of pipeline caused error: OOM command not allowed",
    ],
)
def test_the_word_is_found_wherever_it_stands(text: str) -> None:
    """Redis 6 has it inside the error of a script, Redis 7 at its beginning, redis-py puts the command before it."""
    assert refusal(redis.ResponseError(text)) == "it has no memory left (maxmemory) (OOM)"


@pytest.mark.parametrize(
    "text", ["WRONGTYPE Operation against a key", "unknown command 'OOM'", "Error running script: attempt to index nil"]
)
def test_what_is_our_own_fault_stays_one(text: str) -> None:
    """An error that will not pass is not called one that will."""
    assert refusal(redis.ResponseError(text)) is None
    with pytest.raises(redis.ResponseError, match=text[:9]), translated():
        raise redis.ResponseError(text)


def test_idle_connections_to_a_replica_are_given_up(redis_url: str) -> None:
    """The name of a Redis leads to another host after a failover: what is connected to the old one asks again."""
    records = Records(redis_url)
    with redis.Redis.from_url(redis_url) as admin:
        records.announce("w")
        before = {line["id"] for line in admin.client_list()}
        with refusing(redis_url, "READONLY"), pytest.raises(QueueRefusedError):
            records.announce("w")
        records.announce("w")
        after = {line["id"] for line in admin.client_list()}
    assert len(after - before) == 1
    records.close()


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
def test_a_redis_that_forgets_jobs_is_refused(server: EmbeddedRedis, redis_url: str, policy: str) -> None:
    """Any eviction policy but noeviction, with the line that mends it."""
    refuse_eviction(redis_url)
    with redis.Redis.from_url(redis_url) as admin:
        admin.config_set("maxmemory-policy", policy)
        try:
            with pytest.raises(NoRedisError, match=f"{policy}.*maxmemory-policy noeviction"):
                refuse_eviction(redis_url)
        finally:
            admin.config_set("maxmemory-policy", "noeviction")


def test_the_policy_of_a_redis_that_is_away_is_asked_later(away: str) -> None:
    """A service starts before its Redis does."""
    refuse_eviction(away)


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("localhost:6379", "schemes"),
        ("http://localhost", "schemes"),
        (f"unix:///{'deep/' * 30}redis.sock", "at most 107"),
        ("redis://localhost:port", "REDIS_URL"),
    ],
)
def test_a_url_that_cannot_be_used_is_said_at_once(url: str, word: str) -> None:
    """One sentence instead of an error for every call."""
    with pytest.raises(NoRedisError, match=word):
        connect(url)


def test_a_password_that_is_not_known_is_a_refusal(redis_url: str) -> None:
    """Redis answers, so it is not away: without a password, and with a wrong one."""
    with redis.Redis.from_url(redis_url) as admin:
        admin.config_set("requirepass", "secret")
        try:
            for url, word in ((redis_url, "NOAUTH"), (f"{redis_url}?password=wrong", "WRONGPASS")):
                with pytest.raises(QueueRefusedError, match=word):
                    Records(url).workers()
            assert Records(f"{redis_url}?password=secret").workers() == []
        finally:
            admin.config_set("requirepass", "")


def test_away_is_not_a_refusal(away: str) -> None:
    """Nobody answers: the two are told apart."""
    with pytest.raises(QueueUnavailableError) as caught:
        Records(away).workers()
    assert not isinstance(caught.value, QueueRefusedError)
