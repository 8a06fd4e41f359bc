"""How good an image is beside a known one: what ptychography cannot tell is taken off both first.

A global phase, a linear phase ramp (the probe takes it up) and a shift change no pattern. So they are fitted before
anything is compared, and figures are in units that do not flatter: PSNR at the range of the reference, resolution as a
share of Nyquist that is at most 1.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion
from scipy.optimize import minimize
from skimage.registration import phase_cross_correlation

from inphase.errors import DataError
from inphase.fourier import forward
from inphase.resolution import Curve, Shells, fsc

UPSAMPLING = 50  # steps per pixel of the registration
HALF = 0.5
BORDER = 3  # pixels that moving by a fraction of one disturbs at the edges


@dataclass(frozen=True)
class Scores:
    """Of an image against a reference, within a window.

    correlation: |sum a conj(b)| / (|a| |b|). amplitude_mae, phase_mae (rad): mean absolute differences, the amplitude
    scaled by least squares. amplitude_psnr, phase_psnr: dB at the range (largest less smallest) of the reference's.
    frc: ring correlation by |q|, in units of Nyquist; frc_half: where it first falls below 1/2, 1 where it never does.
    shift_px: by which the image was moved onto the reference.
    """

    correlation: float
    amplitude_mae: float
    phase_mae: float
    amplitude_psnr: float
    phase_psnr: float
    frc: Curve
    frc_half: float
    shift_px: tuple[float, float]


def compared(
    image: NDArray[np.complexfloating], reference: NDArray[np.complexfloating], window: NDArray[np.bool_] | None = None
) -> Scores:
    """Figures of `image` against `reference`, both (Y, X) complex on one grid.

    window: bool, where both mean something; everything by default. Raises DataError for shapes that differ, and where
    the window holds next to nothing.
    """
    if image.shape != reference.shape or image.ndim != 2:
        raise DataError(f"images of {image.shape} and {reference.shape} pixels cannot be compared")
    seen = np.ones(image.shape, bool) if window is None else window
    if seen.shape != image.shape or np.count_nonzero(seen) < 64:
        raise DataError("the window of a comparison has the shape of the images and holds at least 64 pixels")
    box = tuple(slice(int(found.min()), int(found.max()) + 1) for found in np.nonzero(seen))
    a, b, inside = image[box].astype(np.complex128), reference[box].astype(np.complex128), seen[box]
    moved, shift = _registered(_levelled(a, b, inside), b, inside)
    # what wrapped around the edges when the image was moved means nothing
    border = int(np.ceil(np.abs(shift).max())) + BORDER
    inside = binary_erosion(inside, iterations=border) if np.any(shift) else inside
    if not inside.any():
        raise DataError(f"the image lies {shift} pixels away from the reference: nothing of the window is left")
    level = _levelled(moved, b, inside)
    scale = float(np.vdot(level[inside], b[inside]).real / np.vdot(level[inside], level[inside]).real)
    level *= scale
    amplitude = np.abs(level[inside]) - np.abs(b[inside])
    phase = np.angle(level[inside] * b[inside].conj())
    curve = ring_correlation(level, b, inside)
    half = curve.resolution("1/2", HALF)
    return Scores(
        correlation=float(np.abs(np.vdot(level[inside], b[inside]))
        / (np.linalg.norm(level[inside]) * np.linalg.norm(b[inside]))),
        amplitude_mae=float(np.abs(amplitude).mean()),
        phase_mae=float(np.abs(phase).mean()),
        amplitude_psnr=_psnr(amplitude, np.abs(b[inside])),
        phase_psnr=_psnr(phase, np.angle(b[inside] * np.exp(-1j * np.angle(b[inside].sum())))),
        frc=curve,
        frc_half=min(1.0, half.q) if half.crossed else 1.0,
        shift_px=shift,
    )  # fmt: skip


def ring_correlation(
    a: NDArray[np.complexfloating], b: NDArray[np.complexfloating], inside: NDArray[np.bool_]
) -> Curve:
    """Fourier ring correlation of two aligned images within a window, whose edges are faded (Hann) and whose mean is
    taken off: a common frame would correlate by itself. The ring of the mean is left out with it.
    """
    fade = np.outer(*(np.hanning(n + 2)[1:-1] for n in a.shape)) * inside
    faded = [fade * (o - (o * fade).sum() / fade.sum()) for o in (a, b)]
    curve = fsc(faded[0], faded[1], Shells.of(a.shape))
    return replace(curve, q=curve.q[1:], values=curve.values[1:], voxels=curve.voxels[1:])


def _levelled(
    a: NDArray[np.complexfloating], b: NDArray[np.complexfloating], inside: NDArray[np.bool_]
) -> NDArray[np.complexfloating]:
    """`a` without the phase and the ramp that it has beside `b`: those that maximise |sum conj(b) a|."""
    product = np.where(inside, a * b.conj(), 0)
    spectrum = np.abs(forward(product))
    peak = np.unravel_index(int(spectrum.argmax()), spectrum.shape)
    centred = [np.arange(n) - n // 2 for n in a.shape]

    def lost(slope: NDArray[np.float64]) -> float:
        ramp = np.exp(-1j * slope[0] * centred[0])[:, None] * np.exp(-1j * slope[1] * centred[1])
        return -float(np.abs((product * ramp).sum())) / float(np.abs(product).sum())

    begin = np.array([2 * np.pi * (p - n // 2) / n for p, n in zip(peak, a.shape, strict=True)])
    simplex = begin + np.vstack([np.zeros(2), np.diag([np.pi / n for n in a.shape])])
    slope = minimize(lost, begin, method="Nelder-Mead", options={"initial_simplex": simplex, "xatol": 1e-7}).x
    ramp = np.exp(-1j * slope[0] * centred[0])[:, None] * np.exp(-1j * slope[1] * centred[1])
    level: NDArray[np.complexfloating] = a * ramp * np.exp(-1j * np.angle((product * ramp).sum()))
    return level


def _registered(
    a: NDArray[np.complexfloating], b: NDArray[np.complexfloating], inside: NDArray[np.bool_]
) -> tuple[NDArray[np.complexfloating], tuple[float, float]]:
    """`a` moved onto `b`, and by how much; twice, as the window that does not move with it draws the first back."""
    fade = np.outer(*(np.hanning(n + 2)[1:-1] for n in a.shape)) * inside
    rows, columns = (np.fft.fftfreq(n) for n in a.shape)
    moved, total, mean = a, np.zeros(2), a[inside].mean()
    for _ in range(2):
        faded = [fade * (o - (o * fade).sum() / fade.sum()) for o in (b, moved)]
        shift, _, _ = phase_cross_correlation(  # type: ignore[no-untyped-call]
            *faded, upsample_factor=UPSAMPLING, normalization=None
        )
        total += shift
        ramp = np.exp(-2j * np.pi * (total[0] * rows[:, None] + total[1] * columns))
        moved = np.fft.ifft2(np.fft.fft2(a - mean) * ramp) + mean
    return moved, (float(total[0]), float(total[1]))


def _psnr(difference: NDArray[np.floating], reference: NDArray[np.floating]) -> float:
    """10 log10(range^2 / mean square), inf of no difference."""
    square = float(np.mean(np.square(difference)))
    span = float(np.ptp(reference))
    if square == 0:
        return float("inf")
    return float(10 * np.log10(span**2 / square)) if span > 0 else float("-inf")
