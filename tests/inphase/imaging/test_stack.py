"""inphase.reconstruct_stack: every frame of a stack is a pattern of its own."""

import numpy as np
import pytest

import inphase
from inphase.errors import DataError
from inphase.formats import RawScan
from inphase.geometry import Geometry
from inphase.imaging.stack import frames_of
from tests.flat import counts

SHORT = "5*ER"


def test_a_stack_gives_a_result_for_each_frame() -> None:
    """In order, each what the frame alone gives, and each says which it is."""
    frames = [counts(seed=seed) for seed in (1, 2)]
    found = inphase.reconstruct_stack(np.stack(frames), start="random", starts=1, refine=SHORT)
    assert [result.object.shape for result in found] == [(64, 64)] * 2
    for number, (frame, result) in enumerate(zip(frames, found, strict=True)):
        alone = inphase.reconstruct(frame, start="random", starts=1, refine=SHORT)
        np.testing.assert_array_equal(result.object, alone.object)
        assert f"frame {number} of 2" in result.report.input.chosen


def test_a_bad_frame_is_named() -> None:
    """The error says which of the stack's frames it is of."""
    with pytest.raises(DataError, match=r"frame 1 of 2: .*empty"):
        inphase.reconstruct_stack(np.stack([counts(), 0 * counts()]), start="random", starts=1, refine=SHORT)


def test_frames_take_their_part_of_mask_and_geometry() -> None:
    """A mask of one frame is that of all; of the steps in q those of the detector are left."""
    stack, mask = np.ones((3, 8, 9), np.uint16), np.eye(8, 9, dtype=np.uint8)
    geometry = Geometry(np.diag([1.0, 2.0, 3.0]), np.array([1.0, 0.0, 0.0]))
    for given in (mask, np.stack([mask] * 3)):
        frames = frames_of(RawScan(stack, geometry, "test", "", mask=given))
        assert len(frames) == 3
        for frame in frames:
            assert frame.array.shape == (8, 9)
            np.testing.assert_array_equal(frame.mask, mask)
            assert frame.geometry is not None
            np.testing.assert_array_equal(frame.geometry.q_steps, [[0, 2, 0], [0, 0, 3]])
    assert len(frames_of(RawScan(stack[0], None, "test", ""))) == 1
