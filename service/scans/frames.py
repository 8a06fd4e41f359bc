"""The frames and positions of live scans: where they lie, and what becomes of each that is sent."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from inphase.formats import RawScan
from inphase.formats.maps import map_arrays
from inphase.live.awaited import Awaited
from inphase.live.batch import Position
from inphase.live.ptychogram import Ptychogram
from service.errors import ApiError
from service.intake.acceptance import Intake
from service.intake.submission import upload_arrays, uploaded
from service.jobs.errors import ScanClosedError, UnknownScanError
from service.jobs.scans import FrameConflictError, PositionConflictError, ScanRecord, ScanRecords, StoredFrame
from service.jobs.store import Arrays, Store
from service.scans.held import Held
from service.scans.kind import Summary
from service.settings import Bounds

TEMPLATE: Final = "template"  # name in the store of the scan


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

    def open(self, scan_id: str, awaited: Awaited) -> None:
        """Keep what is known before the frames come. Raises StoreFullError, also where they would find no room now."""
        self._intake.make_room((awaited.frames or 1) * awaited.template.array.nbytes)
        self._store.write(scan_id, TEMPLATE, upload_arrays(awaited.template))

    def template(self, scan_id: str) -> RawScan:
        """The frame that stands for all of a scan. Raises StoreError where it is gone."""
        return uploaded(self._store.read(scan_id, TEMPLATE))

    def extra(self, record: ScanRecord, awaited: Awaited) -> Arrays:
        """`mask`, `dark`, `flat` and `probe` of a ptychographic scan, where there are any."""
        found: Arrays = {} if awaited.template.mask is None else {"mask": awaited.template.mask}
        found |= map_arrays(awaited.template.corrections)
        return found | (self._store.read(record.scan_id, record.probe) if record.probe else {})

    def give_probe(self, scan_id: str, probe: NDArray[np.complex64]) -> None:
        """Keep the guess of the probe (modes, rows, columns), in place of an earlier one; the same changes nothing.

        When this returns it is on the disk. Raises ApiError 409 where frames have come already, ScanClosedError,
        StoreFullError.
        """
        self._intake.make_room(probe.nbytes)
        group = f"probe-{uuid4().hex}"
        self._store.write(scan_id, group, {"probe": probe})
        try:
            kept = self._scans.give_probe(scan_id, group, _digest(probe))
        except (FrameConflictError, ScanClosedError, UnknownScanError) as error:
            self._store.delete(scan_id, group)
            if isinstance(error, FrameConflictError):
                raise ApiError(
                    409, "frames of this scan have come: its probe is given before the first of them"
                ) from error
            raise
        if kept != group:
            self._store.delete(scan_id, group)

    def add(
        self, scan_id: str, awaited: Awaited, summary: Summary, batch: Sequence[tuple[int, NDArray[np.generic]]]
    ) -> Added:
        """Write the new frames of a batch, record them, and say what became of each: all of them or none.

        When this returns they are on the disk. Raises ApiError 409 where a place comes again with another content,
        ScanClosedError, StoreFullError.
        """
        most = self._most(awaited)
        refused = {place: awaited.refusal(place, most) for place, _ in batch}
        outside = tuple(Outside(place, why) for place, why in refused.items() if why)
        inside = [(place, frame, _digest(frame)) for place, frame in batch if not refused[place]]
        new: dict[int, tuple[NDArray[np.generic], str]] = {}
        held = self._scans.digests(scan_id, [place for place, _, _ in inside])
        for place, frame, digest in inside:
            if (known := held.get(place)) is None and place not in new:
                new[place] = (frame, digest)
            elif digest != (known or new[place][1]):
                raise _conflict(place, "frame")
        group = f"frames-{uuid4().hex}"
        if new:
            frames = np.stack([frame for frame, _ in new.values()])
            self._intake.make_room(frames.nbytes)
            self._store.write(scan_id, group, {"frames": frames})
        index = {place: number for number, place in enumerate(new)}
        records = [
            StoredFrame(
                place, digest, group if place in index else "", index.get(place, 0),
                summary(place, frame) if place in index else {},
            )
            for place, frame, digest in inside
        ]  # fmt: skip
        try:
            added = self._scans.add(scan_id, records, len(outside), outside[-1].reason if outside else "")
        except (FrameConflictError, ScanClosedError, UnknownScanError) as error:
            self._store.delete(scan_id, group)  # where no answer came, the record may name it: it goes with the scan
            if isinstance(error, FrameConflictError):
                raise _conflict(error.place, "frame") from error
            raise
        if new and not isinstance(awaited, Ptychogram):  # whose frames the worker reads
            self._held.keep(scan_id, group, frames)
        return Added(tuple(added), _repeated([place for place, _, _ in inside], added), outside)

    def place(self, scan_id: str, scan: Ptychogram, batch: Sequence[tuple[int, Position]]) -> Added:
        """The same with positions. Raises ApiError 409 where a place comes again with another one, ScanClosedError."""
        most = self._most(scan)
        why = [scan.refusal(place, most) or scan.astray(place, position) for place, position in batch]
        outside = tuple(Outside(place, reason) for (place, _), reason in zip(batch, why, strict=True) if reason)
        inside = [sent for sent, reason in zip(batch, why, strict=True) if not reason]
        try:
            added = self._scans.place(scan_id, inside, len(outside), outside[-1].reason if outside else "")
        except PositionConflictError as error:
            raise _conflict(error.place, "position") from error
        return Added(tuple(added), _repeated([place for place, _ in inside], added), outside)

    def _most(self, awaited: Awaited) -> int:
        """Frames of a scan with an open end."""
        return min(self._bounds.scan_frames, self._bounds.array_bytes // awaited.template.array.nbytes)

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


def _repeated(places: list[int], added: Sequence[int]) -> tuple[int, ...]:
    """What of a batch had come before, or comes in it again."""
    left = list(places)
    for place in added:
        left.remove(place)
    return tuple(left)


def _conflict(place: int, what: str) -> ApiError:
    content = "content" if what == "frame" else "position"
    return ApiError(
        409,
        f"{what} {place} has come before with another {content}, and nothing of this batch was taken: a place is "
        "measured once; leave it out, or open another scan",
        title=f"The {what} differs",
    )


def _digest(frame: NDArray[np.generic]) -> str:
    return hashlib.blake2b(np.ascontiguousarray(frame).reshape(-1).view(np.uint8).data, digest_size=16).hexdigest()
