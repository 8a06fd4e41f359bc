"""The Redis that the service starts: found, private, durable, gone with its parent."""

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import redis

from service.jobs import embedded
from service.jobs.embedded import EmbeddedRedis, find_server, url_of
from service.jobs.errors import NoRedisError

PARENT = """
import sys, time
from pathlib import Path
from service.jobs.embedded import EmbeddedRedis
print(EmbeddedRedis(Path(sys.argv[1])).start(), flush=True)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def _server() -> None:
    try:
        find_server()
    except NoRedisError as error:
        pytest.skip(str(error))


def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Wait for something that must become true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def server_pid(url: str) -> int:
    """Process id of the server itself."""
    with redis.Redis.from_url(url) as client:
        return int(client.info("server")["process_id"])


def test_private_and_only_on_a_socket(tmp_path: Path) -> None:
    """The state folder and the socket are for their owner alone, and no TCP port is open; odd folder names work."""
    state = tmp_path / "it's ?#%20"  # short: a socket's address has 107 bytes
    server = EmbeddedRedis(state)
    url = server.start()
    try:
        assert stat.S_IMODE(state.stat().st_mode) == 0o700
        assert stat.S_IMODE((state / "redis.sock").stat().st_mode) == 0o700
        assert not [
            item for item in psutil.Process(server_pid(url)).net_connections() if item.laddr and item.status != "NONE"
        ]
        assert url_of(state) == url
    finally:
        server.stop()
    assert url_of(state) is None
    assert not server.alive()


def test_long_paths(tmp_path: Path) -> None:
    """A state folder deeper than a socket address can be (107 bytes) works;
    the socket's own folder goes with the server.
    """
    server = EmbeddedRedis(tmp_path / ("deep" * 20) / ("deeper" * 20))
    url = server.start()
    folder = Path(url.removeprefix("unix://")).parent
    try:
        assert len(url) < 107
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert server.alive()
    finally:
        server.stop()
    assert not folder.exists()


@pytest.mark.parametrize("ending", ["stop", "kill"])
def test_what_was_accepted_survives(tmp_path: Path, ending: str) -> None:
    """A write that was answered is there after a restart, also when the server was killed the moment after."""
    server = EmbeddedRedis(tmp_path)
    url = server.start()
    with redis.Redis.from_url(url) as client:
        client.set("accepted", "yes")
        if ending == "kill":
            os.kill(server_pid(url), signal.SIGKILL)
    server.stop()
    assert server.start() == url
    with redis.Redis.from_url(url) as client:
        assert client.get("accepted") == b"yes"
    server.stop()


def test_comes_back_when_killed(tmp_path: Path) -> None:
    """A server that dies while the service lives is started again at the same address, with everything accepted."""
    server = EmbeddedRedis(tmp_path)
    url = server.start()
    with redis.Redis.from_url(url) as client:
        client.set("accepted", "yes")
    first = server_pid(url)
    os.kill(first, signal.SIGKILL)
    until(lambda: not server.alive())
    until(server.alive)
    assert server_pid(url) != first
    with redis.Redis.from_url(url) as client:
        assert client.get("accepted") == b"yes"
    server.stop()
    assert not server.alive()


def test_goes_with_its_parent(tmp_path: Path) -> None:
    """When the service is killed, its Redis finishes in order within seconds, and the next service finds everything."""
    parent = subprocess.Popen([sys.executable, "-c", PARENT, tmp_path], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent.stdout:
        url = parent.stdout.readline().strip()
        pid = server_pid(url)
        with redis.Redis.from_url(url) as client:
            client.set("accepted", "yes")
        parent.kill()
        parent.wait(10)
    second = EmbeddedRedis(tmp_path)
    assert second.start() == url  # waits for the first to finish; its socket and url files are stale
    until(lambda: not psutil.pid_exists(pid))
    assert "ready to exit" in (tmp_path / "redis.log").read_text()
    with redis.Redis.from_url(url) as client:
        assert client.get("accepted") == b"yes"
    second.stop()


def test_one_service_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second service in the same folder is refused with what to do, and the first goes on."""
    first = EmbeddedRedis(tmp_path)
    first.start()
    monkeypatch.setattr(embedded, "_LOCK_S", 0.2)
    with pytest.raises(NoRedisError, match="in use by another service"):
        EmbeddedRedis(tmp_path).start()
    assert first.alive()
    assert url_of(tmp_path) == first.url
    first.stop()


def test_no_redis_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no server can be had the error names every way to get one."""
    monkeypatch.setattr("shutil.which", lambda _: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(NoRedisError, match=r"apt install redis-server.*pip install.*REDIS_URL"):
        find_server()


def test_a_server_that_does_not_start_shows_its_log(tmp_path: Path) -> None:
    """The error carries the end of the server's log, and nothing is left running or locked."""
    broken = tmp_path / "broken-server"
    broken.write_text("#!/bin/sh\necho cannot allocate everything\nexit 3\n")
    broken.chmod(0o755)
    with pytest.raises(NoRedisError, match="cannot allocate everything"):
        EmbeddedRedis(tmp_path / "state", broken).start()
    server = EmbeddedRedis(tmp_path / "state")
    server.start()
    server.stop()


def test_path_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server on PATH is preferred, redis before valkey."""
    monkeypatch.setattr("shutil.which", lambda name: {"valkey-server": "/usr/bin/valkey-server"}.get(name))
    assert find_server() == Path("/usr/bin/valkey-server")
