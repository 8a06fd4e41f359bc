"""How a subscription stands, with a real server: nobody there, nothing said, images, and an IOC that starts again."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing

import numpy as np
import pytest

from inphase.bridges import pvaccess, standing
from inphase.bridges.pva import decode
from inphase.bridges.pvaccess import Pause, Source, Update
from tests.inphase.bridges.ioc import NAME, Ioc, image

FRAME = np.arange(12, dtype=np.uint16).reshape(3, 4)


class Heard(list[Update | Pause]):
    """What has come over a source."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.source = source

    def until(self, condition: Callable[[], object], seconds: float = 60) -> None:
        """Takes what comes until the condition holds."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, self
            self.source.wait(0.02)
            self += self.source.messages()

    def ids(self) -> list[int]:
        """Of the images."""
        return [int(one.value.uniqueId) for one in self if isinstance(one, Update)]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patience of tenths of a second."""
    monkeypatch.setattr(standing, "REFUSED_S", 0.2)
    monkeypatch.setattr(standing, "SILENT_S", 0.2)


@pytest.fixture
def ioc() -> Iterator[Ioc]:
    """One that has measured nothing yet."""
    with Ioc() as ioc:
        yield ioc


def test_nobody_there_and_nothing_said_are_told_apart(ioc: Ioc) -> None:
    """Of a name that nobody serves, and of one that is served without images."""
    told: list[str] = []
    with closing(Source("13SIM1:Pva2:Image", told.append, 60, ioc.conf)) as stranger:
        Heard(stranger).until(lambda: stranger.state == "cannot connect")
    assert told[0].startswith("cannot connect to 13SIM1:Pva2:Image: nobody serves a PV of this name; is the IOC")
    with closing(Source(NAME, told.append, 60, ioc.conf)) as source:
        Heard(source).until(lambda: len(told) == 3)
        assert source.state == "no data"
    assert told[1] == f"connected to {NAME}, no data yet"
    assert told[2].startswith(f"connected to {NAME}, no data for 0.2 s: is the detector acquiring")


def test_images_come_in_order_and_an_ioc_that_is_started_again_is_found(ioc: Ioc) -> None:
    """Every one of a burst, each as it was; then a pause, once; the new IOC begins with nothing, and goes on."""
    told: list[str] = []
    with closing(Source(NAME, told.append, 0.3, ioc.conf)) as source:
        heard = Heard(source)
        heard.until(lambda: source.state == "no data")
        for number in range(1, 51):
            ioc.post(image(FRAME + number, number, 100 + number))
        heard.until(lambda: len(heard) == 52)
        assert isinstance(heard.pop(), Pause)
        assert heard.ids() == list(range(51))
        assert [one.standing for one in heard if isinstance(one, Update)] == [True, *[False] * 50]
        for number, one in enumerate(heard[1:], 1):
            assert isinstance(one, Update)
            found = decode(one.value)
            assert found is not None
            np.testing.assert_array_equal(found.array, FRAME + number)
        heard.clear()
        ioc.stop()
        heard.until(lambda: f"the connection to {NAME} is lost; trying again" in told)
        with Ioc(ioc.conf) as second:
            heard.until(lambda: source.state == "no data")
            second.post(image(FRAME, 1, 200))
            heard.until(lambda: source.state == "data")
        assert heard.ids() == [0, 1]


def test_a_consumer_that_is_late_is_waited_for(ioc: Ioc, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than a bound waits in this process, and it goes on where it was; closing does not wait either."""
    monkeypatch.setattr(pvaccess, "_WAITING_BYTES", 3 * FRAME.nbytes)
    with closing(Source(NAME, print, 60, ioc.conf)) as source:
        heard = Heard(source)
        heard.until(lambda: source.state == "no data")
        for number in range(1, 9):
            ioc.post(image(FRAME, number))
        end = time.monotonic() + 20
        while len(source._events) < 3:
            assert time.monotonic() < end
            time.sleep(0.01)
        time.sleep(0.05)
        assert len(source._events) == 3
        heard.until(lambda: len(heard) == 9)
        assert heard.ids() == list(range(9))
        for number in range(9, 17):
            ioc.post(image(FRAME, number))
