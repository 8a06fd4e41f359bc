"""The way of one pattern: decode -> preprocess -> predict -> score -> (refine) -> finish.

The API process, the worker and the command line call these functions. Refinement itself is in service.refine, which
loads torch; nothing here does.
"""

import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from inphase import ambiguity, trust
from inphase.errors import DataError
from inphase.features import volume_features
from inphase.formats import RawScan
from inphase.formats.scan import native
from inphase.free import free_voxels
from inphase.geometry import Geometry
from inphase.metrics import Metrics, measure, noise_chi2
from inphase.pattern import Domain, Pattern
from inphase.preprocess.corrections import Corrections
from inphase.preprocess.pipeline import Prepared, preprocess
from inphase.preprocess.recipe import preset
from inphase.preprocess.validate import pattern_from_array
from inphase.retrieval.ensemble import Candidate, Ensemble
from inphase.retrieval.problem import Problem
from inphase.retrieval.starts import Starts, from_prediction
from service import ensemble as ensembles
from service import strain
from service.clock import Clock
from service.document import (
    CanonicalPart,
    GeometryPart,
    InputPart,
    JobDocument,
    MetricsPart,
    ModelPart,
    OversamplingPart,
    PreprocessPart,
    RecipePart,
    Score,
    StartPart,
    StepPart,
    TrustPart,
)
from service.frame import Frame
from service.inference.prediction import Prediction
from service.jobs.state import JobState
from service.options import CONVENTIONAL, NO_REFINEMENT, Options

if TYPE_CHECKING:
    from service.inference.runtime import Network

Arrays = dict[str, NDArray[Any]]
GRID = (64, 64, 64)  # of a reconstruction without a network
SUPPORT_THRESHOLD = 0.1


@dataclass(frozen=True)
class Draft:
    """A pattern on the model grid with the network's guess: what refinement needs. Arrays are (N0, N1, N2), centred.

    prediction: None where no network was asked. free: None where no voxels are hidden (input not counts).
    geometry: of the model grid, None where unknown.
    frame: of the series whose scan this is; the result is brought into it.
    """

    problem: Problem
    domain: Domain
    prediction: Prediction | None
    support_threshold: float
    oversampling: tuple[float, float, float]
    valid_fraction: float
    noise_chi2: float | None
    geometry: Geometry | None = None
    frame: Frame | None = None

    def network_start(self) -> Starts:
        """The prediction as a start. Raises DataError where there is none, or it is empty."""
        if self.prediction is None:
            raise DataError("no network was asked for a start: use start=network or start=auto")
        return from_prediction(self.prediction.amplitude, self.prediction.phase, self.support_threshold)

    @cached_property
    def guess(self) -> Candidate:
        """The network's object with its score, not refined. Raises DataError where it is empty or none was asked."""
        start = self.network_start()
        obj, support = start.objects[0], start.supports[0]
        return Candidate(obj, support, self.measure(obj, support), "network")

    def measure(
        self, obj: NDArray[np.complex64], support: NDArray[np.bool_], kernel: NDArray[np.float32] | None = None
    ) -> Metrics:
        """How well an object fits; kernel: of partial coherence, where the refinement found one."""
        problem = self.problem
        return measure(
            obj, support, problem.modulus, problem.mask, free=problem.free, domain=self.domain, kernel=kernel
        )

    def to_arrays(self) -> Arrays:
        """What goes into the store; the rest is in the job document."""
        arrays: Arrays = {"modulus": self.problem.modulus, "mask": self.problem.mask}
        if self.problem.free is not None:
            arrays["free"] = self.problem.free
        if self.prediction is not None:
            arrays |= {"amplitude": self.prediction.amplitude, "phase": self.prediction.phase}
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], document: JobDocument) -> "Draft":
        """The inverse of to_arrays."""
        part = document.preprocess
        prediction = Prediction(arrays["amplitude"], arrays["phase"]) if "amplitude" in arrays else None
        return cls(
            problem=Problem(arrays["modulus"], arrays["mask"], arrays.get("free"), part.padding_bound),
            domain=Domain(document.input.domain),
            prediction=prediction,
            support_threshold=document.model.support_threshold if document.model else SUPPORT_THRESHOLD,
            oversampling=document.oversampling.after,
            valid_fraction=part.valid_fraction,
            noise_chi2=document.metrics.noise_chi2,
            geometry=part.geometry.geometry() if part.geometry else None,
        )


@dataclass(frozen=True)
class Finished:
    """The arrays of a result file, the document among them, and the document itself."""

    arrays: Arrays
    document: JobDocument

    def with_document(self, document: JobDocument) -> "Finished":
        """The same arrays under another document."""
        return Finished(self.arrays | {"document": np.array(document.to_json().decode())}, document)


def begin(
    raw: RawScan, options: Options, network: "Network | None", clock: Clock, corrections: Corrections | None = None
) -> tuple[Draft, JobDocument]:
    """decode -> preprocess -> predict -> score -> choose the start. The document says `queued`: nothing is refined yet."""
    with clock("decode"):
        pattern = pattern_from_array(native(raw.array), options.domain, raw.geometry, raw.metadata, raw.mask)
    with clock("preprocess"):
        grid = network.version.card.grid if network else GRID
        recipe = preset(options.preprocess, options.domain, raw.saturation.level if raw.saturation else None)
        prepared = preprocess(pattern, recipe, grid, corrections)
        draft = _drafted(prepared, options, network)
    if network is not None:
        with clock("infer"):
            draft = replace(draft, prediction=_predict(draft, prepared.pattern, network))
    document = _document(raw, pattern, prepared, recipe.text, options, network, draft)
    with clock("score"):
        return draft, choose_start(draft, document)


def choose_start(draft: Draft, document: JobDocument) -> JobDocument:
    """Score the network's guess and settle where the refinement begins; with start=auto by the rules of inphase.trust."""
    start = document.start
    if draft.prediction is None:
        return document.model_copy(update={"start": start.model_copy(update={"kind": "random", "why": "as requested"})})
    faults: list[str]
    try:
        guess = draft.guess
    except DataError as error:
        if start.requested in ("network", "mixed") or document.recipe.refine == NO_REFINEMENT:
            raise
        faults = [str(error)]
        metrics = document.metrics
    else:
        faults = trust.start_faults(guess.metrics, draft.noise_chi2, _support(draft, guess.support))
        metrics = document.metrics.model_copy(update={"network": Score.of(guess.metrics)})
    if start.requested in ("network", "mixed"):
        kind, why = "network", "as requested"
    elif not faults:
        kind, why = "network", "the network's start is sane"
    elif document.recipe.refine == NO_REFINEMENT:
        kind, why = "network", f"not refined, though the network's start is not sane: {'; '.join(faults)}"
    else:
        kind, why = (
            "random",
            f"the network's start is not sane: {'; '.join(faults)}; conventional recipe {CONVENTIONAL} instead",
        )
    return document.model_copy(
        update={"metrics": metrics, "start": start.model_copy(update={"kind": kind, "why": why})}
    )


def finish(
    draft: Draft, document: JobDocument, best: Candidate, clock: Clock, ensemble: Ensemble | None = None
) -> Finished:
    """Bring the best candidate into canonical form, judge it, and put the result together. The document says `succeeded`.

    ensemble: of all candidates, where there were several.
    """
    with clock("encode"):
        refined = document.recipe.refine != NO_REFINEMENT
        verdict = trust.judge(
            best.metrics,
            draft.noise_chi2,
            _support(draft, best.support),
            refined=refined,
            valid_fraction=draft.valid_fraction,
        )
        alone = canonical = ambiguity.canonical(best.object, best.support)
        series = document.series
        if draft.frame is not None:
            canonical, series = draft.frame.join(alone, document, verdict.level)
        maps = strain.maps(canonical, draft.geometry)
        arrays: Arrays = {
            "object": canonical.object,
            "amplitude": np.abs(canonical.object),
            "phase": np.angle(canonical.object),
            "phase_flat": canonical.phase_flat,
            "support": canonical.support,
            "modulus": draft.problem.modulus,
            "mask": draft.problem.mask,
            "free": draft.problem.free if draft.problem.free is not None else np.zeros(draft.problem.mask.shape, bool),
            **_places(draft.geometry, canonical.object.shape),
            **maps.arrays,
            **ensembles.arrays(ensemble, alone, canonical),
        }
        if best.kernel is not None:
            arrays["coherence_kernel"] = best.kernel
    document = document.model_copy(
        update={
            "state": JobState.SUCCEEDED,
            "metrics": document.metrics.model_copy(update={"final": Score.of(best.metrics)}),
            "trust": TrustPart.of(verdict),
            "series": series,
            "start": document.start.model_copy(update={"kind": best.origin}),
            "canonical": CanonicalPart(
                scale=canonical.scale,
                global_phase=canonical.global_phase,
                shift=canonical.shift,
                twin=canonical.twin,
                ramp=canonical.ramp,
            ),
            "ensemble": ensembles.part(ensemble),
            "strain": maps.part,
            "strain_reason": maps.reason,
            "timings_ms": clock.rounded(),
        }
    )
    return Finished(arrays, document).with_document(document)


def shortfalls(draft: Draft, candidate: Candidate) -> list[str]:
    """Why a refined candidate is not good enough to stop at; empty where it is."""
    return trust.shortfalls(candidate.metrics, draft.noise_chi2, _support(draft, candidate.support))


def _places(geometry: Geometry | None, shape: tuple[int, ...]) -> Arrays:
    """Where the voxels lie, as arrays of the result; NaN where it is unknown."""
    unknown = np.full((3, 3), np.nan)
    if geometry is None:
        return {
            "voxel_size_m": unknown[0],
            "voxel_basis_m": unknown,
            "q_centre": unknown[0],
            "sample_rotation": unknown,
        }
    n0, n1, n2 = shape
    basis = geometry.voxel_basis_m((n0, n1, n2))
    return {
        "voxel_size_m": np.linalg.norm(basis, axis=1),
        "voxel_basis_m": basis,
        "q_centre": unknown[0] if geometry.q_centre is None else geometry.q_centre,
        "sample_rotation": unknown if geometry.sample_rotation is None else geometry.sample_rotation,
    }


def _support(draft: Draft, support: NDArray[np.bool_]) -> trust.Support:
    return trust.Support.of(support, draft.oversampling)


def _drafted(prepared: Prepared, options: Options, network: "Network | None") -> Draft:
    pattern = prepared.pattern
    counts = options.domain is Domain.COUNTS
    free = free_voxels(pattern.mask, options.seed) if counts else None
    return Draft(
        problem=Problem(pattern.modulus, pattern.mask, free, prepared.padding_bound),
        domain=options.domain,
        prediction=None,
        support_threshold=network.version.card.support_threshold if network else SUPPORT_THRESHOLD,
        oversampling=prepared.oversampling_after,
        valid_fraction=prepared.valid_fraction,
        noise_chi2=noise_chi2(pattern.intensity, pattern.mask) if counts else None,
        geometry=pattern.geometry,
    )


def _predict(draft: Draft, pattern: Pattern, network: "Network") -> Prediction:
    card = network.version.card
    if draft.domain.value not in card.domain:
        raise DataError(
            f"model {network.version.label} takes {' or '.join(card.domain)}, not {draft.domain.value}: "
            "choose another model or domain"
        )
    return network.predict(volume_features(pattern.intensity, pattern.mask, draft.problem.free, card.inputs))


def _document(
    raw: RawScan,
    pattern: Pattern,
    prepared: Prepared,
    recipe: str,
    options: Options,
    network: "Network | None",
    draft: Draft,
) -> JobDocument:
    refine = options.recipe()
    return JobDocument(
        id=uuid4().hex,
        state=JobState.QUEUED,
        model=_model_part(network) if network else None,
        recipe=RecipePart(preprocess=recipe, refine=refine.text if refine else NO_REFINEMENT),
        input=InputPart(
            digest=pattern.digest,
            shape=raw.array.shape,
            dtype=str(raw.array.dtype),
            domain=options.domain.value,
            source=raw.source,
            chosen=raw.chosen,
        ),
        oversampling=OversamplingPart(measured=prepared.oversampling_measured, after=prepared.oversampling_after),
        preprocess=PreprocessPart(
            steps=[StepPart(name=step.name, numbers=dict(step.numbers)) for step in prepared.steps],
            valid_fraction=prepared.valid_fraction,
            counts_inside=prepared.counts_inside,
            padding_bound=prepared.padding_bound,
            binning=prepared.transform.bins,
            offset=prepared.transform.offset,
            shape=prepared.pattern.shape,
            voxel_size_m=draft.geometry.voxel_size_m(prepared.pattern.shape) if draft.geometry else None,
            geometry=GeometryPart.of(draft.geometry, prepared.pattern.shape) if draft.geometry else None,
        ),
        metrics=MetricsPart(noise_chi2=draft.noise_chi2),
        start=StartPart(
            requested=options.start, kind="network", why="", random_starts=options.starts, seed=options.seed
        ),
        timings_ms={},
        code_version=importlib.metadata.version("inphase"),
        created=datetime.now(UTC).isoformat(timespec="milliseconds"),
    )


def _model_part(network: "Network") -> ModelPart:
    card = network.version.card
    return ModelPart(
        name=card.name,
        version=card.version,
        sha256=card.sha256,
        provider=network.provider,
        support_threshold=card.support_threshold,
    )
