"""The central slice of a rocking curve: the frame through its Bragg peak, which is the far field of the projection."""

from collections.abc import Sequence
from dataclasses import replace

from inphase.errors import DataError
from inphase.geometry import Geometry
from inphase.pattern import Pattern
from inphase.preprocess.report import StepReport


def central(pattern: Pattern, peak: Sequence[int], origin: int = 0) -> tuple[Pattern, StepReport]:
    """The frame of a rocking curve that the peak lies in, as a pattern of two axes, and which one it is.

    peak: voxel of the peak. origin: first frame of the pattern in its file. Raises DataError for a single frame.
    """
    if len(pattern.shape) != 3:
        raise DataError(
            "slice=center takes a frame out of a rocking curve, and this measurement is a single frame: leave it out"
        )
    frame = peak[0]
    geometry = None if pattern.geometry is None else frame_geometry(pattern.geometry, frame - pattern.shape[0] // 2)
    taken = replace(pattern, intensity=pattern.intensity[frame], mask=pattern.mask[frame], geometry=geometry)
    if not taken.intensity.any():
        raise DataError(f"frame {frame + origin}, through the Bragg peak, holds no count in a valid pixel")
    return taken, StepReport("central_slice", {"frame": frame + origin})


def frame_geometry(geometry: Geometry, beyond: float) -> Geometry:
    """That of the frame which lies `beyond` steps past the middle one of a rocking curve."""
    there = geometry.moved((beyond, 0.0, 0.0))
    return replace(there, q_steps=there.q_steps[1:])
