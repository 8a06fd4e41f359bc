"""What a reconstruction of a scan is, and the report of it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inphase.ptycho.optics import Pair


@dataclass(frozen=True)
class Report:
    """Figures and provenance of a reconstruction.

    r_factor: sum |sqrt I - m| / sum m over the fitted frames, r_held_out: over those that no solver saw (None where
    there are none); their positions were refined with the others. history: the R factor that each iteration met. modes:
    share of the photons of each probe mode. position_shift_px: root mean square of what the refinement moved, per axis;
    None where positions were kept. notes: what was left out, altered or assumed, in sentences.

    r_noise: the R factor that the noise of the photons alone would leave, deviance: that of Poisson's law over the one
    that noise alone would leave (1: noise is all that is left), both over the fitted frames; None where patterns are
    no whole numbers. misfits: ids of the frames that fit far worse than the others. verdict: what these figures say, in
    sentences.
    """

    source: str
    recipe: str
    frames: int
    frames_held_out: int
    r_factor: float
    r_held_out: float | None
    history: tuple[float, ...]
    modes: tuple[float, ...]
    position_shift_px: float | None
    pixel_m: Pair | None
    seed: int
    device: str
    seconds: float
    notes: tuple[str, ...]
    r_noise: float | None = None
    deviance: float | None = None
    misfits: tuple[int, ...] = ()
    verdict: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reconstruction:
    """object: (Y, X) complex64, of mean square 1 and mean phase 0 where it is lit; its phase grows with
    the path in the sign of exp(i k z). probe: (modes, y, x) complex64 in square roots of photons. coverage: (Y, X)
    float32, how strongly each pixel was lit, 1 at most: where it is near 0 the object means nothing. positions_px:
    (n, 2) float64 as in the measurement, refined. origin_px: (2,) where pixel (0, 0) of the object lies in them. ids:
    (n,) of the frames.
    """

    object: NDArray[np.complex64]
    probe: NDArray[np.complex64]
    coverage: NDArray[np.float32]
    positions_px: NDArray[np.float64]
    origin_px: NDArray[np.float64]
    ids: NDArray[np.int64]
    report: Report

    def __repr__(self) -> str:
        report = self.report
        hidden = "none held out" if report.r_held_out is None else f"held out {report.r_held_out:.3f}"
        return f"Reconstruction({self.object.shape} pixels, R {report.r_factor:.3f}, {hidden}, {report.recipe})"
