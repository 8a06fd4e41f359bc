"""Objects for simulated scans: crossing lines, a Gaussian random field, and large etched features.

The objects of Hoidn et al., Sci. Rep. 13:22789 (2023), figure 2 and table 1; their large features were measured on
etched tungsten, ours are drawn. Amplitudes are at most 1: an object lets no more light through than there is.
"""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom
from skimage.draw import line

COUNT = 400  # lines on a canvas of twice the side
BLURS = ((1.0, 1.0), (2.0, 5.0), (5.0, 10.0))  # weight and sigma in pixels of what lines are drawn with
EXPONENT = -0.4  # of the random field's power spectrum
PLATES = 60  # on a canvas of 1.4 times the side, of which they leave about half
LENGTHS, BREADTHS = (40.0, 160.0), (24.0, 48.0)  # of the plates, pixels: the light of the paper's probe is 22 wide
SLOPE = 3.0  # sigma of the walls, pixels
ABSORBED = 0.5  # of the amplitude, by a plate
UNEVEN = (0.02, 20.0)  # standard deviation and sigma in pixels of the metal's thickness


def lines(side: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """(side, side) in [0, 1]: lines of random directions, sharp and blurred. Sharp and anisotropic."""
    size = 2 * side
    canvas = np.zeros((size, size))
    for ends in generator.integers(0, size, (COUNT, 4)):
        canvas[line(*map(int, ends))] = 1  # type: ignore[no-untyped-call]
    drawn = sum(weight * gaussian_filter(canvas, sigma) for weight, sigma in BLURS)
    begin = side // 2
    return _over_maximum(np.asarray(drawn)[begin : begin + side, begin : begin + side])


def random_field(side: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """(side, side) in [0, 1], side even: a Gaussian random field of P(k) ~ k^-0.4. Sharp and isotropic."""
    half = side // 2
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(half), np.fft.fftfreq(half), indexing="ij"))
    frequency[0, 0] = np.inf  # the mean is none of the field's
    spectrum = np.fft.fft2(generator.normal(size=(half, half))) * frequency ** (EXPONENT / 2)
    field = np.fft.ifft2(spectrum).real
    field = (field - field.min()) / np.ptp(field)
    return _over_maximum(gaussian_filter(zoom(field, 2, order=1), 1.0))


def large_features(side: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """(side, side) in [0, 1]: plates along two directions, with sloping walls. Coarse and anisotropic."""
    line = np.arange(side) - side / 2
    turn = np.exp(1j * generator.uniform(0, np.pi)) * (line[:, None] + 1j * line)
    metal = np.zeros((side, side))
    for _ in range(PLATES):
        across, along = generator.uniform(-0.7 * side, 0.7 * side, 2)
        sides = generator.permutation([generator.uniform(*LENGTHS), generator.uniform(*BREADTHS)])
        metal[(np.abs(turn.real - across) < sides[0] / 2) & (np.abs(turn.imag - along) < sides[1] / 2)] = 1
    strength, sigma = UNEVEN
    rough = gaussian_filter(generator.normal(size=(side, side)), sigma, mode="wrap")
    return _over_maximum(1 - ABSORBED * gaussian_filter(metal, SLOPE) + strength * rough / rough.std())


TEXTURES: Final[Mapping[str, Callable[[int, np.random.Generator], NDArray[np.float64]]]] = {
    "lines": lines,
    "random_field": random_field,
    "large_features": large_features,
}


def with_phase(amplitude: NDArray[np.float64]) -> NDArray[np.complex128]:
    """The object of this amplitude whose phase, pi tanh((A - max A / 2) / (3 mean A)), follows it."""
    phase = np.pi * np.tanh((amplitude - amplitude.max() / 2) / (3 * amplitude.mean()))
    obj: NDArray[np.complex128] = amplitude * np.exp(1j * phase)
    return obj


def _over_maximum(image: NDArray[np.float64]) -> NDArray[np.float64]:
    over: NDArray[np.float64] = image / image.max()
    return over
