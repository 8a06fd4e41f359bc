"""From messages to live scans, against a service that keeps what it is sent."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from inphase.bridges import feed as feeds
from inphase.bridges.feed import Axis, Feed, Stage
from inphase.bridges.stream import Begun, End, Ended, Frame, Header, Message, Readings, StreamError
from inphase.client import Client
from inphase.errors import DataError
from inphase.live.batch import POSITION

FRAMES = np.random.default_rng(0).poisson(5, (6, 12, 16)).astype(np.uint16)
HEADER = Header("7", (12, 16), 6, None, 65000)


class Service:
    """Live scans, as the service keeps them."""

    def __init__(self) -> None:
        self.templates: list[dict[str, Any]] = []
        self.frames: list[dict[int, NDArray[Any]]] = []
        self.positions: list[dict[int, tuple[float, float]]] = []
        self.ended: list[tuple[int, str]] = []
        self.answer: httpx.Response | None = None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """An answer."""
        _, _, kind, *rest = request.url.path.split("/")
        assert kind == "scans"
        if not rest:
            template = dict(np.load(io.BytesIO(request.read()), allow_pickle=False))
            self.templates.append(template | {"asked": dict(request.url.params)})
            self.frames.append({})
            self.positions.append({})
            return httpx.Response(201, json={"id": str(len(self.frames) - 1)})
        number = int(rest[0])
        if rest[1] == "finish":
            self.ended.append((number, request.url.params["reason"]))
        elif self.answer is not None:
            return self.answer
        elif rest[1] == "positions":
            told = {place: (row, column) for place, row, column in np.frombuffer(request.read(), POSITION).tolist()}
            assert not told.keys() & self.positions[number].keys()
            self.positions[number] |= told
            wrong = [{"place": place, "reason": f"place {place}: none"} for place in told if place > 5]
            return httpx.Response(200, json={"out_of_range": wrong})
        else:
            like = self.templates[number]["data"][0]
            kind_of = np.dtype([("place", "<u8"), ("frame", like.dtype, like.shape)])
            for record in np.frombuffer(request.read(), kind_of):
                self.frames[number][int(record["place"])] = record["frame"]
        return httpx.Response(200, content=json.dumps({"final": None}))


@pytest.fixture
def service() -> Service:
    """One that is asked by nobody yet."""
    return Service()


@pytest.fixture
def client(service: Service) -> Iterator[Client]:
    """A client of it."""
    with Client("http://inphase", transport=httpx.MockTransport(service)) as client:
        yield client


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Late positions are not waited for."""
    monkeypatch.setattr(feeds, "LATE_S", 0.0)


def sent(feed: Feed, *messages: Message) -> None:
    """Messages, one after the other."""
    for message in messages:
        feed.take(message)


def images(series: str = "7", numbers: tuple[int, ...] = (0, 1, 2, 3, 4, 5)) -> list[Message]:
    """Frames and the end."""
    return [*(Frame(series, number, FRAMES[number]) for number in numbers), End(series)]


@pytest.mark.parametrize("other", [FRAMES[2].T.copy(), FRAMES[2].astype(np.int16), FRAMES[2].astype(np.float32)])
def test_frames_of_another_kind_are_left_out(service: Service, client: Client, other: NDArray[Any]) -> None:
    """A detector that was set anew within a series: as many bytes would be taken for other numbers."""
    told: list[str] = []
    messages = images()
    messages[2] = Frame("7", 2, other)
    sent(Feed(client, told.append, "eiger"), HEADER, *messages)
    assert sorted(service.frames[0]) == [0, 1, 3, 4, 5]
    np.testing.assert_array_equal(service.frames[0][3], FRAMES[3])
    assert "1 were left out, frame 2: it is" in told[-1]


def test_a_series_becomes_a_scan(service: Service, client: Client) -> None:
    """In any order of frames, with what the header tells; the next series is another scan."""
    told: list[str] = []
    feed = Feed(client, told.append, "eiger", refine="fast")
    sent(feed, HEADER, *images(numbers=(3, 0, 5, 1, 4, 2)), Header("8", (12, 16), 3), *images("8", (0, 2)))
    first, second = service.frames
    assert sorted(first) == list(range(6))
    for number, frame in first.items():
        np.testing.assert_array_equal(frame, FRAMES[number])
    assert sorted(second) == [0, 2]
    assert service.templates[0]["asked"] == {"frames": "6", "name": "eiger 7", "refine": "fast"}
    assert "65000" in str(service.templates[0].get("saturation", service.templates[0]))
    assert service.ended == [(0, ""), (1, "")]
    assert "series 7: ended, 6 frames sent" in told


def test_masked_pixels_are_those_of_the_header_or_of_the_largest_number(service: Service, client: Client) -> None:
    """Within the region that is sent; dead pixels of a header without a mask hold the largest number there is."""
    mask = np.zeros((12, 16), bool)
    mask[3, 4] = True
    sent(Feed(client, print, "eiger", roi="2:10,4:16"), Header("7", (12, 16), 6, mask), *images())
    dead = FRAMES.copy()
    dead[:, 5, 6] = 65535
    sent(Feed(client, print, "eiger"), HEADER, Frame("7", 0, dead[0]), End("7"))
    sent(Feed(client, print, "eiger"), HEADER, *images())
    cut, largest, none = service.templates
    assert cut["data"].shape[-2:] == (8, 12)
    assert np.argwhere(cut["mask"].reshape(8, 12)).tolist() == [[1, 0]]
    np.testing.assert_array_equal(service.frames[0][2], FRAMES[2, 2:10, 4:16])
    assert np.argwhere(largest["mask"].reshape(12, 16)).tolist() == [[5, 6]]
    assert "mask" not in none
    with pytest.raises(DataError, match="reaches out of images"):
        sent(Feed(client, print, "eiger", roi="0:13,0:16"), HEADER, *images())


def test_places_are_those_of_the_encoder_whoever_comes_first(service: Service, client: Client) -> None:
    """Readings before, between and after the frames; the axis runs backwards, and one frame was taken twice as far."""
    axis = Axis("angle", 10.0, -0.5)
    readings = np.array([10.01, 9.49, 9.0, 8.0, 8.5, 7.5])
    feed = Feed(client, print, "eiger", moving=axis)
    sent(feed, Begun(), Readings(0, {"angle": readings[:2], "other": readings[:2]}), HEADER, *images()[:4])
    sent(feed, Readings(2, {"angle": readings[2:5]}), *images()[4:], Readings(5, {"angle": readings[5:]}), Ended())
    assert service.frames
    places = {0: 0, 1: 1, 2: 2, 3: 4, 4: 3, 5: 5}
    assert {
        place: next(n for n in range(6) if (FRAMES[n] == frame).all()) for place, frame in service.frames[0].items()
    } == {place: number for number, place in places.items()}


def test_frames_without_a_place_are_left_out_and_told(service: Service, client: Client, at_once: None) -> None:
    """Beside a place, before the first one, at one that another frame has, and without a reading at all."""
    told: list[str] = []
    feed = Feed(client, told.append, "eiger", moving=Axis("angle", 0.0, 1.0))
    sent(feed, HEADER, Begun(), Readings(0, {"angle": np.array([0.0, 1.4, -1.0, 3.0, 3.1])}), *images())
    assert sorted(service.frames[0]) == [0, 3]
    np.testing.assert_array_equal(service.frames[0][3], FRAMES[3])
    assert "2 frames sent; 4 were left out, frame 1: position 1.4 lies 0.40 steps from place 1" in told[-1]
    assert service.ended[0][1].startswith("4 were left out")
    with pytest.raises(StreamError, match="tells no 'angle', but phi"):
        sent(feed, Readings(0, {"phi": np.zeros(2)}))


STAGE = Stage("y", "x", 1e-6)
READINGS = {"y": np.arange(6.0), "x": 10 * np.arange(6.0), "z": np.zeros(6)}


def part(begin: int, end: int) -> Readings:
    """Of the readings."""
    return Readings(begin, {name: values[begin:end] for name, values in READINGS.items()})


def test_an_encoder_tells_the_positions_of_a_ptychographic_scan(service: Service, client: Client) -> None:
    """Before, between and after the frames, which go by their numbers and wait for nothing; in metres."""
    told: list[str] = []
    feed = Feed(client, told.append, "eiger", moving=STAGE, kind="ptycho", unit="m")
    sent(feed, Begun(), part(0, 2), HEADER, *images(numbers=(3, 0, 1, 5)), part(2, 4), part(4, 6), Ended())
    assert sorted(service.frames[0]) == [0, 1, 3, 5]
    np.testing.assert_array_equal(service.frames[0][3], FRAMES[3])
    expected = {number: pytest.approx((1e-6 * number, 1e-5 * number)) for number in range(6)}
    assert service.positions == [expected]
    assert {"kind": "ptycho", "unit": "m"}.items() <= service.templates[0]["asked"].items()
    assert service.ended == [(0, "")]
    with pytest.raises(StreamError, match="tells no 'x', but y"):
        sent(feed, Readings(0, {"y": np.zeros(1)}))


def test_frames_without_a_position_are_told(service: Service, client: Client, at_once: None) -> None:
    """The box stopped early; what it tells beyond the scan is told, too."""
    told: list[str] = []
    sent(Feed(client, told.append, "eiger", moving=STAGE, kind="ptycho"), HEADER, Begun(), part(0, 4), *images())
    assert sorted(service.frames[0]) == list(range(6))
    assert "6 frames sent; 2 were left out, frame 4: the encoder told no y and no x" in told[-1]
    more = Readings(0, {"y": np.arange(8.0), "x": np.arange(8.0)})
    sent(Feed(client, told.append, "eiger", moving=STAGE, kind="ptycho"), HEADER, Begun(), more, *images())
    assert "2 were left out, frame 6: place 6: none" in told[-1]


def test_readings_of_an_earlier_scan_are_never_taken(service: Service, client: Client) -> None:
    """An encoder that has run by itself, and one that is late for the second series."""
    feed = Feed(client, print, "eiger", moving=Axis("angle", 0.0, 1.0))
    alone = [Begun(), Readings(0, {"angle": np.arange(6.0) + 1}), Ended()]
    sent(feed, *alone, HEADER, *images()[:3])
    assert not service.frames
    sent(feed, Begun(), Readings(0, {"angle": np.arange(6.0)}), *images()[3:], Ended())
    assert {place: int(frame.sum()) for place, frame in service.frames[0].items()} == {
        number: int(FRAMES[number].sum()) for number in range(6)
    }
    sent(feed, Header("8", (12, 16), 6), *images("8")[:6])
    assert len(service.frames) == 1
    sent(feed, Begun(), Readings(0, {"angle": np.arange(6.0)[::-1]}), Ended(), End("8"))
    np.testing.assert_array_equal(service.frames[1][5], FRAMES[0])


def test_a_bridge_that_joins_late_says_what_it_missed(service: Service, client: Client) -> None:
    """Without a header the end is open."""
    told: list[str] = []
    sent(Feed(client, told.append, "eiger"), *images(numbers=(4, 5)))
    assert "its header was missed" in told[0]
    assert "frames" not in service.templates[0]["asked"]
    assert sorted(service.frames[0]) == [4, 5]


def test_a_scan_that_was_ended_elsewhere_takes_no_more(service: Service, client: Client) -> None:
    """The rest of the series is left out, and the next one goes on."""
    told: list[str] = []
    feed = Feed(client, told.append, "eiger")
    problem = {"title": "Closed", "detail": "the scan was aborted", "status": 409}
    service.answer = httpx.Response(409, json=problem)
    sent(feed, HEADER, *images())
    assert "takes no more: Closed: the scan was aborted" in " ".join(told)
    assert not service.ended
    service.answer = None
    sent(feed, Header("8", (12, 16), 6), *images("8"))
    assert len(service.frames[1]) == 6
    feed.close()


def test_maps_of_the_chip_go_along(service: Service, client: Client, tmp_path: Path) -> None:
    """Dark and flat, with the region that they are cut to."""
    np.save(tmp_path / "dark.npy", np.zeros((12, 16), np.float32))
    feed = Feed(client, print, "eiger", roi="0:8,0:8", dark=tmp_path / "dark.npy")
    sent(feed, HEADER, *images())
    assert service.templates[0]["dark"].shape == (12, 16)
    assert service.templates[0]["roi"].tolist() == [[0, 8], [0, 8]]
