"""What a reader checks before it allocates, and what masks and geometries of files become."""

import numpy as np
import pytest

from inphase.errors import DataError, TooLargeError
from inphase.formats.scan import (
    Limits,
    RawScan,
    Saturation,
    admit,
    geometry_arrays,
    geometry_of,
    most_axes,
    native,
    three_axes,
    three_state,
    with_saturation,
)
from inphase.geometry import Geometry

LIMITS = Limits(max_bytes=1000)


def test_further_axes_of_length_one_are_dropped() -> None:
    """The first ones first, and only beyond three: a curve of one frame keeps its axis."""
    assert three_axes((1, 1, 5, 6, 7)) == (5, 6, 7)
    assert three_axes((1, 1, 6, 7)) == (1, 6, 7)
    assert three_axes((1, 6, 7)) == (1, 6, 7)
    assert three_axes((2, 5, 6, 7)) == (2, 5, 6, 7)


def test_curves_and_frames_are_admitted() -> None:
    """A size at the limit is within it, one byte more is not."""
    assert admit((10, 10, 5), np.dtype("u2"), "here", LIMITS) == (10, 10, 5)
    assert admit((20, 25), np.dtype("u2"), "here", LIMITS) == (20, 25)
    with pytest.raises(TooLargeError, match="here: declares"):
        admit((1001,) * 2, np.dtype("u1"), "here", LIMITS)


@pytest.mark.parametrize(
    ("shape", "dtype", "words"),
    [
        ((5, 5, 5), "O", "pickled"),
        ((5, 5, 5), "c8", "a result"),
        ((5,), "f4", "1 dimension,"),
        ((5, 0, 5), "f4", "no data"),
    ],
)
def test_what_is_no_measurement_is_refused(shape: tuple[int, ...], dtype: str, words: str) -> None:
    """Objects, complex numbers, other ranks, and nothing at all."""
    with pytest.raises(DataError, match=f"here: .*{words}"):
        admit(shape, np.dtype(dtype), "here", LIMITS)


def test_images_count_only_where_there_is_no_volume() -> None:
    """Voxels by name."""
    assert most_axes({"a": (2, 3, 4), "b": (100, 100), "c": (5,)}) == {"a": 24}
    assert most_axes({"b": (100, 100), "c": (5,)}) == {"b": 10_000}
    assert most_axes({"c": (5,)}) == {}


def test_masks_have_three_states() -> None:
    """One frame's mask holds for all; True is masked; other values and other shapes are refused."""
    frame = np.array([[0, 1, 2], [0, 0, 1]])
    np.testing.assert_array_equal(three_state(frame, (4, 2, 3), "here"), np.broadcast_to(frame, (4, 2, 3)))
    np.testing.assert_array_equal(three_state(frame == 1, (4, 2, 3), "here")[0], [[0, 1, 0], [0, 0, 1]])
    with pytest.raises(DataError, match="here: a mask holds the numbers"):
        three_state(frame + 1, (4, 2, 3), "here")
    with pytest.raises(DataError, match="fits neither"):
        three_state(frame, (4, 3, 2), "here")


def test_the_lowest_saturation_holds() -> None:
    """And says where it stands."""
    scan = RawScan(np.zeros((2, 2, 2)), None, "here", "all")
    found = with_saturation(scan, [Saturation(65535.0, "bit depth"), Saturation(10_000.0, "countrate limit")])
    assert found.saturation == Saturation(10_000.0, "countrate limit")
    assert found.chosen == "all; saturated from 10000 counts on (countrate limit)"
    assert with_saturation(scan, []) is scan


def test_a_geometry_survives_a_container_file() -> None:
    """Written as arrays and read again; what cannot be one is refused with its name."""
    rotation = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    geometry = Geometry(1e6 * np.array([[1.0, 0.2, 0], [0, 2, 0], [0, 0, 3]]), np.array([1e10, 0, 0]), rotation)
    arrays = geometry_arrays(geometry)
    again = geometry_of(arrays.get, "here")
    assert again is not None
    np.testing.assert_array_equal(again.q_steps, geometry.q_steps)
    np.testing.assert_array_equal(again.q_centre, geometry.q_centre)
    np.testing.assert_array_equal(again.sample_rotation, rotation)
    assert geometry_arrays(None) == {}
    assert geometry_of({}.get, "here") is None
    for name, wrong in (
        ("q_steps", np.ones((3, 3))),
        ("q_steps", np.ones(3)),
        ("q_centre", np.ones(2)),
        ("sample_rotation", 2 * rotation),
    ):
        with pytest.raises(DataError, match=f"here: .*{name}"):
            geometry_of((arrays | {name: wrong}).get, "here")


def test_arrays_come_in_this_machines_order() -> None:
    """The numbers are the same, contiguous and of native byte order."""
    found = native(np.arange(6, dtype=">u2").reshape(2, 3).T)
    assert found.dtype == np.uint16
    assert found.dtype.isnative
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, [[0, 3], [1, 4], [2, 5]])
