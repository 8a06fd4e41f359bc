"""Encoder readings of PandA boxes."""

from pathlib import Path

import numpy as np
import pytest

from inphase.bridges.panda import decode
from inphase.bridges.stream import Begun, Ended, Readings, StreamError
from tests.inphase.bridges.recordings import messages


def test_the_recorded_energies_are_those_that_were_measured(real_data: Path) -> None:
    """1500 triggers of a scan from 8879 eV in steps of 0.2 eV, each reading once and in its place."""
    begun, *data, ended = [decode(parts) for parts in messages(real_data, "pcap-zmq.cbors")]
    assert (begun, ended) == (Begun(), Ended())
    found: dict[int, float] = {}
    triggers: dict[int, float] = {}
    for message in data:
        assert isinstance(message, Readings)
        assert not found.keys() & set(range(message.first, message.first + len(message.values["energy"])))
        found |= dict(enumerate(message.values["energy"].tolist(), message.first))
        triggers |= dict(enumerate(message.values["triggernumber"].tolist(), message.first))
    assert sorted(found) == list(range(1500))
    assert all(triggers[number] == number + 1 for number in triggers)  # which the box itself has counted
    energies = np.array([found[number] for number in range(1500)])
    assert np.abs(energies - (8879.1 + 0.2 * np.arange(1500))).max() < 0.01


def test_single_readings_of_another_box_are_understood(real_data: Path) -> None:
    """An electrometer speaks the same dialect, a number for each field."""
    _, *data, _ = [decode(parts) for parts in messages(real_data, "albaem-dump.cbors")]
    assert [message.first for message in data if isinstance(message, Readings)] == [0, 1, 2, 3]
    assert all(isinstance(message, Readings) and message.values["channel1"].shape == (1,) for message in data)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"{",
        b"[]",
        b'{"message_type": "hello"}',
        b'{"message_type": "data", "message_id": 2}',
        b'{"message_type": "data", "frame_number": 0, "a": [1, 2], "b": [1]}',
        b'{"message_type": "data", "frame_number": 0, "a": [[1], 2]}',
    ],
)
def test_strange_messages_are_refused(message: bytes) -> None:
    """In words."""
    with pytest.raises(StreamError, match="PandA"):
        decode([message])
    with pytest.raises(StreamError, match="PandA"):
        decode([])
