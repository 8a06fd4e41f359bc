"""The job document: what the API answers, the record keeps, the result file carries and `--json` prints (DESIGN 5)."""

from typing import Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from inphase.geometry import PHASE_SIGN, Geometry
from inphase.metrics import Metrics
from inphase.preprocess.report import StepReport
from inphase.trust import Trust
from service.jobs.errors import DocumentError
from service.jobs.state import JobState, Priority, Progress

Triple = tuple[float, float, float]
Matrix = tuple[Triple, Triple, Triple]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class ModelPart(_Part):
    """Which network predicted the start."""

    name: str
    version: int
    sha256: str
    provider: str = Field(description="what onnxruntime really runs it on")
    support_threshold: float = Field(description="of the largest predicted amplitude")


class RecipePart(_Part):
    """What was done, with every default resolved."""

    preprocess: str
    refine: str = Field(description='canonical recipe string, or "none"')


class InputPart(_Part):
    """What came in."""

    digest: str
    shape: tuple[int, ...]
    dtype: str
    domain: Literal["counts", "modulus"]
    source: str = Field(description="file name, or the kind of body")
    chosen: str = Field("", description="what was taken out of a container, and what was passed over")


class StepPart(_Part):
    """One preprocessing step, the numbers it reports, and what it says of the result's worth."""

    name: str
    numbers: dict[str, Any]
    faults: list[str] = Field(default_factory=list, description="why a result of these data is not to be relied on")
    doubts: list[str] = Field(default_factory=list, description="what a reader should know of it")

    @classmethod
    def of(cls, step: StepReport) -> Self:
        """The same as JSON."""
        return cls(name=step.name, numbers=dict(step.numbers), faults=list(step.faults), doubts=list(step.doubts))


class GeometryPart(_Part):
    """Where the voxels of the result lie. Laboratory frame: x outboard, y up, z along the beam; crystal as in the middle frame."""

    frame: Literal["laboratory"] = "laboratory"
    voxel_basis_m: Matrix = Field(
        description="metres; row a is the step along axis a of the object, in general sheared"
    )
    q_steps: Matrix = Field(description="1/m; row a is the change of Q along axis a of the pattern")
    q_centre: Triple | None = Field(description="1/m; Q = k_out - k_in at the pattern's DC voxel, null where unknown")
    sample_rotation: Matrix | None = Field(description="laboratory -> sample with all its circles at zero")

    @classmethod
    def of(cls, geometry: Geometry, shape: tuple[int, int, int]) -> Self:
        """The geometry of the grid with `shape` voxels."""
        rotation, q = geometry.sample_rotation, geometry.q_centre
        return cls(
            voxel_basis_m=geometry.voxel_basis_m(shape).tolist(),
            q_steps=geometry.q_steps.tolist(),
            q_centre=None if q is None else q.tolist(),
            sample_rotation=None if rotation is None else rotation.tolist(),
        )

    def geometry(self) -> Geometry:
        """The inverse of `of`."""
        return Geometry(
            np.array(self.q_steps),
            None if self.q_centre is None else np.array(self.q_centre),
            None if self.sample_rotation is None else np.array(self.sample_rotation),
        )


class PreprocessPart(_Part):
    """How the measurement came onto the model's grid."""

    steps: list[StepPart]
    valid_fraction: float
    counts_inside: float
    padding_bound: float
    binning: tuple[int, int, int]
    offset: tuple[int, int, int] = Field(description="first measured voxel of the window, may be negative")
    shape: tuple[int, int, int] = Field(description="voxels of the result grid")
    voxel_size_m: tuple[float, float, float] | None = Field(description="lengths of the rows of voxel_basis_m")
    geometry: GeometryPart | None = Field(
        None, description="of the result grid; null where the file says nothing of it"
    )


class OversamplingPart(_Part):
    """Voxels of the grid over voxels of the object, per axis."""

    measured: tuple[float, float, float]
    after: tuple[float, float, float]


class Score(_Part):
    """How well one object fits the measured modulus (inphase.metrics.measure)."""

    chi2: float
    r_factor: float
    support_voxels: int
    llk: float | None
    free_llk: float | None
    free_llk_reason: str | None
    amplitude_cv: float | None = Field(
        None, description="standard deviation over mean of the amplitude within the support"
    )

    @classmethod
    def of(cls, metrics: Metrics) -> Self:
        """The reported part of the metrics."""
        return cls(
            chi2=metrics.chi2,
            r_factor=metrics.r_factor,
            support_voxels=metrics.support_voxels,
            llk=metrics.llk,
            free_llk=metrics.free_llk,
            free_llk_reason=metrics.free_llk_reason,
            amplitude_cv=metrics.amplitude_cv,
        )


class MetricsPart(_Part):
    """network: the prediction as it is. random_start: best conventional result, where one was computed. final: the result."""

    noise_chi2: float | None = Field(None, description="chi2 that Poisson noise alone leaves; null for a modulus")
    network: Score | None = None
    random_start: Score | None = None
    final: Score | None = None


class TrustPart(_Part):
    """How far the result can be relied on, and why."""

    level: Literal["high", "medium", "low"]
    reasons: list[str]

    @classmethod
    def of(cls, trust: Trust) -> Self:
        """The same as JSON."""
        return cls(level=trust.level.value, reasons=list(trust.reasons))


class StartPart(_Part):
    """Where the refinement began."""

    requested: Literal["auto", "network", "random", "mixed"]
    kind: Literal["network", "random"]
    why: str
    random_starts: int = Field(description="how many starts a conventional or a mixed retrieval takes")
    seed: int


class MemberPart(_Part):
    """One start of an ensemble: what became of it."""

    kind: Literal["network", "jittered", "autocorrelation", "random"]
    chi2: float
    free_llk: float | None
    support_voxels: int
    amplitude_cv: float
    correlation: float = Field(description="with the best one, after alignment; 0 to 1")
    twin: bool = Field(description="whether its twin was aligned to the best one")
    accepted: bool
    rejected: list[str] = Field(description="why it is not part of the average")


class ResolutionPart(_Part):
    """Where a curve falls below its threshold; the full period 2 pi / q."""

    criterion: Literal["1/e", "0.143", "half-bit"] = Field(description="of prtf the first, of fsc the others")
    crossed: bool = Field(description="false: it stays above to the end of the pattern")
    q: float = Field(description="1/m where the geometry is known, else in units of the Nyquist frequency")
    metres: float | None
    voxels: float | None = Field(description="of the object, where the geometry is not known")


class EnsemblePart(_Part):
    """What several starts came to (inphase.retrieval.ensemble). The stored object is the best single solution, never the average.

    mode_weights, resolutions: null where less than two solutions were accepted; the result then has no average either.
    """

    members: list[MemberPart]
    best: int = Field(description="index of the member that became the object")
    accepted: int
    ranked_by: Literal["free_llk", "chi2"]
    why: str = Field(description="why not by free_llk")
    mode_weights: list[float] | None = Field(None, description="share of the intensity in each orthogonal mode")
    resolutions: list[ResolutionPart] | None = None


class CanonicalPart(_Part):
    """What turns the refined object into the stored one; |F| is the same up to the scale."""

    scale: float
    global_phase: float
    shift: tuple[int, int, int]
    twin: bool
    ramp: tuple[float, float, float] = Field(description="rad per voxel; removed in phase_flat only")


class StrainPart(_Part):
    """What the arrays displacement, strain, strain_with_ramp and d_spacing mean (inphase.strain)."""

    q_per_m: Triple = Field(description="Q at the DC voxel, laboratory frame: displacement and strain are along it")
    q_length_per_m: float
    hkl: None = Field(None, description="the reflection is not known; a cubic lattice parameter is d sqrt(h^2+k^2+l^2)")
    isosurface: float = Field(description="of the largest amplitude: voxels of the support below it are NaN")
    voxels: int = Field(description="that count")
    d_spacing_m: float = Field(description="mean")
    strain_mean: float = Field(description="of strain_with_ramp: relative to the lattice with 2 pi / |Q|")
    strain_rms: float = Field(description="of strain: about the crystal's own mean lattice")
    units: dict[str, str] = Field(
        default_factory=lambda: {"displacement": "m", "strain": "1", "strain_with_ramp": "1", "d_spacing": "m"}
    )


class ProgressPart(_Part):
    """How far a running refinement is."""

    iteration: int
    total: int
    chi2: float | None
    support_voxels: int | None
    stage: str
    preview: str | None = Field(None, description="where a picture of the object is (PNG)")

    @classmethod
    def of(cls, progress: Progress, preview: str) -> Self:
        """The same as JSON. preview: where the picture is, if there is one."""
        return cls(**vars(progress) | {"preview": preview if progress.preview else None})


class AlignmentPart(_Part):
    """How a result was brought into the frame of its series (inphase.ambiguity.align).

    score: correlation with the frame, 0 to 1; score_other: that of the twin that was not taken. Where the two are closer
    than 0.02 the choice is undecided: the object is nearly centrosymmetric, or not alike.
    """

    reference: str = Field(description="the job whose result is the frame")
    twin: bool = Field(description="whether the other enantiomorph was taken than the canonical form has")
    shift: tuple[int, int, int] = Field(description="voxels from the canonical form's place")
    score: float
    score_other: float
    margin: float
    undecided: bool


class SeriesPart(_Part):
    """The series that the job is a scan of. alignment: null for the frame itself, and where `why` tells."""

    id: str
    scan: int
    frame: bool = Field(False, description="whether the others are aligned to this result")
    alignment: AlignmentPart | None = None
    why: str = ""


class JobDocument(_Part):
    """Everything about one reconstruction but its arrays."""

    id: str
    state: JobState
    reason: str = Field("", description="why it failed, or what a reader should know")
    attempt: int = 0
    owner: str = ""
    priority: Priority = Priority.NORMAL
    reused_from: str | None = Field(
        None, description="the job that computed this result, where an earlier one was taken"
    )
    series: SeriesPart | None = None
    resumed_from: int | None = Field(None, description="iteration at which this attempt went on from an earlier one")
    recorded: bool = Field(True, description="false where Redis was away: the job cannot be asked for again")
    model: ModelPart | None
    recipe: RecipePart
    input: InputPart
    oversampling: OversamplingPart
    preprocess: PreprocessPart
    metrics: MetricsPart
    trust: TrustPart | None = None
    start: StartPart
    canonical: CanonicalPart | None = None
    ensemble: EnsemblePart | None = Field(None, description="null where there was one start")
    strain: StrainPart | None = Field(None, description="null where there are no strain maps, see strain_reason")
    strain_reason: str | None = Field(None, description="why there are no strain maps")
    progress: ProgressPart | None = None
    queue_position: int | None = None
    timings_ms: dict[str, float]
    phase_sign: str = PHASE_SIGN
    code_version: str
    created: str = Field(description="UTC, ISO 8601")
    started: str | None = None
    finished: str | None = None
    links: dict[str, str] = Field(default_factory=dict)

    @classmethod
    def from_json(cls, stored: bytes) -> Self:
        """A stored document, also of another version: what it lacks has a default, what this version does not know is left out.

        Raises DocumentError where that is not enough.
        """
        try:
            return cls.model_validate_json(stored, extra="ignore")
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise DocumentError(
                f"the job document was written by another version of inphase and cannot be read by this one "
                f"({where}: {first['msg']}); the result file, where there is one, can still be fetched"
            ) from error

    def to_json(self) -> bytes:
        """UTF-8 JSON."""
        return self.model_dump_json().encode()
