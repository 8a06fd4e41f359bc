"""Whether an image fits its patterns as well as their photons allow, in figures and in sentences.

R alone does not say: 0.2 is all that can be had of a few photons, and far too much of many. Beside it stands what noise
alone would leave (`noise`), at the rates that the model calculates.
"""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import torch
from numpy.typing import NDArray

from inphase.ptycho.likelihood import DARK
from inphase.ptycho.noise import deviance, expected_deviance, expected_residual
from inphase.ptycho.positions import listed
from inphase.ptycho.scan import Scan, State, outliers, residuals

CLOSE: Final = 1.25  # times what noise leaves: an R up to there is called as good as that


@dataclass(frozen=True)
class Fits:
    """Sums over the known pixels of each frame, (n,) float64. residual: |sqrt I - m|; measured: m; noise: the residual
    that Poisson noise alone is expected to leave. deviance: that of Poisson's law; deviance_noise: the expected one.
    """

    residual: NDArray[np.float64]
    measured: NDArray[np.float64]
    noise: NDArray[np.float64]
    deviance: NDArray[np.float64]
    deviance_noise: NDArray[np.float64]

    def of(self, frames: NDArray[np.intp]) -> Self:
        """Some of the frames."""
        return type(self)(
            self.residual[frames], self.measured[frames], self.noise[frames], self.deviance[frames],
            self.deviance_noise[frames],
        )  # fmt: skip

    @property
    def r_factor(self) -> float:
        """sum |sqrt I - m| / sum m; NaN of nothing."""
        return _ratio(self.residual, self.measured)

    @property
    def r_noise(self) -> float:
        """The R factor that noise alone would leave: sum E|sqrt n - sqrt I| / sum m."""
        return _ratio(self.noise, self.measured)

    @property
    def reduced_deviance(self) -> float:
        """sum of the deviances over the sum of those expected: 1 where noise alone is left."""
        return _ratio(self.deviance, self.deviance_noise)


def fits(scan: Scan, state: State, frames: NDArray[np.intp]) -> Fits:
    """Of some frames in their order, by the model as it stands. Where counts are no photons only R means anything."""
    found: list[NDArray[np.float64]] = []
    for block in scan.blocks(frames):
        intensity, modulus = scan.forward(state, block).intensity, scan.modulus[block]
        known = modulus >= 0
        root = torch.sqrt(intensity + DARK)
        planes = (
            residuals(intensity, modulus),
            modulus,
            expected_residual(root),
            deviance(root, modulus.square()),
            expected_deviance(root),
        )
        sums = [torch.where(known, plane, 0.0).sum((1, 2), dtype=torch.float64) for plane in planes]
        found.append(torch.stack(sums).cpu().numpy())
    return Fits(*np.concatenate([np.empty((5, 0)), *found], axis=1))


@dataclass(frozen=True)
class Verdict:
    """r_factor, r_held_out, r_noise, deviance, misfits: as in `Report`. words: sentences."""

    r_factor: float
    r_held_out: float | None
    r_noise: float | None
    deviance: float | None
    misfits: tuple[int, ...]
    words: tuple[str, ...]


def judged(scan: Scan, state: State, ids: NDArray[np.int64], *, photons: bool) -> Verdict:
    """The verdict on an image. ids: of the frames of the scan. photons: whether the patterns count them."""
    every = np.sort(np.concatenate([scan.fitted, scan.held_out]))
    found = fits(scan, state, every)
    seen, hidden = found.of(scan.fitted), found.of(scan.held_out)
    worst = ids[outliers(found.residual / (found.noise if photons else found.measured))]
    r_held_out = hidden.r_factor if len(scan.held_out) else None
    words = [_of_noise(seen, hidden) if photons else NO_PHOTONS]
    if len(worst):
        words.append(f"Frames that fit far worse than the others: {listed(worst)}.")
    return Verdict(
        seen.r_factor,
        r_held_out,
        seen.r_noise if photons else None,
        seen.reduced_deviance if photons else None,
        tuple(worst.tolist()),
        tuple(words),
    )


NO_PHOTONS: Final = (
    "The patterns do not count photons, as they are no whole numbers, or a dark or a flat field was applied to them: "
    "what noise alone would leave is not known."
)


def _of_noise(seen: Fits, hidden: Fits) -> str:
    r, noise = seen.r_factor, seen.r_noise
    figures = f"R is {r:.3g}, and the noise of the photons alone would leave {noise:.3g}"
    if r > CLOSE * noise:
        return (
            f"R is {r / noise:.2g} times what the photons would leave: {figures}. Something in the patterns is not in "
            "the model, such as background, partial coherence, wrong positions, iterations that are still missing, or "
            "counts that are no photons."
        )
    if hidden.r_factor > CLOSE * hidden.r_noise:  # NaN where there are none
        return (
            f"The image fits its own frames to the noise: {figures}. It does not fit those that were held out: "
            f"there R is {hidden.r_factor:.3g}, and noise would leave {hidden.r_noise:.3g}. It follows the noise of "
            "its frames, or they overlap too little."
        )
    if r < noise / CLOSE:
        return f"The image fits closer than to the noise, so it follows the noise of its frames: {figures}."
    return f"The image fits to the noise: {figures}."


def _ratio(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float(a.sum() / b.sum()) if b.sum() > 0 else float("nan")
