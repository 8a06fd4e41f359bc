"""Live scans in Redis."""

from uuid import uuid4

import pytest

from service.jobs.entry import Origin, Party, Repeatable
from service.jobs.errors import KeyReusedError, ScanClosedError, UnknownScanError
from service.jobs.record import Records
from service.jobs.scans import (
    FINAL,
    FrameConflictError,
    LookJob,
    PositionConflictError,
    ScanRecords,
    StoredFrame,
)
from service.jobs.state import ScanState


def stored(place: int, digest: str = "a", batch: str = "b") -> StoredFrame:
    """A frame as it is recorded."""
    return StoredFrame(place, digest, batch, 0, {"counts": 1.5, "full": 3})


def test_frames_are_added_once(scans: ScanRecords) -> None:
    """By their place; the same content again is a duplicate, another one refuses all of the batch."""
    scan = scans.create(uuid4().hex, b"order", Origin("ada")).scan_id
    assert scans.add(scan, [stored(7), stored(2), stored(7)], 0, "") == [7, 2]
    assert scans.add(scan, [stored(2, batch="c"), stored(3)], 1, "too far") == [3]
    with pytest.raises(FrameConflictError) as caught:
        scans.add(scan, [stored(9), stored(7, digest="z")], 0, "")
    assert caught.value.place == 7
    counted = scans.get(scan).counted
    assert (counted.received, counted.duplicate, counted.outside, counted.why_outside) == (3, 2, 1, "too far")
    assert scans.frames(scan) == {place: stored(place) for place in (2, 3, 7)}
    assert scans.digests(scan, [7, 9]) == {7: "a"}
    assert list(scans.frames(scan, known=2)) == [3]
    assert scans.frames(scan, known=3) == {}


def test_positions_are_added_once(scans: ScanRecords) -> None:
    """To the last digit, apart from the frames; another one for the same place refuses all of the batch."""
    scan = scans.create(uuid4().hex, b"order", Origin("ada")).scan_id
    third = (1 / 3, -2e-7)
    assert scans.place(scan, [(7, third), (2, (0.0, 1.0)), (7, third)], 0, "") == [7, 2]
    for batch in ([(9, third), (7, (1 / 3, 0.0))], [(9, third), (9, (0.0, 0.0))]):
        with pytest.raises(PositionConflictError) as caught:
            scans.place(scan, batch, 0, "")
        assert caught.value.place == batch[1][0]
    assert scans.place(scan, [(3, third)], 2, "not finite") == [3]
    counted = scans.get(scan).counted
    assert (counted.received, counted.placed, counted.placed_again, counted.outside) == (0, 3, 1, 2)
    assert scans.positions(scan) == {7: third, 2: (0.0, 1.0), 3: third}
    assert list(scans.positions(scan, known=2)) == [3]
    scans.remove(scan)
    assert scans.positions(scan) == {}


def test_a_scan_goes_one_way(scans: ScanRecords) -> None:
    """open, finishing, finished: frames come only to an open one, and an end is an end."""
    scan = scans.create(uuid4().hex, b"", Origin()).scan_id
    assert scans.open() == [scan]
    assert scans.move(scan, ScanState.FINISHING, "enough")
    assert not scans.move(scan, ScanState.FINISHING)
    with pytest.raises(ScanClosedError, match="finishing"):
        scans.add(scan, [stored(1)], 0, "")
    assert scans.move(scan, ScanState.FINISHED)
    assert not scans.move(scan, ScanState.ABORTED)
    now = scans.get(scan)
    assert (now.state, now.reason, scans.open()) == (ScanState.FINISHED, "enough", [])
    assert now.ended is not None
    assert scans.ended_before(now.ended + 1) == [scan]
    assert scans.ended_before(now.ended - 1) == []
    scans.remove(scan)
    with pytest.raises(UnknownScanError, match="expired"):
        scans.get(scan)
    with pytest.raises(UnknownScanError):
        scans.add(scan, [stored(1)], 0, "")


def test_a_scan_belongs_to_the_people_of_its_proposal(scans: ScanRecords) -> None:
    """They list it, newest first among their own, until it is forgotten; who ended it is kept."""
    ids = [
        scans.create(uuid4().hex, b"", origin).scan_id
        for origin in (Origin("ada", "hc5001", "key", "request"), Origin("bob"), Origin("carla", "hc5002"))
    ]
    listed, cursor = scans.page(Party("bob", "hc5001"), None, 10)
    assert [scan.scan_id for scan in listed] == [ids[1], ids[0]]
    assert cursor is None
    assert scans.get(ids[0]).origin == Origin("ada", "hc5001", "key", "request")
    assert scans.move(ids[0], ScanState.ABORTED, "beam lost", "bob")
    assert scans.get(ids[0]).ended_by == "bob"
    scans.remove(ids[0])
    assert [scan.scan_id for scan in scans.page(Party("bob", "hc5001"), None, 10)[0]] == [ids[1]]


def test_looks_are_kept_in_order_and_the_last_apart(scans: ScanRecords) -> None:
    """Numbers are no texts: the tenth comes after the ninth."""
    scan = scans.create(uuid4().hex, b"", Origin()).scan_id
    for number in (10, 9, 1):
        scans.looked(scan, str(number), LookJob(f"job {number}", number))
    assert list(scans.get(scan).looks) == [1, 9, 10]
    assert scans.get(scan).last is None
    assert scans.get(scan).newest == LookJob("job 10", 10)
    scans.looked(scan, FINAL, LookJob("last", 11))
    assert scans.get(scan).last == scans.get(scan).newest == LookJob("last", 11)


async def test_followers_hear_everything_once(scans: ScanRecords) -> None:
    """What several services tell at the same moment is told once, and the end ends the stream."""
    scan = scans.create(uuid4().hex, b"", Origin()).scan_id
    assert scans.tell(scan, "frames", "3", "frames", {"received": 3})
    assert not scans.tell(scan, "frames", "3", "frames", {"received": 3})
    assert scans.tell(scan, "frames", "4", "frames", {"received": 4})
    scans.move(scan, ScanState.ABORTED, "beam lost")
    events = [event async for event in scans.follow(scan) if event is not None]
    assert [event.kind for event in events] == ["state", "frames", "frames", "state"]
    assert events[-1].data == {"state": "aborted", "reason": "beam lost"}
    later = [event async for event in scans.follow(scan, events[1].event_id) if event is not None]
    assert later == events[2:]
    with pytest.raises(UnknownScanError):
        _ = [event async for event in scans.follow(uuid4().hex)]


def test_listing_and_repeating(scans: ScanRecords, records: Records) -> None:
    """Newest first in pages, one owner's or all; the same request again is the same scan; its frames are no rubbish."""
    ids = [scans.create(uuid4().hex, b"", Origin("ada" if n % 2 else "bob")).scan_id for n in range(5)]
    page, cursor = scans.page(None, None, 2)
    rest, end = scans.page(None, cursor, 10)
    assert [scan.scan_id for scan in (*page, *rest)] == ids[::-1]
    assert end is None
    assert [scan.scan_id for scan in scans.page(Party("ada"), None, 10)[0]] == [ids[3], ids[1]]
    once = Repeatable("key", "digest")
    first = scans.create(uuid4().hex, b"", Origin("ada"), once).scan_id
    assert scans.create(uuid4().hex, b"", Origin("ada"), once).scan_id == first
    with pytest.raises(KeyReusedError):
        scans.create(uuid4().hex, b"", Origin("ada"), Repeatable("key", "other"))
    stranger = uuid4().hex
    assert records.without_record([first, stranger]) == [stranger]
