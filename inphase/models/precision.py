"""Whether a network computes what it was trained to on something that computes less exactly, or is broken.

A pattern of a known kind is predicted in float32 on the CPU and on what is to serve, and both images are compared with
the pattern. Rounding changes no figure that a user decides by; a wrong kernel, an overflow or a lost layer does.
"""

from typing import Final

import numpy as np

from inphase import fourier
from inphase.errors import DataError
from inphase.metrics import measure
from inphase.models.card import PatternCard, of_patterns
from inphase.models.families import single
from inphase.models.prediction import Network
from inphase.pattern import Domain, Pattern
from inphase.retrieval.starts import from_prediction

TOLERANCE: Final = 0.01  # of chi2; docs/decisions/0045 says why
_PHOTONS: Final = 1e8  # so many that noise hides no difference


class ImpreciseError(Exception):
    """The image is another one, or none."""


def specimen(card: PatternCard, seed: int = 0) -> Pattern:
    """The pattern of a faceted, bent crystal on a model's grid: counts, 1e8 photons in all; the same for the same seed.

    The crystal is as large as the middle of the card's range of oversampling says.
    """
    across = 2 / (card.oversampling[0] + card.oversampling[1])  # of the grid
    axes = [
        axis / (across * n / 2)
        for axis, n in zip(np.ogrid[tuple(slice(-(n // 2), n - n // 2) for n in card.grid)], card.grid, strict=True)
    ]
    inside = np.ones(card.grid, bool)
    for axis, half in zip(axes, (1.0, 0.9, 0.8), strict=False):
        inside &= abs(axis) < half
    inside &= sum(axes) < 1.5  # without a centre of symmetry
    bent = 0.8 * np.sin(2 * axes[0] + axes[-1])
    intensity = np.abs(fourier.forward(inside * np.exp(1j * bent))) ** 2
    counts = np.random.default_rng(seed).poisson(intensity * (_PHOTONS / intensity.sum()))
    domain = Domain.COUNTS if "counts" in card.domain else Domain.MODULUS
    return Pattern(counts.astype(np.float32), np.zeros(card.grid, np.uint8), domain)


def chi2(network: Network, pattern: Pattern) -> float:
    """How well a network's image of a pattern fits it, before any refinement. Raises ImpreciseError for none."""
    card = of_patterns(network.version.card)
    outputs = network.infer(single.features(card, pattern, None))
    try:
        (prediction,) = single.decode(card, outputs)
        start = from_prediction(prediction.amplitude, prediction.phase, card.support_threshold)
        modulus = np.sqrt(pattern.intensity)
        return measure(start.objects[0], start.supports[0], modulus, pattern.mask, domain=pattern.domain).chi2
    except DataError as error:
        raise ImpreciseError(str(error)) from error


def check(network: Network, reference: Network) -> None:
    """Compare the images of the same version on two executions.
    Raises ImpreciseError where chi2 differs by more than TOLERANCE of the reference's, and for networks of scans, of
    which nothing is known to compare with.
    """
    try:
        pattern = specimen(of_patterns(reference.version.card))
    except DataError as error:
        raise ImpreciseError(f"there is no test pattern for it: {error}") from error
    right, found = chi2(reference, pattern), chi2(network, pattern)
    if not abs(found - right) <= TOLERANCE * right:
        raise ImpreciseError(
            f"chi2 of its image of the test pattern is {found:.4g}, in float32 on the CPU {right:.4g}: "
            f"more than {TOLERANCE:.0%} apart"
        )
