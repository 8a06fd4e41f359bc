"""How a connection stands, with real sockets: nobody there, somebody silent, somebody else, and messages."""

import socket
import time
from collections.abc import Callable
from contextlib import closing

import pytest
import zmq

from inphase.bridges import standing
from inphase.bridges.zeromq import SocketError, Source, wait


def until(condition: Callable[[], object], source: Source, seconds: float = 20) -> None:
    """Looks at the source until the condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        wait([source], 0.02)
        source.look()


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patience of tenths of a second."""
    monkeypatch.setattr(standing, "REFUSED_S", 0.2)
    monkeypatch.setattr(standing, "SILENT_S", 0.2)


def test_nobody_there_and_nothing_said_are_told_apart() -> None:
    """First nobody listens; then somebody does and says nothing; then the messages come, in order; then he is gone."""
    told: list[str] = []
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{held.getsockname()[1]}"
    with closing(Source(address, "PULL", told.append)) as source:
        until(lambda: source.state == "cannot connect", source)
        assert told == [f"cannot connect to {address}: {told[0].split(': ', 1)[1]}"]
        assert "nothing answers there" in told[0]
        with zmq.Context() as context, context.socket(zmq.PUSH) as detector:
            detector.bind(address)
            until(lambda: len(told) == 3, source)
            assert told[1] == f"connected to {address}, no data yet"
            assert told[2].startswith(f"connected to {address}, no data for 0.2 s: is the detector armed")
            assert source.state == "no data"
            for number in range(5):
                detector.send_multipart([b"frame", bytes([number])])
            heard: list[list[bytes]] = []
            until(lambda: heard.extend(source.messages()) or len(heard) == 5, source)
            assert heard == [[b"frame", bytes([number])] for number in range(5)]
            assert source.state == "data"
            until(lambda: len(told) == 4, source)
            detector.send(b"one more")
            until(lambda: list(source.messages()), source)
            until(lambda: len(told) == 5, source)
            assert told[2] == told[3] == told[4]  # it is silent, and silent again
        until(lambda: source.state == "cannot connect", source)
    assert f"the connection to {address} is lost; trying again" in told


def test_another_server_is_not_taken_for_a_detector() -> None:
    """What answers without ZeroMQ's greeting is no connection."""
    told: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        with closing(Source(f"tcp://127.0.0.1:{server.getsockname()[1]}", "SUB", told.append)) as source:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                until(lambda: told, source)
    assert "it does not speak ZeroMQ" in told[0]


def test_what_is_no_address_is_refused() -> None:
    """Before anything is waited for."""
    with pytest.raises(SocketError, match="as in tcp://detector:31001"):
        Source("detector:31001", "PULL", print)
