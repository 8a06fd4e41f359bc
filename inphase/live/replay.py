"""A finished curve sent to a service as if it were being measured: for rehearsals, demonstrations and tests."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Self
from uuid import uuid4

import numpy as np

from inphase.client import Client, Document, ServiceError
from inphase.client.events import SCAN_FINAL
from inphase.errors import DataError
from inphase.formats import RawScan

BATCHES: Final = 20.0  # a second
_AWAY: Final = (0, 502, 503, 504)  # of these, a batch is sent again until the service is there
_PATIENCE_S: Final = 60.0
_AGAIN_S: Final = 0.25


@dataclass(frozen=True)
class Plan:
    """How frames are sent. rate: per second. shuffle: in any order. drop: share that never comes, first and last ones
    apart. duplicate: share that comes twice. Same seed, same frames.
    """

    rate: float = 200.0
    shuffle: bool = False
    drop: float = 0.0
    duplicate: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not (self.rate > 0 and 0 <= self.drop < 1 and 0 <= self.duplicate <= 1):
            raise DataError("a rate is above 0 frames per second, and shares of frames lie between 0 and 1")

    def places(self, frames: int) -> list[int]:
        """In the order in which they are sent."""
        generator = np.random.default_rng(self.seed)
        kept = [place for place in range(frames) if place in (0, frames - 1) or generator.random() >= self.drop]
        again = [place for place in kept if generator.random() < self.duplicate]
        sent = sorted(kept + again)
        if self.shuffle:
            generator.shuffle(sent)
        return sent

    def batches(self, frames: int) -> Iterator[list[int]]:
        """The places that are sent together."""
        sent, size = self.places(frames), max(1, round(self.rate / BATCHES))
        for first in range(0, len(sent), size):
            yield sent[first : first + size]


@dataclass(frozen=True)
class Replayed:
    """What came of it. scan: the document at the end. sent: places that were sent, each once. sending_s: how long that
    took. network_s, model_s, whole_s: from the last frame's acknowledgement to the network's image, the refined one on
    the network's grid, and the last one; None where there was none. lost: frames that were acknowledged and are not
    there.
    """

    scan: Document
    sent: tuple[int, ...]
    sending_s: float
    network_s: float | None = None
    model_s: float | None = None
    whole_s: float | None = None
    lost: int = 0

    @property
    def final(self) -> str | None:
        """The job of the finished curve."""
        found: str | None = self.scan["final"]
        return found


def template_of(scan: RawScan) -> RawScan:
    """One frame that stands for all of a curve. Raises DataError where the mask is not the same in all frames."""
    if scan.array.ndim != 3:
        raise DataError(f"{scan.source} is no rocking curve: its shape is {scan.array.shape}")
    mask = scan.mask
    if mask is not None:
        if not (mask == mask[:1]).all():
            raise DataError(
                f"{scan.source}: its mask differs from frame to frame, and that of a live scan holds for all"
            )
        mask = mask[:1]
    return replace(scan, array=scan.array[:1], mask=mask)


def replay(
    client: Client,
    scan: RawScan,
    plan: Plan,
    *,
    opened: Callable[[Document], None] = lambda document: None,
    **options: Any,
) -> Replayed:
    """Send a finished curve frame by frame, finish the scan, and wait for the last image.

    opened: told the scan's document before the first frame. options: of `Client.open_scan`. Raises as the client does;
    a batch that gets no answer is sent again.
    """
    document = client.open_scan(template_of(scan), len(scan.array), key=uuid4().hex, **options)
    opened(document)
    scan_id = document["id"]
    sent: list[int] = []
    begun = time.monotonic()
    for places in plan.batches(len(scan.array)):
        time.sleep(max(0.0, begun + (len(sent) + len(places)) / plan.rate - time.monotonic()))  # when they are measured
        _sent(client, scan_id, places, scan)
        sent += places
    ended = time.monotonic()
    final = insisting(lambda: client.finish_scan(scan_id))["final"] or _ended(client, scan_id)["final"]
    moments = _Moments.of(client, final, ended)
    now = _ended(client, scan_id)
    there = tuple(sorted(set(sent)))
    return Replayed(
        now, there, ended - begun, moments.network, moments.model, moments.whole,
        lost=len(there) - now["frames"]["received"],
    )  # fmt: skip


@dataclass
class _Moments:
    """Seconds to the images of the last look."""

    network: float | None = None
    model: float | None = None
    whole: float | None = None

    @classmethod
    def of(cls, client: Client, job: str, since: float) -> Self:
        """Of a job, as it is followed to its end. since: time.monotonic()."""
        found = cls()
        for event in client.follow(job):
            seconds = time.monotonic() - since
            if event.kind == "revision" and event.data["kind"] == "network":
                found.network = seconds
            elif event.kind == "revision" and found.model is None:
                found.model = seconds
            elif event.kind == "state" and event.data["state"] == "succeeded":
                found.whole = seconds
        return found


def _ended(client: Client, scan_id: str) -> Document:
    """The document of a scan when it has ended."""
    if client.scan(scan_id)["state"] not in SCAN_FINAL:
        for _ in client.follow_scan(scan_id):
            pass
    return client.scan(scan_id)


def _sent(client: Client, scan_id: str, places: Sequence[int], scan: RawScan) -> None:
    insisting(lambda: client.add_frames(scan_id, places, [scan.array[place] for place in places]))


def insisting(call: Callable[[], Document]) -> Document:
    """A call that may be repeated, until the service answers it. Raises ServiceError after a minute."""
    end = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return call()
        except ServiceError as error:
            if error.status not in _AWAY or time.monotonic() > end:
                raise
            time.sleep(_AGAIN_S)
