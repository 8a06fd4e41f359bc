"""The frames of live scans: where they lie, and what becomes of each that is sent."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from inphase.live.advice import FrameSummary
from inphase.live.curve import Curve
from service.errors import ApiError
from service.intake.acceptance import Intake
from service.intake.submission import upload_arrays, uploaded
from service.jobs.scans import FrameConflictError, ScanRecords, StoredFrame
from service.jobs.store import Store
from service.scans.held import Held
from service.settings import Bounds

_TEMPLATE: Final = "template"


@dataclass(frozen=True)
class Outside:
    """A frame whose place is none of the scan, and why."""

    place: int
    reason: str


@dataclass(frozen=True)
class Added:
    """What became of a batch: places that are new, those that had come before with the same content, and others."""

    received: tuple[int, ...]
    duplicate: tuple[int, ...]
    outside: tuple[Outside, ...]


class Archive:
    """Frames on disk and in the record. Blocks: asyncio code calls it in a thread."""

    def __init__(self, store: Store, scans: ScanRecords, intake: Intake, bounds: Bounds) -> None:
        self._store, self._scans, self._intake, self._bounds = store, scans, intake, bounds
        self._held = Held()

    def open(self, scan_id: str, curve: Curve) -> None:
        """Keep what is known before the frames come. Raises StoreFullError, also where they would find no room now."""
        self._intake.make_room((curve.frames or 1) * curve.template.array.nbytes)
        self._store.write(scan_id, _TEMPLATE, upload_arrays(curve.template))

    def curve(self, scan_id: str, frames: int | None) -> Curve:
        """The curve of a scan. frames: of the finished one. Raises StoreError where it is gone."""
        return Curve(uploaded(self._store.read(scan_id, _TEMPLATE)), frames)

    def add(self, scan_id: str, curve: Curve, batch: Sequence[tuple[int, NDArray[np.generic]]]) -> Added:
        """Write the new frames of a batch, record them, and say what became of each: all of them or none.

        When this returns they are on the disk. Raises ApiError 409 where a place comes again with another content,
        ScanClosedError, StoreFullError.
        """
        most = min(self._bounds.scan_frames, self._bounds.array_bytes // curve.template.array.nbytes)
        refused = {place: curve.refusal(place, most) for place, _ in batch}
        outside = tuple(Outside(place, why) for place, why in refused.items() if why)
        inside = [(place, frame, _digest(frame)) for place, frame in batch if not refused[place]]
        new: dict[int, tuple[NDArray[np.generic], str]] = {}
        held = self._scans.digests(scan_id, [place for place, _, _ in inside])
        for place, frame, digest in inside:
            if (known := held.get(place)) is None and place not in new:
                new[place] = (frame, digest)
            elif digest != (known or new[place][1]):
                raise _conflict(place)
        group = f"frames-{uuid4().hex}"
        if new:
            frames = np.stack([frame for frame, _ in new.values()])
            self._intake.make_room(frames.nbytes)
            self._store.write(scan_id, group, {"frames": frames})
        saturation = curve.template.saturation
        level, valid = (saturation.level if saturation else None), curve.valid
        index = {place: number for number, place in enumerate(new)}
        records = [
            StoredFrame(
                digest, group if place in index else "", index.get(place, 0),
                FrameSummary.of(place, frame, valid, level) if place in index else FrameSummary(place, 0, 0, 0, 0, 0),
            )
            for place, frame, digest in inside
        ]  # fmt: skip
        try:
            added = self._scans.add(scan_id, records, len(outside), outside[-1].reason if outside else "")
        except FrameConflictError as error:
            self._store.delete(scan_id, group)
            raise _conflict(error.place) from error
        except BaseException:
            self._store.delete(scan_id, group)
            raise
        if new:
            self._held.keep(scan_id, group, frames)
        places = [place for place, _, _ in inside]
        repeated = list(places)
        for place in added:
            repeated.remove(place)
        return Added(tuple(added), tuple(repeated), outside)

    def places(self, scan_id: str) -> list[int]:
        """Of all frames that were acknowledged."""
        return sorted(self._scans.frames(scan_id))

    def frames(self, scan_id: str) -> dict[int, NDArray[np.generic]]:
        """Everything that was acknowledged, by place."""
        found: dict[int, NDArray[np.generic]] = {}
        stored = self._scans.frames(scan_id)
        groups = {batch: self._group(scan_id, batch) for batch in {frame.batch for frame in stored.values()}}
        for place, frame in stored.items():
            found[place] = groups[frame.batch][frame.index]
        return found

    def forget(self, scan_id: str) -> None:
        """Delete all frames."""
        self._held.forget(scan_id)
        self._store.delete(scan_id)

    def _group(self, scan_id: str, name: str) -> NDArray[np.generic]:
        """The frames of a batch, from memory where they are there. Raises StoreError where they are gone."""
        frames = self._held.get(scan_id, name)
        if frames is None:
            frames = self._store.read(scan_id, name)["frames"]
            self._held.keep(scan_id, name, frames)
        return frames


def _conflict(place: int) -> ApiError:
    return ApiError(
        409,
        f"frame {place} has come before with another content, and nothing of this batch was taken: a place of the "
        "rocking curve is measured once; leave the frame out, or open another scan",
        title="The frame differs",
    )


def _digest(frame: NDArray[np.generic]) -> str:
    return hashlib.blake2b(np.ascontiguousarray(frame).reshape(-1).view(np.uint8).data, digest_size=16).hexdigest()
