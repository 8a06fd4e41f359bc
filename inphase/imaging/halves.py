"""To which resolution the counts determine an image: two halves of them, refined apart, and how alike the images are.

Each photon goes to one half or the other, so that the halves share no noise. Both refinements begin from the result
without its fine detail, which therefore comes from the halves alone (docs/decisions/0036). Loads torch.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from inphase import resolution
from inphase.geometry import Geometry
from inphase.imaging.prepared import PreparedPattern
from inphase.imaging.retrievals import Retrievals
from inphase.pattern import Domain, MaskState
from inphase.resolution import Curve, Shells
from inphase.retrieval import recipe as recipes
from inphase.retrieval.ensemble import Candidate
from inphase.retrieval.problem import Problem
from inphase.retrieval.starts import Starts

RECIPE: Final = "10*RAAR(beta=0.75)+5*ER"  # on the support of the result
SMOOTH: Final = 2.0  # voxels, sigma: what a start forgets; details above half of Nyquist are gone
FEW: Final = 5  # independent voxels of a shell below which half a bit is nearly all of it, and decides nothing
_MANY: Final = 2.0**53  # photons of a voxel: half of them is known better than numbers tell
DISTURBED: Final = 0.3  # radians, rms, voxel by voxel, so that the halves begin apart


@dataclass(frozen=True)
class Halves:
    """overall: Fourier shell correlation of the two images, all directions together. along: the same in a cone about
    each axis of the pattern. thresholds: half a bit, of each curve (`inphase.resolution.half_bit`), the overall one
    first.
    """

    overall: Curve
    along: tuple[Curve, ...]
    thresholds: tuple[NDArray[np.float64], ...]


def halves(prepared: PreparedPattern, best: Candidate, seed: int, retrievals: Retrievals) -> Halves | None:
    """Refine both halves of the photons and correlate; None where the input is not counts."""
    if prepared.domain is not Domain.COUNTS:
        return None
    problem, generator = prepared.problem, np.random.default_rng(seed)
    counts = np.floor(problem.modulus.astype(np.float64) ** 2 + generator.random(problem.modulus.shape))
    few = counts < _MANY
    first = np.where(few, generator.binomial(np.where(few, counts, 0).astype(np.int64), 0.5), counts / 2)
    recipe = recipes.resolve(RECIPE)
    smooth = gaussian_filter(best.object, SMOOTH, mode="wrap")
    images = []
    for half in (first, counts - first):
        # the bound of the padding is a modulus: that of half the counts
        part = Problem(np.sqrt(half).astype(np.float32), problem.mask, problem.free, problem.padding_bound / 2**0.5)
        images.append(retrievals.aside(part, recipe, _start(best, smooth, generator))[0].object)
    # the support holds either in its place; the iterations leave the global phase open
    moved = images[1] * np.exp(1j * np.angle(np.vdot(images[1], images[0])))
    known = problem.mask if problem.free is None else np.where(problem.free, MaskState.MASKED, problem.mask)
    share = float(best.support.mean())
    return _correlated(images[0], moved, np.asarray(known, np.uint8), prepared.geometry, share)


def _start(best: Candidate, smooth: NDArray[np.complex64], generator: np.random.Generator) -> Starts:
    turn = np.exp(1j * DISTURBED * generator.standard_normal(smooth.shape, dtype=np.float32))
    obj = np.where(best.support, smooth * turn, 0).astype(np.complex64)
    return Starts(obj[None], best.support[None], best.kind)


def _correlated(
    one: NDArray[np.complex64],
    other: NDArray[np.complex64],
    mask: NDArray[np.uint8],
    geometry: Geometry | None,
    share: float,
) -> Halves:
    whole = Shells.of(one.shape, geometry)
    cones = [whole.along(axis, one.shape, geometry) for axis in range(one.ndim)]
    curves = [_evened(curve) for curve in resolution.fscs(one, other, (whole, *cones), mask)]
    thresholds = tuple(
        np.where(curve.voxels * share < FEW, -np.inf, resolution.half_bit(curve, share)) for curve in curves
    )
    return Halves(curves[0], tuple(curves[1:]), thresholds)


def _evened(curve: Curve) -> Curve:
    """Mean over three shells: fewer voxels between bright fringes would else decide."""
    kernel = np.ones(3)
    counted = np.convolve(curve.voxels, kernel, "same")
    return replace(curve, values=np.convolve(curve.values * curve.voxels, kernel, "same") / counted)
