"""What of an unfinished ptychographic scan can be used, from frames and positions in any order."""

import numpy as np
import pytest

from inphase.errors import DataError
from inphase.formats import RawScan
from inphase.live import ptychogram
from inphase.live.ptychogram import Light, Ptychogram, joined, unusable
from inphase.preprocess.corrections import Corrections
from inphase.ptycho.frames import usable
from inphase.ptycho.measurement import from_arrays
from inphase.ptycho.optics import FarField
from tests.inphase.ptycho.scenes import small

FAR = FarField(1e-10, 2.0, (55e-6, 55e-6))
SCENE = small()


def scan(**more: object) -> Ptychogram:
    """Of frames of 32 x 32."""
    frame = RawScan(np.zeros((32, 32)), None, "", "", **more)  # type: ignore[arg-type]
    return Ptychogram.made(frame, None, None, "pixel")


def test_frames_and_positions_are_joined_by_their_places() -> None:
    """Whatever came first; what lacks its partner is told, and so is what touches none of the others."""
    positions = {9: (0.0, 0.0), 2: (5.0, 40.0), 4: (5.0, 20.0), 7: (900.0, 0.0), 3: (1.0, 1.0)}
    pairs = joined(scan(), [2, 9, 4, 7, 11], positions)
    assert pairs.linked.tolist() == [2, 4, 9]
    assert pairs.apart.tolist() == [7]
    assert pairs.frames.tolist() == [11]
    assert pairs.positions.tolist() == [3]
    assert joined(scan(), [], {}).linked.tolist() == []
    # the frame between two that were too far from each other comes last
    assert joined(scan(), [0, 1], {0: (0.0, 0.0), 1: (50.0, 0.0)}).linked.tolist() == [0]
    assert joined(scan(), [0, 1, 2], {0: (0.0, 0.0), 1: (50.0, 0.0), 2: (25.0, 0.0)}).linked.tolist() == [0, 1, 2]


def test_metres_are_pixels_of_the_object() -> None:
    """Of lambda z / (N d): windows of 32 pixels touch at 32 of them and not at 33."""
    metres = Ptychogram.made(RawScan(np.zeros((32, 32)), None, "", ""), None, FAR, "m")
    side = 1e-10 * 2.0 / (32 * 55e-6)
    np.testing.assert_allclose(metres.pixel, side)
    assert len(joined(metres, [0, 1], {0: (0.0, 0.0), 1: (31.9 * side, 0.0)}).linked) == 2
    assert len(joined(metres, [0, 1], {0: (0.0, 0.0), 1: (32.1 * side, 0.0)}).linked) == 1
    assert metres.astray(3, (1e6 * side * 1.01, 0.0))
    assert not metres.astray(3, (1e6 * side * 0.99, 0.0))
    assert "not finite" in metres.astray(3, (0.0, float("inf")))


def test_a_whole_scan_is_the_measurement_of_its_file() -> None:
    """In the order of the places, whatever the order in which they are given."""
    order = np.random.default_rng(0).permutation(49)
    mask = np.eye(32, dtype=np.uint8)
    found = scan(mask=mask).measurement(SCENE.counts[order], SCENE.positions[order], order, "a scan")
    wanted = from_arrays(SCENE.counts, SCENE.positions, mask=mask, source="a scan")
    for name in ("patterns", "positions_px", "mask", "ids"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))
    assert found.notes == wanted.notes


def test_frames_without_light_or_numbers_are_named() -> None:
    """As the measurement of the whole leaves them out; masked pixels do not count."""
    frames = np.ones((6, 4, 4), np.float32)
    frames[1, :3], frames[2, 0], frames[3], frames[4, 1] = np.nan, np.nan, 0, -1
    valid = np.ones((4, 4), bool)
    lights = {place: Light.of(frame, valid) for place, frame in enumerate(frames)}
    assert unusable(lights) == {1: "most of its pixels are no counts", 3: "it holds next to no counts"}
    valid[:3] = False
    assert Light.of(frames[1], valid) == Light(4.0, 0.0)
    assert Light.of(np.full((4, 4), 7, np.uint16), valid) == Light(28.0, 0.0)
    assert unusable({}) == {}


@pytest.mark.parametrize("lost", [2, 3, 4, 5])
def test_a_frame_is_as_usable_live_as_in_a_file(lost: int) -> None:
    """Columns that are no numbers, of the seven that the mask leaves: the share of valid pixels decides in both."""
    frames = np.full((20, 8, 16), 9.0, np.float32)
    frames[3, :, :lost] = np.nan
    frames[:, :, 7:] = np.nan
    mask = np.zeros((20, 8, 16), np.uint8)
    mask[:, :, 7:] = 1
    live = unusable({place: Light.of(frame, mask[0] == 0) for place, frame in enumerate(frames)})
    kept = usable(frames, mask, np.arange(20), "scan").keep
    assert [place for place in range(20) if place not in live] == np.flatnonzero(kept).tolist()
    assert (3 in live) == (lost > 3)


def test_maps_are_applied_live_as_in_a_file() -> None:
    """The same measurement, and frames are as usable: one is dim below its offset, and one has no numbers where the
    flat field leaves pixels.
    """
    generator = np.random.default_rng(0)
    dark, flat = generator.uniform(90, 110, (40, 40)), generator.uniform(0.5, 1.5, (40, 40))
    flat[:20] = 0
    maps = Corrections(dark, flat, ((4, 36), (4, 36)))
    raw = np.rint(SCENE.counts * maps.on((32, 32)).flat + dark[4:36, 4:36]).astype(np.float32)  # type: ignore[operator]
    raw[5] = dark[4:36, 4:36]
    raw[9, 20:] = np.nan
    wanted = from_arrays(raw, SCENE.positions, corrections=maps, source="a scan")
    field = Ptychogram.made(RawScan(raw[0], None, "", "", corrections=maps), None, None, "pixel")
    places = np.arange(len(raw))
    found = field.measurement(raw, SCENE.positions, places, "a scan")
    np.testing.assert_array_equal(found.counts(), wanted.counts())
    np.testing.assert_array_equal(found.mask, wanted.mask)
    assert found.notes == wanted.notes
    out = unusable({place: field.light(frame) for place, frame in enumerate(raw)})
    assert sorted(out) == [5, 9] == sorted(set(places) - set(wanted.ids))


@pytest.mark.parametrize(
    ("frame", "unit", "words"),
    [
        (RawScan(np.zeros((4, 4)), None, "", ""), "m", "energy, distance and detector pixel"),
        (RawScan(np.zeros((4, 4)), None, "", ""), "mm", "energy, distance and detector pixel"),
        (RawScan(np.zeros((4, 4)), None, "", ""), "furlong", "'furlong'"),
        (RawScan(np.zeros((4, 4)), None, "", "", mask=np.ones((4, 4), np.uint8)), "pixel", "inverted"),
        (
            RawScan(np.zeros((4, 4)), None, "", "", mask=1 - np.eye(4, dtype=np.uint8)[::-1] * [0, 0, 0, 1]),
            "pixel",
            "masks 93.8%",
        ),
        (
            RawScan(np.zeros((4, 4)), None, "", "", corrections=Corrections(dark=np.zeros((4, 5)))),
            "pixel",
            r"the dark map is \(4, 5\).*but the frames are \(4, 4\)",
        ),
        (
            RawScan(np.zeros((4, 4)), None, "", "", corrections=Corrections(flat=np.eye(16)[:4, :4] * np.eye(4)[0])),
            "pixel",
            "dark and flat field",
        ),
        (RawScan(np.zeros((3, 4, 4)), None, "", ""), "pixel", "template of a scan is one frame"),
    ],
)
def test_what_cannot_be_a_scan_is_refused(frame: RawScan, unit: str, words: str) -> None:
    """Before a frame comes."""
    with pytest.raises(DataError, match=words):
        Ptychogram.made(frame, None, None, unit)


def test_the_frame_that_stands_for_all_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mask that hides what light it shows is taken: the frames themselves tell. Without a mask nothing is asked, as a
    scan is made of its order whenever something is told of it.
    """
    mask = np.zeros((32, 32), np.uint8)
    mask[:, 16:] = 1
    frame = np.where(mask, 100.0, 0.0)
    assert Ptychogram.made(RawScan(frame, None, "", "", mask=mask), None, None, "pixel").valid.sum() == 512
    with pytest.raises(DataError, match="one of good pixels"):
        from_arrays(np.stack([frame, frame]), np.array([[0.0, 0.0], [3.0, 3.0]]), mask=mask)
    monkeypatch.setattr(ptychogram, "account", pytest.fail)
    scan()
