"""The way of one pattern: prepare -> predict -> choose the start -> (refine) -> judge.

The library, the service and the evaluation of networks all take it. The refinement itself is in
`inphase.imaging.refine`, which loads torch; nothing here does.
"""

import importlib.metadata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from inphase import ambiguity, trust
from inphase.errors import CancelledError, DataError
from inphase.formats import RawScan
from inphase.formats.region import Region
from inphase.formats.scan import native
from inphase.free import free_voxels
from inphase.geometry import Geometry
from inphase.imaging import consensus, report
from inphase.imaging.clock import Clock
from inphase.imaging.earlier import Earlier, similarity
from inphase.imaging.maps import image_maps, maps
from inphase.imaging.options import CONVENTIONAL, NO_REFINEMENT, Options
from inphase.imaging.prepared import SUPPORT_THRESHOLD, PreparedPattern
from inphase.imaging.reconstruction import Reconstruction
from inphase.imaging.report import Report
from inphase.imaging.signs import estimate
from inphase.metrics import noise_chi2
from inphase.models.card import Card, PatternCard, of_patterns
from inphase.models.families import single
from inphase.models.prediction import Network
from inphase.pattern import Domain, Pattern
from inphase.preprocess.pipeline import Cleaned, Prepared, cleaned, grid_for
from inphase.preprocess.reach import finest
from inphase.preprocess.recipe import preset
from inphase.preprocess.validate import pattern_from_array
from inphase.retrieval.ensemble import Candidate, Ensemble
from inphase.retrieval.ladder import Ladder
from inphase.retrieval.problem import Problem

LEAST_LIGHT: Final = 1e-3  # share: a region that holds less would make the light of the others infinite
CODE: Final = importlib.metadata.version("inphase")


class CommonFrame(Protocol):
    """Where the results of a series are brought to, so that they can be compared voxel by voxel."""

    def join(
        self, form: ambiguity.Canonical, report: Report, trusted: trust.Level
    ) -> tuple[ambiguity.Canonical, report.Series]:
        """Bring a result into the frame, or make it the frame where it is the first that can be trusted."""
        ...


@dataclass(frozen=True)
class Preparation:
    """What `prepare` made. pattern: on the grid, from which a network's inputs are taken."""

    prepared: PreparedPattern
    report: Report
    pattern: Pattern


@dataclass(frozen=True)
class _Gridded:
    """A measurement on the grid of the model, from where `_climbing` goes on to finer ones."""

    preparation: Preparation
    clean: Cleaned
    found: Prepared


def begin(
    scan: RawScan,
    options: Options,
    network: Network | None,
    clock: Clock,
    *,
    look: report.Look | None = None,
    earlier: Earlier | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> tuple[PreparedPattern, Report]:
    """prepare -> predict -> choose the start. Nothing is refined yet.

    network: None where none is needed. With start=random its card gives the grid, and its image is not asked for.
    look: which one of an unfinished curve it is. earlier: the image of the look before. cancelled: asked before the
    network is. Raises CancelledError.
    """
    gridded = _gridded(scan, options, network.version.card if network else None, clock)
    preparation = gridded.preparation
    if cancelled is not None and cancelled():
        raise CancelledError("cancelled before a network was asked")
    if earlier is not None:
        again = earlier.on(preparation.report.preprocess)
        preparation = replace(preparation, prepared=replace(preparation.prepared, earlier=again))
    preparation = replace(preparation, report=replace(preparation.report, look=look))
    with ThreadPoolExecutor(1) as beside:  # the network needs nothing of the finer grids
        climbing = beside.submit(_climbing, gridded, options, clock)
        if network is not None and options.start != "random":
            preparation = predict(preparation, network, clock)
        ladder, grid = climbing.result()
    prepared, report = replace(preparation.prepared, ladder=ladder), replace(preparation.report, grid=grid)
    with clock("score"):
        return prepared, choose_start(prepared, report)


def prepare(scan: RawScan, options: Options, card: Card | None, clock: Clock) -> Preparation:
    """Check the scan, clean it, bring it onto the grid of the card and hide the free voxels.
    Raises DataError, RecipeError.
    """
    gridded = _gridded(scan, options, card, clock)
    ladder, grid = _climbing(gridded, options, clock)
    made = gridded.preparation
    return replace(made, prepared=replace(made.prepared, ladder=ladder), report=replace(made.report, grid=grid))


def _gridded(scan: RawScan, options: Options, card: Card | None, clock: Clock) -> _Gridded:
    known = None if card is None else of_patterns(card)
    with clock("decode"):
        measured = pattern_from_array(native(scan.array), options.domain, scan.geometry, scan.metadata, scan.mask)
    with clock("preprocess"):
        recipe = preset(options.preprocess, options.domain, scan.saturation.level if scan.saturation else None)
        central = options.slice == "center"
        shape = grid_for(measured, known.grid if known else None, central_slice=central)
        clean = cleaned(measured, recipe, scan.corrections, central_slice=central)
        if scan.region is not None:
            clean = _of_region(clean, scan.region)
        found = clean.on(shape)
        prepared = _prepared(found, options, known)
        told = _report(scan, measured, found, recipe.text, options, prepared)
    return _Gridded(Preparation(prepared, told, found.pattern), clean, found)


def predict(preparation: Preparation, network: Network, clock: Clock) -> Preparation:
    """Ask a network for its image of a prepared pattern. Raises DataError where it was not made for such patterns."""
    version, prepared = network.version, preparation.prepared
    card = of_patterns(version.card)
    with clock("infer"):
        features = single.features(card, preparation.pattern, prepared.problem.free)
        prediction = single.decode(card, network.infer(features))[0]
    model = report.part(report.Model, card, provider=network.provider)
    return replace(
        preparation,
        prepared=replace(prepared, prediction=prediction),
        report=replace(preparation.report, model=model),
    )


def choose_start(prepared: PreparedPattern, found: Report) -> Report:
    """Score the network's guess and settle where the refinement begins;
    with start=auto by the rules of inphase.trust.
    """
    start, metrics = found.start, found.metrics
    refined = found.recipe.refine != NO_REFINEMENT
    obeyed = start.requested in ("network", "mixed")
    if prepared.prediction is None:
        return replace(found, start=replace(start, kind="random", why="as requested"))
    faults: list[str]
    try:
        guess = prepared.guess
    except DataError as error:
        if obeyed or not refined:
            raise
        faults = [str(error)]
    else:
        faults = trust.start_faults(guess.metrics, prepared.noise_chi2, prepared.support_of(guess))
        metrics = replace(metrics, network=report.part(report.Score, guess.metrics))
    insane = f"the network's start is not sane: {'; '.join(faults)}"
    if obeyed:
        start = replace(start, kind="network", why="as requested")
    elif not faults:
        start = replace(start, kind="network", why="the network's start is sane")
    elif not refined:
        start = replace(start, kind="network", why=f"not refined, though {insane}")
    else:
        start = replace(start, kind="random", why=f"{insane}; conventional recipe {CONVENTIONAL} instead")
    return replace(found, metrics=metrics, start=start)


def judge(
    prepared: PreparedPattern,
    found: Report,
    best: Candidate,
    clock: Clock,
    ensemble: Ensemble | None = None,
    frame: CommonFrame | None = None,
    estimated: trust.Estimate | None = None,
) -> Reconstruction:
    """Bring the best candidate into canonical form, say how far it can be trusted, and put the result together.

    ensemble: of all candidates, where there were several. frame: of the series whose scan this is. estimated: how
    probably the image is right, where that is known already; else from its signs.
    """
    with clock("encode"):
        refined = found.recipe.refine != NO_REFINEMENT
        if estimated is None:
            estimated = estimate(prepared, best, found.preprocess.counts_inside, ensemble, refined=refined)
        verdict = trust.judge(
            best.metrics,
            prepared.noise_chi2,
            prepared.support_of(best),
            refined=refined or found.metrics.refined is not None,
            valid_fraction=prepared.valid_fraction,
            evidence=_evidence(found, ensemble),
            estimate=estimated,
        )
        alone = canonical = ambiguity.canonical(best.object, best.support)
        series = found.series
        if frame is not None:
            canonical, series = frame.join(alone, found, verdict.level)
        derived = maps(canonical, prepared.geometry)
        problem = prepared.problem
        arrays: dict[str, NDArray[Any]] = {
            "object": canonical.object,
            "amplitude": np.abs(canonical.object),
            "phase": np.angle(canonical.object),
            "phase_flat": canonical.phase_flat,
            "support": canonical.support,
            "modulus": problem.modulus,
            "mask": problem.mask,
            "free": problem.free if problem.free is not None else np.zeros(problem.mask.shape, bool),
            **_places(prepared.geometry, canonical.object.shape),
            **derived.arrays,
            **image_maps(canonical),
            **consensus.arrays(ensemble, alone, canonical),
        }
        if best.kernel is not None:
            arrays["coherence_kernel"] = best.kernel
    return Reconstruction(
        arrays,
        replace(
            found,
            metrics=replace(found.metrics, final=report.part(report.Score, best.metrics)),
            trust=verdict,
            series=series,
            start=replace(found.start, kind=best.origin),
            look=_compared(found.look, prepared, canonical.object),
            canonical=report.part(report.Canonical, canonical),
            ensemble=consensus.reported(ensemble),
            strain=derived.strain,
            strain_reason=derived.reason,
            timings_ms=clock.rounded(),
        ),
    )


def _compared(look: report.Look | None, prepared: PreparedPattern, obj: NDArray[np.complex64]) -> report.Look | None:
    """A look with how much of its image is that of the look before."""
    if look is None or prepared.earlier is None:
        return look
    return replace(look, similarity=similarity(obj, prepared.earlier))


def _evidence(found: Report, ensemble: Ensemble | None) -> trust.Evidence:
    steps = found.preprocess.steps
    return trust.Evidence(
        faults=tuple(fault for step in steps for fault in step.faults),
        doubts=(
            *(doubt for step in steps for doubt in step.doubts),
            *(found.grid.doubts() if found.grid else ()),
            *(found.look.doubts() if found.look else ()),
        ),
        starts=len(ensemble.members) if ensemble else 1,
        accepted=ensemble.accepted if ensemble else 1,
        rivals=ensemble.rivals if ensemble else 0,
    )


def _places(geometry: Geometry | None, shape: tuple[int, ...]) -> dict[str, NDArray[Any]]:
    """Where the voxels lie, as arrays of the result; NaN where it is unknown."""
    basis = np.full((len(shape), 3), np.nan) if geometry is None else geometry.voxel_basis_m(shape)
    centre = None if geometry is None else geometry.q_centre
    rotation = None if geometry is None else geometry.sample_rotation
    return {
        "voxel_size_m": np.linalg.norm(basis, axis=1),
        "voxel_basis_m": basis,
        "q_centre": np.full(3, np.nan) if centre is None else centre,
        "sample_rotation": np.full((3, 3), np.nan) if rotation is None else rotation,
    }


def _prepared(found: Prepared, options: Options, card: PatternCard | None) -> PreparedPattern:
    pattern = found.pattern
    counts = options.domain is Domain.COUNTS
    free = free_voxels(pattern.mask, options.seed) if counts else None
    return PreparedPattern(
        problem=Problem(pattern.modulus, pattern.mask, free, found.padding_bound),
        domain=options.domain,
        prediction=None,
        support_threshold=card.support_threshold if card else SUPPORT_THRESHOLD,
        oversampling=found.oversampling_after,
        valid_fraction=found.valid_fraction,
        noise_chi2=noise_chi2(pattern.intensity, pattern.mask) if counts else None,
        geometry=pattern.geometry,
    )


def _of_region(clean: Cleaned, region: Region) -> Cleaned:
    """With what is known of the rest of the frames: the share of the light in a grid is one of all of it."""
    share = 1.0 if region.surveyed is None else region.surveyed.light
    return replace(clean, counts=clean.counts / max(share, LEAST_LIGHT), steps=(region.report(), *clean.steps))


def _climbing(gridded: _Gridded, options: Options, clock: Clock) -> tuple[Ladder | None, report.Grid]:
    """The measurement on the finest grid that it is worth, where that is not the model's."""
    clean, model = gridded.clean, gridded.found
    with clock("preprocess"):
        found = finest(clean, model.transform, options.finest)
        if found.window is None:
            return None, report.Grid(options.grid, found.why)
        whole = clean.in_window(found.window)
        ladder = Ladder.of(whole, model, gridded.preparation.prepared.problem.free, options.seed)
        counts = whole.pattern.total
    return ladder, report.Grid(options.grid, found.why, _placed(whole), whole.oversampling_after, counts)


def _placed(found: Prepared) -> report.Preprocessing:
    """How the measurement came onto a grid."""
    geometry, shape = found.pattern.geometry, found.pattern.shape
    return report.part(
        report.Preprocessing,
        found,
        binning=found.transform.bins,
        offset=found.transform.offset,
        shape=shape,
        voxel_size_m=geometry.voxel_size_m(shape) if geometry else None,
        geometry=report.GridGeometry.of(geometry, shape) if geometry else None,
    )


def _report(
    scan: RawScan, measured: Pattern, found: Prepared, recipe: str, options: Options, prepared: PreparedPattern
) -> Report:
    refine = options.recipe()
    return Report(
        model=None,
        recipe=report.Recipes(
            preprocess=recipe,
            refine=refine.text if refine else NO_REFINEMENT,
            conventional=options.conventional().text if refine else NO_REFINEMENT,
        ),
        input=report.Input(
            digest=measured.digest,
            shape=scan.array.shape,
            dtype=str(scan.array.dtype),
            domain=options.domain.value,
            source=scan.source,
            chosen=scan.chosen,
            metadata=dict(scan.metadata),
        ),
        oversampling=report.Oversampling(found.oversampling_measured, found.oversampling_after),
        preprocess=_placed(found),
        metrics=report.Scores(noise_chi2=prepared.noise_chi2),
        start=report.Beginning(options.start, "network", "", options.starts, options.seed),
        timings_ms={},
        code_version=CODE,
        created=datetime.now(UTC).isoformat(timespec="milliseconds"),
    )
