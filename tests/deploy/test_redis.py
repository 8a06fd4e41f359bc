"""Every Redis that we deploy is started as its file says: it asks for the password and keeps what it has accepted."""

import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
import yaml

from service.jobs.embedded import EmbeddedRedis, find_server
from service.jobs.errors import NoRedisError
from tests.deploy.known import DEPLOY, ROOT

PASSWORD = "0123456789abcdef"
KEPT = {"appendonly": "yes", "appendfsync": "always", "save": "", "maxmemory-policy": "noeviction"}


def commands() -> dict[str, str]:
    """The shell's script that starts Redis, by where it stands."""
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["redis"]
    assert compose["entrypoint"] == ["/bin/sh", "-ec"]
    manifests = list(yaml.safe_load_all((DEPLOY / "k8s/base/redis.yaml").read_text()))
    pod = next(m for m in manifests if m["kind"] == "StatefulSet")["spec"]["template"]["spec"]["containers"][0]
    assert pod["command"] == ["/bin/sh", "-ec"]
    unit = (DEPLOY / "systemd/inphase-redis.service").read_text()
    started = re.search(r"^ExecStart=/bin/bash -c '(.*)'$", unit, re.MULTILINE)
    assert started
    return {
        "compose": compose["command"][0].replace("$$", "$"),
        "kubernetes": pod["args"][0],
        "systemd": f"exec bash -c '{started[1].replace('$$', '$')}'",
    }


@contextmanager
def started(script: str, folder: Path) -> Iterator[str]:
    """The script's Redis with its paths below a folder, listening there; its URL without the password."""
    (folder / "data").mkdir(exist_ok=True)
    (folder / "bin").mkdir(exist_ok=True)
    server = folder / "bin" / "redis-server"
    server.unlink(missing_ok=True)
    server.symlink_to(find_server())
    (folder / "inphase_redis_password").write_text(f"{PASSWORD}\n")
    listen = f"port 0\nunixsocket {folder}/redis.sock"
    conf = (DEPLOY / "systemd/redis.conf").read_text().replace("bind 127.0.0.1\nport 6379", listen)
    (folder / "redis.conf").write_text(conf.replace("/var/lib/inphase-redis", f"{folder}/data"))
    script = script.replace("dir /data", f"dir {folder}/data\n{listen}").replace("/etc/inphase", str(folder))
    script = re.sub(r"/run/secrets(/inphase)?/|%d/", f"{folder}/", script)
    path = os.pathsep.join((str(folder / "bin"), os.environ["PATH"]))
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(["/bin/sh", "-ec", script], env={"PATH": path}, stdout=log, stderr=log)
    try:
        end = time.monotonic() + 10
        while not (folder / "redis.sock").exists():
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < end
            time.sleep(0.02)
        command = Path(f"/proc/{process.pid}/cmdline")
        assert not command.exists() or PASSWORD not in command.read_text()
        yield f"unix://{folder}/redis.sock"
    finally:
        process.kill()  # the hard way: what was answered must be there all the same
        process.wait()
        (folder / "redis.sock").unlink(missing_ok=True)


@pytest.mark.parametrize("name", ["compose", "kubernetes", "systemd"])
def test_it_asks_for_the_password_and_keeps_what_it_accepts(name: str, tmp_path: Path) -> None:
    """No command without the password; the durable options; a write survives a kill."""
    try:
        find_server()
    except NoRedisError as error:
        pytest.skip(str(error))
    script = commands()[name]
    with started(script, tmp_path) as url:
        with redis.Redis.from_url(url) as stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()
        with redis.Redis.from_url(url, password=PASSWORD) as client:
            found = {option: client.config_get(option)[option] for option in KEPT}
            assert found == KEPT
            client.set("accepted", "yes")
    with started(script, tmp_path) as url, redis.Redis.from_url(url, password=PASSWORD) as client:
        assert client.get("accepted") == b"yes"


def test_the_embedded_one_keeps_the_same(tmp_path: Path) -> None:
    """One promise on a laptop and on a hundred hosts."""
    try:
        server = EmbeddedRedis(tmp_path)
    except NoRedisError as error:
        pytest.skip(str(error))
    with redis.Redis.from_url(server.start()) as client:
        assert {option: client.config_get(option)[option] for option in KEPT} == KEPT
    server.stop()
