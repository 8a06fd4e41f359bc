"""The images of an unfinished curve: a glance first, then what the network sees. None of them is refined: until about
two thirds of a curve are measured a refinement takes an image away from that of the whole (docs/decisions/0040).
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from inphase.imaging.earlier import Earlier
from inphase.imaging.options import NO_REFINEMENT, Options
from inphase.imaging.reconstruct import carry_out
from inphase.imaging.reconstruction import Reconstruction
from inphase.imaging.report import Look
from inphase.live.advice import Seen
from inphase.live.curve import Curve

if TYPE_CHECKING:
    from inphase.models.session import Sessions


GLANCE: Final = "inphase-glance"  # the network that answers within some forty milliseconds


def passing(options: Options, number: int, models: Collection[str]) -> Options:
    """How an image is made that the next frames replace: what a network sees, on its grid.

    number: of the look, from 1. models: names of those that are there. The first look is a glance where the caller left
    the choice of the network open: a fast curve is at its end before a larger network has answered.
    """
    glance = number == 1 and options.model is None and GLANCE in models
    model = GLANCE if glance else options.model
    return replace(options, model=model, refine=NO_REFINEMENT, grid="model", start="network")


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
    scan = curve.scan(frames, reached=not final)
    if final:
        return carry_out(scan, options, sessions, look=told)
    earlier = None if before is None else Earlier(before.object, before.report.preprocess)
    shown = passing(options, number, sessions.repository.names())
    return carry_out(scan, shown, sessions, look=told, earlier=earlier)


def seen(result: Reconstruction) -> Seen:
    """What advice needs of a look. Raises ValueError for another result."""
    report = result.report
    if report.look is None:
        raise ValueError("this is no image of a curve that came frame by frame")
    return Seen(report.look.frames, report.look.similarity, report.oversampling.measured)
