"""The images of an unfinished curve: the network's glance at what is there, and a short refinement."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from inphase.imaging.earlier import Earlier
from inphase.imaging.options import Options
from inphase.imaging.reconstruct import carry_out
from inphase.imaging.reconstruction import Reconstruction
from inphase.imaging.report import Look
from inphase.live.advice import Seen
from inphase.live.curve import Curve

if TYPE_CHECKING:
    from inphase.models.session import Sessions


def passing(options: Options) -> Options:
    """How an image is made that the next frames replace: on the network's grid, from its image, never from random
    starts, which would outlast the scan.
    """
    return replace(options, grid="model", start="network")


def look(
    curve: Curve,
    frames: Mapping[int, NDArray[np.generic]],
    options: Options,
    sessions: "Sessions",
    *,
    before: Reconstruction | None = None,
    final: bool = False,
) -> Reconstruction:
    """The image of a curve so far. frames: by place. options: of the finished curve. before: the look before this one.

    final: no frame follows: the image is the one that a file of these frames gives. Raises as `inphase.reconstruct`.
    """
    number = 1 if before is None or before.report.look is None else before.report.look.number + 1
    told = Look("", number, len(frames), curve.frames, final)
    scan = curve.scan(frames)
    if final:
        return carry_out(scan, options, sessions, look=told)
    earlier = None if before is None else Earlier(before.object, before.report.preprocess)
    return carry_out(scan, passing(options), sessions, look=told, earlier=earlier)


def seen(result: Reconstruction) -> Seen:
    """What advice needs of a look. Raises ValueError for another result."""
    report = result.report
    if report.look is None:
        raise ValueError("this is no image of a curve that came frame by frame")
    return Seen(report.look.frames, report.look.similarity, report.oversampling.measured)
