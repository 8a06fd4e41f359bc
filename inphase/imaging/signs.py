"""What a job knows that tells right images from wrong ones: numbers for `inphase.probability`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from inphase.ambiguity import align
from inphase.errors import DataError
from inphase.imaging.prepared import PreparedPattern
from inphase.probability import Calibration, Image, calibration
from inphase.retrieval.ensemble import Candidate, Ensemble
from inphase.trust import Estimate, Finding

BULK = 0.2  # of the largest amplitude: below it lies the smoothed edge, which any support may hold more or less of
CENTRE = 1.5  # fringes from the Bragg peak
LEAST_OUTSIDE = 1e-3  # share of the counts: less says nothing
SPEAKS = -0.5  # added to the log odds: what a sign has to lower them by to be named
MOST = 2  # signs that are named

MORE_STARTS = "take more starts (start=mixed), and see whether they agree"
# what each sign says where it lowers the probability, and what may help
SAID: Mapping[str, tuple[str, str]] = {
    "plateau": (
        "the amplitude is uneven (its median is {:.2f} of the largest, that of right images 0.6 to 0.9)",
        f"{MORE_STARTS}; an object that is uneven itself looks the same",
    ),
    "phase_step": (
        "the phase jumps from voxel to voxel (by {:.2f} rad on average)",
        f"strain that is not resolved, or a failed retrieval; {MORE_STARTS}, with refine=strained",
    ),
    "central_light": (
        "little of the light lies around the Bragg peak (10^{:.1f} within 1.5 fringes)",
        "strong strain or a masked centre make the image ambiguous; take more starts with refine=strained",
    ),
    "misfit": (
        "chi2 is far above what noise leaves (10^{:.1f} times)",
        "look for background, gaps and a second crystal that are not masked",
    ),
    "free_excess": ("hidden voxels fit worse than the others (10^{:.1f} times)", "use a shorter recipe"),
    "extent": (
        "the support is longer or shorter than the autocorrelation says (by e^{:.1f})",
        "look for background and a second crystal that are not masked; " + MORE_STARTS,
    ),
    "oversampling": ("the least oversampling is {:.2f}", "rock in smaller steps, move the detector away, or bin less"),
    "outside": ("counts lie outside of the window (10^{:.1f} of all)", "bin more, or crop less"),
    "incoherence": (
        "the light was hardly coherent (the coherence kernel's middle lacks {:.2f})",
        "close the slits, or look for background that is not masked",
    ),
    "likeness": ("the refined image is unlike the network's (correlation {:.2f})", MORE_STARTS),
    "agreement": (
        "no other start comes near to it (correlation {:.2f} at best)",
        "take more starts, or a longer recipe",
    ),
}


@dataclass(frozen=True)
class Signs:
    """Signs of one image, each without a unit; None where a job does not have it.

    plateau: median amplitude above 0.2 of the largest (99.9th percentile within the support). A homogeneous object has
        nearly the same amplitude everywhere but at its edge; stripes, holes and hot spots of a wrong one lower it.
    phase_step: mean |phase| in radians between neighbours above that amplitude, about the mean ramp; speckles: pi / 2.
    central_light: log10 of the share of measured light within 1.5 fringes of the centre, which strain, domains and a
        missing centre lower.
    misfit: log10 of chi2 over what Poisson noise leaves. free_excess: log10 of free over working log-likelihood.
    extent: largest |ln| of the support's extents over what the autocorrelation says. oversampling: the least of all.
    outside: log10 of the share of counts outside the window.
    incoherence: 1 - the coherence kernel's middle, 0 where the light was taken for coherent.
    likeness: correlation of the network's image with this one. agreement: of the best other solution with this one.
    """

    plateau: float
    phase_step: float
    central_light: float
    misfit: float
    free_excess: float
    extent: float
    oversampling: float
    outside: float
    incoherence: float
    likeness: float | None = None
    agreement: float | None = None

    @classmethod
    def of(
        cls, prepared: PreparedPattern, best: Candidate, counts_inside: float, ensemble: Ensemble | None = None
    ) -> "Signs":
        """Those of a result. counts_inside: share of the measured counts in the grid's valid voxels.

        Raises DataError where there are none: for a modulus, a projection, or without free voxels.
        """
        metrics, noise = best.metrics, prepared.noise_chi2
        if prepared.problem.modulus.ndim != 3:
            raise DataError("it is calibrated on volumes, and this is the projection of one: measure a rocking curve")
        if noise is None:
            raise DataError("it is calibrated on photon counts, and the input is a modulus: give the counts")
        if metrics.free_llk is None or metrics.llk is None:
            raise DataError(f"it needs the free log-likelihood: {metrics.free_llk_reason}")
        extents = prepared.support_of(best).extent
        return cls(
            plateau=_plateau(best),
            phase_step=_phase_step(best),
            central_light=_central_light(prepared),
            misfit=_log10(metrics.chi2 / noise),
            free_excess=_log10(metrics.free_llk / max(metrics.llk, 1e-6)),
            extent=max((abs(float(np.log(extent))) for extent in extents), default=0.0),
            oversampling=min(prepared.oversampling),
            outside=_log10(max(1 - counts_inside, LEAST_OUTSIDE)),
            incoherence=0.0 if best.kernel is None else 1 - float(best.kernel.ravel()[best.kernel.size // 2]),
            likeness=_likeness(prepared, best),
            agreement=_agreement(ensemble),
        )


def estimate(
    prepared: PreparedPattern, best: Candidate, counts_inside: float, ensemble: Ensemble | None, *, refined: bool
) -> Estimate:
    """The probability that an image is right, and what lowers it most."""
    try:
        signs = asdict(Signs.of(prepared, best, counts_inside, ensemble))
    except DataError as error:
        return Estimate(None, f"the probability of being right is unknown: {error}")
    of: Image = "refined" if refined else "network"
    known = calibration(of)
    return Estimate(known.probability(signs), None, _against(signs, known))


def _against(signs: Mapping[str, float | None], known: Calibration) -> tuple[Finding, ...]:
    """The signs that lower the probability most, below what the median image of the calibration has. A sign that a job
    does not have lowers it too, and is not named.
    """
    shares = known.shares(signs)
    named = sorted((name for name in shares if signs[name] is not None), key=lambda name: shares[name])
    found = []
    for name in [name for name in named if shares[name] < SPEAKS][:MOST]:
        what, remedy = SAID[name]
        found.append(Finding(what.format(signs[name]), remedy))
    return tuple(found)


def _plateau(best: Candidate) -> float:
    amplitude = np.abs(best.object[best.support])
    amplitude = amplitude / np.percentile(amplitude, 99.9)
    return float(np.median(amplitude[amplitude > BULK]))


def _phase_step(best: Candidate) -> float:
    """Products of neighbours along every axis; their argument is the step, that of their sum the ramp."""
    amplitude = np.abs(best.object)
    bulk = best.support & (amplitude > BULK * np.percentile(amplitude[best.support], 99.9))
    lines = [
        np.flatnonzero(bulk.any(axis=tuple(a for a in range(bulk.ndim) if a != axis))) for axis in range(bulk.ndim)
    ]
    box = tuple(slice(int(line[0]), int(line[-1]) + 1) for line in lines)
    obj = np.where(bulk[box], best.object[box], 0)
    total, number = 0.0, 0
    for axis in range(obj.ndim):
        along = np.moveaxis(obj, axis, 0)
        product = (along[1:] * along[:-1].conj()).ravel()
        product = product[product != 0]
        total += float(np.abs(np.angle(product * np.exp(-1j * np.angle(product.sum())))).sum())
        number += product.size
    return total / max(number, 1)


def _central_light(prepared: PreparedPattern) -> float:
    """Unknown voxels hold no light, so that a missing centre shows."""
    intensity = np.where(prepared.problem.mask == 0, prepared.problem.modulus, 0).astype(np.float64) ** 2
    axes = np.ogrid[tuple(slice(-(n // 2), n - n // 2) for n in intensity.shape)]
    distance = sum((axis / sigma) ** 2 for axis, sigma in zip(axes, prepared.oversampling, strict=True))
    return _log10(float(intensity[distance < CENTRE**2].sum() / intensity.sum()))


def _likeness(prepared: PreparedPattern, best: Candidate) -> float | None:
    """None where no network was asked, it predicted nothing, or this is its image."""
    try:
        guess = prepared.guess
    except DataError:
        return None
    if guess.object is best.object:
        return None
    return align(guess.object, best.object)[1].score


def _agreement(ensemble: Ensemble | None) -> float | None:
    if ensemble is None:
        return None
    others = [member.correlation for member in ensemble.members if member.alignment is not None]
    return max(others, default=None)


def _log10(value: float) -> float:
    return float(np.log10(max(value, 1e-6)))
