"""NTNDArrays as p4p makes them, their codecs as the filters of HDF5 pack them, and the curves that ids stand for."""

from typing import Any

import numpy as np
import pytest
from p4p import Value
from p4p.nt import NTNDArray, NTScalar

from inphase.bridges.pva import Curves, decode
from inphase.bridges.pvaccess import Pause, Update
from inphase.bridges.stream import Begun, End, Ended, Frame, Header, Message, Readings, StreamError
from tests.inphase.bridges.ioc import TYPES, image, nothing

FRAME = np.random.default_rng(0).poisson(20, (37, 53))  # neither a whole number of blocks nor of eight elements


@pytest.mark.parametrize("codec", ["", "blosc", "lz4", "bslz4"])
@pytest.mark.parametrize("dtype", TYPES)
def test_every_type_of_element_comes_through_every_codec(dtype: str, codec: str) -> None:
    """Rows and columns where they were, for columns come first in an NTNDArray; a boolean counts 0 or 1."""
    array = np.resize(FRAME, (91, 53)).astype(dtype)
    found = decode(image(array, 7, 1_700_000_000.25, codec, {"Theta": 12.5, "File": "a.tif"}))
    assert found is not None
    assert found.array.dtype == (np.uint8 if dtype == "bool" else np.dtype(dtype))
    np.testing.assert_array_equal(found.array, array)
    assert (found.identity, found.stamp) == (7, 1_700_000_000.25)
    assert found.attributes == {"ColorMode": 0, "Theta": 12.5}


def test_a_plugin_without_an_image_is_no_error() -> None:
    """As it is after its IOC was started."""
    assert decode(nothing()) is None


def changed(of: Value, **fields: Any) -> Value:
    """With these in place of what stands there."""
    for name, content in fields.items():
        of[name] = content
    return of


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (NTScalar("d").wrap(3.5), "NTScalar:1.0 is no NTNDArray: name the image of a PVA plugin"),
        (changed(image(FRAME, 7), **{"codec.name": "jpeg"}), "image 7: codec 'jpeg' loses counts"),
        (changed(image(FRAME, 7), **{"codec.name": "zfp"}), "codec 'zfp' is not known: set the codec plugin to BSLZ4"),
        (changed(image(FRAME, 7, codec="lz4"), **{"codec.parameters": None}), "codec.parameters is None"),
        (changed(image(FRAME, 7, codec="lz4"), **{"codec.parameters": 11}), "codec.parameters is 11"),
        (changed(image(FRAME, 7, codec="lz4"), **{"codec.parameters": 6}), "image 7: "),
        (changed(image(FRAME, 7, codec="blosc"), compressedSize=40), "damaged or cut off"),
        (changed(image(FRAME, 7, codec="blosc"), compressedSize=3), "damaged or cut off"),
        (changed(image(FRAME, 7, codec="blosc"), **{"codec.parameters": 6}), "and the image takes 3922"),
        (changed(image(FRAME, 7, codec="bslz4"), compressedSize=40), "cut off|instead of"),
        (changed(image(FRAME, 7), value=("ushortValue", np.zeros(5, "u2"))), "holds 5 numbers, and its axes take 1961"),
        (
            NTNDArray().wrap(np.zeros((5, 6, 3), "u1")),
            "3 axes of 3 x 6 x 5 in ColorMode 2: .* set the detector to Mono",
        ),
        (image(FRAME, 7, attributes={"ColorMode": 1}), "ColorMode 1"),
    ],
)
def test_what_is_no_image_of_counts_is_refused_with_the_reason(value: Value, reason: str) -> None:
    """And with what to do about it."""
    with pytest.raises(StreamError, match=reason):
        decode(value)


def came(identity: int, stamp: float | None = None, standing: bool = False, **attributes: float) -> Update:
    """An image whose pixels hold its id; its time goes on with its id."""
    value = image(np.full((2, 3), identity, np.uint16), identity, 100.0 + identity if stamp is None else stamp,
                  attributes=attributes)  # fmt: skip
    return Update(value, standing)


def told(curves: Curves, *updates: Update | Pause) -> list[str]:
    """What becomes of updates, briefly: (series, number, pixel) of a frame, and what is refused."""
    said: list[str] = []
    for update in updates:
        try:
            said += [_briefly(message) for message in curves.take(update)]
        except StreamError as error:
            said.append(str(error))
    return said


def _briefly(message: Message) -> str:
    match message:
        case Header():
            return f"curve {message.series} of {message.frames}"
        case Frame():
            return f"{message.series}:{message.number}={message.array[0, 0]}"
        case End():
            return f"end {message.series} {message.remark}".strip()
        case Readings():
            return f"{message.first} at {message.values}"
    return type(message).__name__


def test_ids_are_numbers_in_a_curve_in_any_order() -> None:
    """What did not come is told at the end, which a pause is; the next curve begins with whatever comes."""
    said = told(Curves(), came(5), came(7), came(6), came(9), Pause(), Pause(), came(20))
    assert said == ["curve 1 of None", "1:0=5", "1:2=7", "1:1=6", "1:4=9", "end 1 1 images did not come: 8",
                    "curve 2 of None", "2:0=20"]  # fmt: skip


def test_a_curve_of_known_length_ends_by_itself() -> None:
    """Complete or not: ids that go on say where the next one begins, even where its first frames are lost."""
    said = told(Curves(frames=3), *map(came, (1, 2, 3, 5, 6, 7)), came(11), Pause())
    assert said == ["curve 1 of 3", "1:0=1", "1:1=2", "1:2=3", "end 1", "curve 2 of 3", "2:1=5", "2:2=6",
                    "end 2 1 images did not come: 4", "curve 3 of 3", "3:0=7",
                    "end 3 2 images did not come: 8, 9", "curve 4 of 3", "4:1=11",
                    "end 4 2 images did not come: 10, 12"]  # fmt: skip


def test_a_lost_first_frame_is_known_where_each_curve_counts_from_one_id() -> None:
    """`first`: number 0 is not the first frame that comes, but that id; ids before it are none of the curve."""
    said = told(Curves(first=1), came(0), came(2), came(3), Pause(), came(1, 200.0))
    assert said == ["image 0 is left out: it lies before the first of its curve", "curve 1 of None", "1:1=2", "1:2=3",
                    "end 1 1 images did not come: 1", "curve 2 of None", "2:0=1"]  # fmt: skip


def test_ids_that_begin_again_are_another_curve() -> None:
    """Time has gone on, so that they are neither late nor twice; without a time of the detector a pause is needed."""
    said = told(Curves(), *map(came, (1, 2, 3)), came(1, 200.0), came(2, 201.0))
    assert said == ["curve 1 of None", "1:0=1", "1:1=2", "1:2=3", "end 1", "curve 2 of None", "2:0=1", "2:1=2"]
    said = told(Curves(), came(1, 0), came(2, 0), came(1, 0), Pause(), came(1, 0))
    assert said == ["curve 1 of None", "1:0=1", "1:1=2", "image 1 came again, and is taken once", "end 1",
                    "curve 2 of None", "2:0=1"]  # fmt: skip


def test_an_image_that_comes_twice_is_taken_once() -> None:
    """At once, later, and after the end of its curve; one before the first is left out."""
    said = told(Curves(frames=3), came(4), came(4), came(5), came(4), came(3), came(6), came(6), came(5))
    again = "image {} came again, and is taken once"
    assert said == ["curve 1 of 3", "1:0=4", again.format(4), "1:1=5", again.format(4),
                    "image 3 is left out: it lies before the first of its curve", "1:2=6", "end 1", again.format(6),
                    again.format(5)]  # fmt: skip


def test_what_a_connection_begins_with_may_be_old() -> None:
    """At the start it is left out; after the connection was lost it counts if it is new."""
    said = told(Curves(), Update(nothing(), True), came(1), came(2), came(2, standing=True), came(4, standing=True))
    assert said == ["curve 1 of None", "1:0=1", "1:1=2", "1:3=4"]
    said = told(Curves(), came(9, standing=True), came(1, 200.0))
    assert said == ["image 9 was there before the bridge, and is left out", "curve 1 of None", "1:0=1"]


def test_an_attribute_is_the_encoder() -> None:
    """Its reading comes with each image; without it the image has no place, and is left out."""
    curves = Curves(motors=("Theta",))
    messages = [*curves.take(came(1, Theta=0.5)), *curves.take(came(2, Theta=0.75)), *curves.take(Pause())]
    kinds = [type(message) for message in messages]
    assert kinds == [Header, Begun, Readings, Frame, Readings, Frame, End, Ended]
    readings = [message for message in messages if isinstance(message, Readings)]
    assert [(each.first, each.values["Theta"].tolist()) for each in readings] == [(0, [0.5]), (1, [0.75])]
    with pytest.raises(StreamError, match="image 3 has no attribute 'Theta', but ColorMode, Energy"):
        list(curves.take(came(3, Energy=9.0)))
