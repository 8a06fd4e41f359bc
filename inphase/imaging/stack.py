"""`inphase.reconstruct_stack`: many detector frames in one call, each a pattern of its own."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from inphase.errors import DataError
from inphase.formats import RawScan
from inphase.formats.scan import scan_of
from inphase.imaging.options import Options, Start
from inphase.imaging.reconstruct import carry_out, sessions_of
from inphase.imaging.reconstruction import Reconstruction
from inphase.pattern import Domain, as_frames
from inphase.trust import RULES

if TYPE_CHECKING:
    from inphase.models.session import Sessions


def frames_of(scan: RawScan) -> list[RawScan]:
    """The frames of a stack (n, rows, columns), each as a measurement; a single frame is a stack of one.

    Where the frames lie in reciprocal space the steps of the detector say, and nothing says of how they follow one
    another. Raises DataError for a mask that is neither of a frame nor of the stack.
    """
    stack = as_frames(scan.array)
    mask = None if scan.mask is None else np.broadcast_to(scan.mask, stack.shape)
    geometry = scan.geometry
    if geometry is not None and len(geometry.q_steps) == 3:
        geometry = replace(geometry, q_steps=geometry.q_steps[1:])
    return [
        replace(
            scan,
            array=frame,
            mask=None if mask is None else mask[i],
            geometry=geometry,
            chosen=f"{scan.chosen}; frame {i} of {len(stack)}",
        )
        for i, frame in enumerate(stack)
    ]


def reconstruct_stack(
    scan: RawScan | ArrayLike,
    *,
    refine: str | None = None,
    model: str | None = None,
    domain: Domain | str = Domain.COUNTS,
    preprocess: str = "auto",
    start: Start = "auto",
    starts: int = RULES.random_starts,
    seed: int = 0,
    models: "Path | Sessions | None" = None,
    device: str = "cpu",
    cancelled: Callable[[], bool] | None = None,
) -> list[Reconstruction]:
    """Reconstruct each frame of a stack by itself: as `inphase.reconstruct` does, a result for every frame, in order.

    scan: what `inphase.read` gives, or an array (frames, row, column). The other arguments are those of `reconstruct`;
    model: one of the family `image`. Raises what `reconstruct` raises; a DataError says which frame it is of.
    """
    options = Options(model, Domain(domain), preprocess, refine, start, starts, seed)
    options.check()
    frames = frames_of(scan if isinstance(scan, RawScan) else scan_of(scan))
    sessions = sessions_of(models) if options.asks_network else None
    found = []
    for number, frame in enumerate(frames):
        try:
            found.append(carry_out(frame, options, sessions, device=device, cancelled=cancelled))
        except DataError as error:
            raise DataError(f"frame {number} of {len(frames)}: {error}") from error
    return found
