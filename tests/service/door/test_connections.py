"""Connections of a real server: those that owe a request are ended, and never keep others out."""

import contextlib
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.door.connections import most_connections
from tests.service.conftest import KEY

HALF = b"GET /healthz HTTP/1.1\r\nHost: inphase\r\nX-Slow: "
WHOLE = b"GET /healthz HTTP/1.1\r\nHost: inphase\r\n\r\n"
BIND = "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128)); sys.argv = sys.argv[:1] + "


@pytest.fixture(scope="module")
def served(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """Port and log of a service without a queue that may have 128 descriptors; a head may take 2 s."""
    folder = tmp_path_factory.mktemp("served")
    log = folder / "log"
    code = f"{BIND}['serve', '--no-queue', '--port', '0']; from service import cli; cli.main()"
    settings = {
        "INPHASE_API_KEY": KEY, "INPHASE_MODELS_DIR": str(models_dir), "INPHASE_STATE_DIR": str(folder / "state"),
        "INPHASE_THREADS": "1", "INPHASE_BOUNDS__HEAD_S": "2", "PYTHONPATH": str(Path(__file__).parents[2]),
        "PATH": "/usr/bin:/bin", "PYTHONUNBUFFERED": "1",
    }  # fmt: skip
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-c", code], env=settings, stdout=subprocess.PIPE, stderr=stream, text=True
        )
    assert process.stdout is not None
    line = process.stdout.readline()
    try:
        yield int(line.partition("127.0.0.1:")[2].partition(" ")[0]), log
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()


@contextlib.contextmanager
def halves(port: int, count: int) -> Iterator[list[socket.socket]]:
    """So many connections, each with half a head."""
    with contextlib.ExitStack() as held:
        found = []
        for _ in range(count):
            one = held.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
            with contextlib.suppress(OSError):
                one.sendall(HALF)
            found.append(one)
        yield found


def ask(port: int) -> tuple[bytes, float]:
    """The first line of an answer to /healthz, and how long it took."""
    begun = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=5) as one:
        one.sendall(WHOLE)
        return one.recv(4096).partition(b"\r\n")[0], time.monotonic() - begun


def test_two_hundred_unfinished_heads_keep_nobody_out(served: tuple[int, Path]) -> None:
    """With 128 descriptors /healthz goes on, and the log has a line or two about it."""
    port, log = served
    before = log.stat().st_size
    with halves(port, 200):
        for _ in range(20):
            line, seconds = ask(port)
            assert line == b"HTTP/1.1 200 OK"
            assert seconds < 1.0  # a stalled accept loop would take its second of rest
            time.sleep(0.02)
    assert log.stat().st_size - before < 2000


def test_a_head_that_does_not_come_ends_its_connection(served: tuple[int, Path]) -> None:
    """408 after the time that the head has, whatever trickles in; a connection that says nothing is closed."""
    port, _ = served
    with halves(port, 1) as (slow,), socket.create_connection(("127.0.0.1", port), timeout=5) as silent:
        begun = time.monotonic()
        slow.settimeout(0.2)
        answer = None
        while answer is None and time.monotonic() < begun + 5:
            slow.sendall(b"x")
            with contextlib.suppress(TimeoutError):
                answer = slow.recv(4096)
        assert answer is not None
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert 1.5 < time.monotonic() - begun < 3.5
        assert silent.recv(1) == b""


def test_an_answer_whose_body_was_not_sent_holds_no_connection(served: tuple[int, Path]) -> None:
    """Who goes on to trickle the body of a request that was answered is not waited for."""
    port, _ = served
    with socket.create_connection(("127.0.0.1", port), timeout=0.2) as one:
        one.sendall(b"POST /v1/reconstructions HTTP/1.1\r\nHost: inphase\r\nContent-Length: 100000\r\n\r\n")
        begun = time.monotonic()
        with pytest.raises((ConnectionError, EOFError)):  # noqa: PT012
            while time.monotonic() < begun + 6:
                one.sendall(b"x")
                with contextlib.suppress(TimeoutError):
                    if one.recv(4096) == b"":
                        raise EOFError
        assert time.monotonic() - begun < 4


def test_a_connection_may_be_used_again(served: tuple[int, Path]) -> None:
    """The clock of a head begins anew with every request."""
    port, _ = served
    with socket.create_connection(("127.0.0.1", port), timeout=5) as one:
        for _ in range(4):
            one.sendall(WHOLE)
            answer = b""
            while b'{"status":"ok"}' not in answer:
                answer += one.recv(4096)
            assert answer.startswith(b"HTTP/1.1 200 OK")
            time.sleep(0.7)


def test_half_of_the_descriptors_are_for_connections() -> None:
    """However many are asked for."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert most_connections(10) == 10
    assert most_connections(soft) == soft // 2
