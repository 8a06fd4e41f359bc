"""`inphase workers`."""

import socket
from pathlib import Path

import pytest

from service.jobs.embedded import EmbeddedRedis
from service.jobs.errors import NoRedisError
from service.jobs.record import Records


def test_workers_are_listed_and_checked(inphase, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """All living workers by name; --here sees this host's only and fails where it has none."""
    try:
        server = EmbeddedRedis(tmp_path / "redis")
    except NoRedisError as error:
        pytest.skip(str(error))
    ask = ("workers", "--redis-url", server.start())
    try:
        assert inphase(*ask)[:2] == (0, "no worker lives\n")
        records = Records(server.url)
        records.announce("elsewhere:1")
        assert inphase(*ask)[:2] == (0, "elsewhere:1\n")
        code, _, err = inphase(*ask, "--here")
        assert code == 1
        assert "no worker of this host" in err
        records.announce(f"{socket.gethostname()}:2")
        assert inphase(*ask, "--here")[:2] == (0, f"{socket.gethostname()}:2\n")
        records.close()
    finally:
        server.stop()
    code, _, err = inphase(*ask, "--here")
    assert code == 1
    assert "Redis" in err
