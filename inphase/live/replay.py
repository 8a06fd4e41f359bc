"""A finished scan sent to a service as if it were being measured: for rehearsals, demonstrations and tests."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, Protocol, Self, TypeVar
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from inphase.client import Client, Document, ServiceError
from inphase.client.events import SCAN_FINAL
from inphase.errors import DataError
from inphase.formats import RawScan
from inphase.ptycho.formats.contents import energy_of
from inphase.ptycho.measurement import Measurement
from inphase.ptycho.optics import NearField, Optics

T = TypeVar("T")
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
        if not (0 < self.rate < math.inf and 0 <= self.drop < 1 and 0 <= self.duplicate <= 1):
            raise DataError("a rate is a number above 0 of frames per second, and shares of frames lie between 0 and 1")

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
    """What came of it. scan: the document at the end. sent: numbers of the frames that were sent, each once.
    sending_s: how long that took. network_s, model_s, whole_s: from the last frame's acknowledgement to the network's
    image, the refined one on the network's grid, and the last one; None where there was none. lost: frames that were
    acknowledged and are not there.
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


class Rehearsed(Protocol):
    """A finished scan that is sent frame by frame; frames are known by their number in it."""

    def __len__(self) -> int:
        """Frames."""
        ...

    def open(self, client: Client, key: str, options: Mapping[str, Any]) -> Document:
        """Open the live scan."""
        ...

    def send(self, client: Client, scan_id: str, frames: Sequence[int]) -> None:
        """Add frames. May be repeated."""
        ...


@dataclass(frozen=True)
class RehearsedCurve:
    """A rocking curve."""

    scan: RawScan

    def __len__(self) -> int:
        return len(self.scan.array)

    def open(self, client: Client, key: str, options: Mapping[str, Any]) -> Document:
        """With its geometry, mask and detector maps."""
        return client.open_scan(template_of(self.scan), len(self), key=key, **options)

    def send(self, client: Client, scan_id: str, frames: Sequence[int]) -> None:
        """A frame's number is its place."""
        client.add_frames(scan_id, frames, [self.scan.array[frame] for frame in frames])


class RehearsedPtychogram:
    """A ptychographic scan: what was left out when it was read is not sent."""

    def __init__(self, measured: Measurement) -> None:
        self._measured = measured
        self._mask = measured.mask.min(axis=0)  # of all frames
        self._patterns = _marked(measured, self._mask)

    def __len__(self) -> int:
        return len(self._measured)

    def open(self, client: Client, key: str, options: Mapping[str, Any]) -> Document:
        """With its mask, its dark and flat field and its probe, and what is known of its optics."""
        measured = self._measured
        template = RawScan(
            self._patterns[:1], None, measured.source, "", mask=self._mask[None], corrections=measured.corrections
        )
        told = {"kind": "ptycho", "unit": "pixel", **given_of(measured.optics), **options}
        return client.open_scan(template, int(measured.ids.max()) + 1, probe=measured.probe, key=key, **told)

    def send(self, client: Client, scan_id: str, frames: Sequence[int]) -> None:
        """Positions and frames, by the ids of the measurement."""
        some = list(frames)
        client.add_frames(
            scan_id,
            self._measured.ids[some].tolist(),
            list(self._patterns[some]),
            self._measured.positions_px[some],
        )


def given_of(beam: Optics | None) -> dict[str, float]:
    """What an operator is told of the optics, in keV and metres. Raises DataError for pixels that are not square."""
    if beam is None:
        return {}
    rows, columns = beam.detector_pixel_m
    if not np.isclose(rows, columns):
        raise DataError(f"the pixels of a live scan's detector are square, these have {rows} x {columns} m")
    told = {"energy_kev": energy_of(beam.wavelength_m), "distance_m": beam.distance_m, "detector_pixel_m": rows}
    return told | ({"focus_m": beam.focus_m} if isinstance(beam, NearField) else {})


def _marked(measured: Measurement, mask: NDArray[np.uint8]) -> NDArray[Any]:
    """The patterns as they can be sent: what is masked in some frames only is no number there. Raises DataError."""
    some = measured.mask > mask
    if not some.any():
        return measured.patterns
    dtype = measured.patterns.dtype
    if dtype == np.uint8:
        raise DataError(
            f"{measured.source}: its mask differs from frame to frame, and frames of {dtype} hold no number that says "
            "so: store them in 16 bits or more"
        )
    unknown = np.nan if dtype.kind == "f" else -1 if dtype.kind == "i" else np.iinfo(dtype).max
    return np.where(some, dtype.type(unknown), measured.patterns)


def replay(
    client: Client,
    source: RawScan | Measurement,
    plan: Plan,
    *,
    opened: Callable[[Document], None] = lambda document: None,
    **options: Any,
) -> Replayed:
    """Send a finished curve or ptychographic scan frame by frame, finish it, and wait for the last image.

    opened: told the scan's document before the first frame. options: of `Client.open_scan`. Raises as the client does;
    a batch that gets no answer is sent again.
    """
    scan: Rehearsed = RehearsedCurve(source) if isinstance(source, RawScan) else RehearsedPtychogram(source)
    document = scan.open(client, uuid4().hex, options)
    opened(document)
    scan_id = document["id"]
    sent: list[int] = []
    begun = time.monotonic()
    for frames in plan.batches(len(scan)):
        time.sleep(max(0.0, begun + (len(sent) + len(frames)) / plan.rate - time.monotonic()))  # when they are measured
        insisting(partial(scan.send, client, scan_id, frames))
        sent += frames
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


def insisting(call: Callable[[], T]) -> T:
    """A call that may be repeated, until the service answers it. Raises ServiceError after a minute."""
    end = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return call()
        except ServiceError as error:
            if error.status not in _AWAY or time.monotonic() > end:
                raise
            time.sleep(_AGAIN_S)
