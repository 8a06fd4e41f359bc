"""A real Redis that refuses, in each of the ways in which one does, and takes jobs again afterwards."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

WAYS = ("READONLY", "OOM", "MISCONF", "NOREPLICAS", "MASTERDOWN")


@contextmanager
def refusing(url: str, way: str) -> Iterator[None]:
    """Within the block the Redis answers writes with the error that begins with `way`; reads too with MASTERDOWN."""
    with redis.Redis.from_url(url) as admin:
        begin, end = {
            "READONLY": (_replica, _master),
            "MASTERDOWN": (_stale, _master),
            "OOM": (_set("maxmemory", 1), _set("maxmemory", 0)),
            "NOREPLICAS": (_set("min-replicas-to-write", 1), _set("min-replicas-to-write", 0)),
            "MISCONF": (_unsaved, _saved),
        }[way]
        begin(admin)
        try:
            yield
        finally:
            end(admin)


def _set(name: str, value: int) -> Callable[[redis.Redis], None]:
    def change(admin: redis.Redis) -> None:
        admin.config_set(name, value)

    return change


def _replica(admin: redis.Redis) -> None:
    admin.execute_command("REPLICAOF", "127.0.0.1", "1")


def _stale(admin: redis.Redis) -> None:
    admin.config_set("replica-serve-stale-data", "no")
    _replica(admin)


def _master(admin: redis.Redis) -> None:
    admin.execute_command("REPLICAOF", "NO", "ONE")
    admin.config_set("replica-serve-stale-data", "yes")


def _dump(admin: redis.Redis) -> Path:
    return Path(admin.config_get("dir")["dir"]) / "dump.rdb"


def _unsaved(admin: redis.Redis) -> None:
    """A snapshot fails: a folder is where its file should be."""
    _dump(admin).mkdir()
    admin.config_set("save", "3600 1000000")
    _snapshot(admin, "err")


def _saved(admin: redis.Redis) -> None:
    _dump(admin).rmdir()
    _snapshot(admin, "ok")
    admin.config_set("save", "")
    _dump(admin).unlink()


def _snapshot(admin: redis.Redis, status: str) -> None:
    admin.bgsave()
    deadline = time.monotonic() + 10
    while admin.info("persistence")["rdb_last_bgsave_status"] != status:
        assert time.monotonic() < deadline, "no snapshot was tried"
        time.sleep(0.01)
