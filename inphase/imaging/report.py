"""What is said of one reconstruction: the same in Python, in the result file,
with `--json` and in the service's job document.

Every number is plain Python, so that JSON takes it. A stored report of an earlier version is read as well: what it
lacks has a default, what this version does not know is left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Self, TypeVar

import msgspec
import numpy as np

from inphase.defects import Dislocation
from inphase.errors import DataError
from inphase.geometry import PHASE_SIGN, Geometry
from inphase.preprocess.report import StepReport
from inphase.retrieval.ensemble import Criterion
from inphase.retrieval.starts import Kind
from inphase.trust import Trust

T = TypeVar("T")
Vector = tuple[float, ...]
Matrix = tuple[Vector, ...]


def part(kind: type[T], source: object, /, **more: Any) -> T:
    """A part of the report from the object that knows more: it takes the attributes of the same name.
    more: the others.
    """
    names = {known.name for known in fields(kind)} - more.keys()  # type: ignore[arg-type]  # a dataclass
    return kind(**{name: getattr(source, name) for name in names}, **more)


@dataclass(frozen=True)
class Input:
    """What came in. source: file, or kind of body.
    chosen: what was taken out of a container, and what was passed over.
    metadata: what else the file tells, as text: energy_kev, distance_m, pixel_row_m, pixel_column_m, angles.
    """

    digest: str
    shape: tuple[int, ...]
    dtype: str
    domain: Literal["counts", "modulus"]
    source: str
    chosen: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Recipes:
    """What was done, with every default resolved. refine: the canonical recipe that made the result, or "none".

    conventional: the same of starts that no network gave.
    """

    preprocess: str
    refine: str
    conventional: str = ""


@dataclass(frozen=True)
class Model:
    """Which network predicted the start.

    provider: what onnxruntime really runs it on. support_threshold: of the largest predicted amplitude.
    """

    name: str
    version: int
    sha256: str
    provider: str
    support_threshold: float


@dataclass(frozen=True)
class GridGeometry:
    """Where the voxels of the result lie. Laboratory frame: x outboard, y up, z along the beam;
    crystal as in the middle frame.

    voxel_basis_m: metres; row a is the step along axis a of the object, in general sheared.
    q_steps: 1/m; row a is the change of Q along axis a of the pattern.
    q_centre: 1/m; Q = k_out - k_in at the pattern's DC voxel, None where unknown.
    sample_rotation: laboratory -> sample with all its circles at zero.
    """

    voxel_basis_m: Matrix
    q_steps: Matrix
    q_centre: Vector | None
    sample_rotation: Matrix | None
    frame: Literal["laboratory"] = "laboratory"

    @classmethod
    def of(cls, geometry: Geometry, shape: tuple[int, ...]) -> Self:
        """The geometry of the grid with `shape` voxels."""
        rotation, q = geometry.sample_rotation, geometry.q_centre
        return cls(
            voxel_basis_m=_rows(geometry.voxel_basis_m(shape)),
            q_steps=_rows(geometry.q_steps),
            q_centre=None if q is None else tuple(q.tolist()),
            sample_rotation=None if rotation is None else _rows(rotation),
        )

    def geometry(self) -> Geometry:
        """The inverse of `of`."""
        return Geometry(
            np.array(self.q_steps),
            None if self.q_centre is None else np.array(self.q_centre),
            None if self.sample_rotation is None else np.array(self.sample_rotation),
        )


def _rows(matrix: np.ndarray[Any, np.dtype[np.float64]]) -> Matrix:
    return tuple(tuple(row) for row in matrix.tolist())


@dataclass(frozen=True)
class Preprocessing:
    """How the measurement came onto the grid of the result.

    offset: first measured voxel of the window, may be negative. shape: voxels of the grid.
    voxel_size_m: lengths of the rows of voxel_basis_m. geometry: of the grid, None where the file says nothing of it.
    """

    steps: tuple[StepReport, ...]
    valid_fraction: float
    counts_inside: float
    padding_bound: float
    binning: tuple[int, ...]
    offset: tuple[int, ...]
    shape: tuple[int, ...]
    voxel_size_m: Vector | None
    geometry: GridGeometry | None = None


@dataclass(frozen=True)
class Oversampling:
    """Voxels of the grid over voxels of the object, per axis: of the measurement, and after binning."""

    measured: Vector
    after: Vector


@dataclass(frozen=True)
class Score:
    """How well one object fits the measured modulus (`inphase.metrics.Metrics`)."""

    chi2: float
    r_factor: float
    support_voxels: int
    llk: float | None
    free_llk: float | None
    free_llk_reason: str | None
    amplitude_cv: float | None = None


@dataclass(frozen=True)
class Scores:
    """network: the prediction as it is. random_start: the best conventional result, where one was computed.
    refined: what the refinement came to, where the network's own image was kept instead. final: the result.

    noise_chi2: chi2 that Poisson noise alone leaves; None for a modulus.
    """

    noise_chi2: float | None = None
    network: Score | None = None
    random_start: Score | None = None
    refined: Score | None = None
    final: Score | None = None


@dataclass(frozen=True)
class Beginning:
    """Where the refinement began, and why. random_starts: how many starts a conventional or a mixed retrieval takes."""

    requested: Literal["auto", "network", "random", "mixed"]
    kind: Literal["network", "random"]
    why: str
    random_starts: int
    seed: int


@dataclass(frozen=True)
class Canonical:
    """What turns the refined object into the stored one;
    |F| is the same up to the scale (`inphase.ambiguity.Canonical`).

    shift: voxels. ramp: rad per voxel; removed in phase_flat only.
    """

    scale: float
    global_phase: float
    shift: tuple[int, ...]
    twin: bool
    ramp: Vector


@dataclass(frozen=True)
class Member:
    """One start of an ensemble: what became of it.

    correlation: with the best one, after alignment; 0 to 1. twin: whether its twin was aligned to the best one.
    rejected: why it is not part of the average.
    """

    kind: Kind
    chi2: float
    free_llk: float | None
    support_voxels: int
    amplitude_cv: float
    correlation: float
    twin: bool
    accepted: bool
    rejected: tuple[str, ...]


@dataclass(frozen=True)
class Resolution:
    """Where a curve falls below its threshold: 1/e of prtf, the others of fsc; the full period 2 pi / q.

    crossed: False where it stays above to the end of the pattern. q: 1/m where the geometry is known, else in units of
    the Nyquist frequency. voxels: of the object, where the geometry is not known.
    """

    criterion: str
    crossed: bool
    q: float
    metres: float | None
    voxels: float | None


@dataclass(frozen=True)
class Ensemble:
    """What several starts came to (`inphase.retrieval.ensemble`).
    The stored object is the best single solution, never the average.

    best: index of the member that became the object. why: why it was not ranked by free_llk.
    mode_weights: share of the intensity in each orthogonal mode. It and resolutions are None where less than two
    solutions were accepted; the result then has no average either.
    """

    members: tuple[Member, ...]
    best: int
    accepted: int
    ranked_by: Criterion
    why: str
    mode_weights: Vector | None = None
    resolutions: tuple[Resolution, ...] | None = None


@dataclass(frozen=True)
class Detail:
    """To which resolution the image is determined: overall, and along each axis of the pattern.

    method: "half-photon FSC": two halves of the photons, refined apart (`inphase.imaging.halves`).
    """

    method: Literal["half-photon FSC"]
    overall: Resolution
    along: tuple[Resolution, ...]


def _strain_units() -> dict[str, str]:
    return {"displacement": "m", "strain": "1", "strain_with_ramp": "1", "d_spacing": "m"}


@dataclass(frozen=True)
class Spread:
    """Mean and root mean square about it, of a map over some voxels."""

    mean: float
    rms: float


@dataclass(frozen=True)
class Statistics:
    """A map over the whole crystal, over its surface (voxels with a neighbour outside) and over the rest of it."""

    crystal: Spread
    surface: Spread | None
    bulk: Spread | None


@dataclass(frozen=True)
class Strain:
    """What the arrays displacement, strain, strain_with_ramp and d_spacing mean (`inphase.strain`).

    q_per_m: Q at the DC voxel, laboratory frame: displacement and strain are along it.
    hkl: None: the reflection is not known; a cubic lattice parameter is d sqrt(h^2 + k^2 + l^2).
    isosurface: of the largest amplitude: voxels of the support below it are NaN. voxels: that count.
    d_spacing_m: mean. strain_mean: of strain_with_ramp: relative to the lattice with 2 pi / |Q|.
    strain_rms: of strain: about the crystal's own mean lattice.
    statistics: of strain and displacement. residues: squares of four voxels around which the phase winds. dislocations:
        the lines that they form (`inphase.defects`). offsets_disagree: share of the voxels where the phase changes too
        fast for its strain to be believed.
    """

    q_per_m: Vector
    q_length_per_m: float
    isosurface: float
    voxels: int
    d_spacing_m: float
    strain_mean: float
    strain_rms: float
    hkl: None = None
    units: dict[str, str] = field(default_factory=_strain_units)
    statistics: Mapping[str, Statistics] = field(default_factory=dict)
    residues: int = 0
    dislocations: tuple[Dislocation, ...] = ()
    offsets_disagree: float = 0.0


@dataclass(frozen=True)
class Alignment:
    """How a result was brought into the frame of its series (`inphase.ambiguity.align`).

    reference: the job whose result is the frame. twin: whether the other enantiomorph was taken than the canonical form
    has.
    shift: voxels from the canonical form's place.
    score: correlation with the frame, 0 to 1; score_other: that of the twin that was not taken. Where the two are
    closer than 0.02 the choice is undecided: the object is nearly centrosymmetric, or not alike.
    """

    reference: str
    twin: bool
    shift: tuple[int, ...]
    score: float
    score_other: float
    margin: float
    undecided: bool


@dataclass(frozen=True)
class Series:
    """The series that the pattern is a scan of. frame: whether the others are aligned to this result.

    alignment: None for the frame itself, and where `why` tells.
    """

    id: str
    scan: int
    frame: bool = False
    alignment: Alignment | None = None
    why: str = ""


@dataclass(frozen=True)
class Look:
    """What an image of an unfinished rocking curve was made of. scan: id of the live scan, empty where there is none.

    number: from 1. frames: measured ones. of: of the finished curve, None for an open end. final: nothing follows.
    similarity: amplitude correlation with the look before (`inphase.imaging.earlier`), None of the first and last one.
    """

    scan: str
    number: int
    frames: int
    of: int | None
    final: bool = False
    similarity: float | None = None

    def doubts(self) -> list[str]:
        """What a reader should know of it."""
        if self.of is None and self.final:
            return []
        if self.frames == self.of:
            return []
        of = "" if self.of is None else f" of {self.of}"
        if self.final:
            return [f"the rocking curve ended with {self.frames}{of} frames: what is missing counts as unknown"]
        return [f"the rocking curve is not finished, {self.frames}{of} frames are measured: wait for more"]


@dataclass(frozen=True)
class Level:
    """A refinement on a finer grid than the one before (`inphase.imaging.climb`).

    start_free_llk: free log-likelihood here of the image of the grid before. kept: whether this one predicts the hidden
    voxels better, or was asked for. seconds: what it took.
    """

    shape: tuple[int, ...]
    recipe: str
    chi2: float
    start_free_llk: float | None
    free_llk: float | None
    support_voxels: int
    kept: bool
    seconds: float

    @property
    def better(self) -> bool | None:
        """Whether the hidden voxels are predicted better than before; None where none are hidden to tell it."""
        if self.free_llk is None or self.start_free_llk is None:
            return None
        return self.free_llk < self.start_free_llk


@dataclass(frozen=True)
class Grid:
    """How fine the result may become, and how fine it has.

    requested: model, auto, measured, or the most voxels along an axis. why: what the measurement holds.
    finest: how it comes onto the finest grid, None where that is the model's. oversampling: there. counts: there.
    levels: those that were tried. stopped: why the last one is not the finest grid; empty where it is.
    """

    requested: str
    why: str
    finest: Preprocessing | None = None
    oversampling: Vector = ()
    counts: float = 0.0
    levels: tuple[Level, ...] = ()
    stopped: str = ""

    def doubts(self) -> list[str]:
        """What speaks against levels that were kept because a finer grid was asked for, not for being better."""
        found = []
        for level in self.levels:
            text = " x ".join(str(side) for side in level.shape)
            if level.kept and level.better is None:
                found.append(f"no hidden voxels tell whether {text} voxels make the image better: compare grid=model")
            elif level.kept and not level.better:
                found.append(
                    f"on {text} voxels the hidden ones are fitted no better than by the coarser image (free "
                    f"log-likelihood {level.free_llk:.3g} against {level.start_free_llk:.3g}), and the grid was kept "
                    "because it was asked for: take grid=auto"
                )
        return found


@dataclass(frozen=True)
class Report:
    """Everything about one reconstruction but its arrays.

    model: None where no network was asked. ensemble: None where there was one start. detail: of an image on a
    finer grid, that of the image on the network's grid from which it was refined. None where that was not refined, the
    input is not counts, a look at more frames follows, or a finer grid has no geometry. history:
    (iteration, chi2) of the start that became the result, on the result's own grid, or of the refinement where the
    network's own image was kept. strain: None where there are no strain maps, strain_reason says why. resumed_from:
    iteration at which an interrupted refinement went on. grid: how fine the result is; None in reports of earlier
    versions. look: of a rocking curve that comes frame by frame, else None.
    timings_ms: by stage, see `inphase.imaging.clock.STAGES`. created: when the pattern was taken up, UTC, ISO 8601.
    """

    model: Model | None
    recipe: Recipes
    input: Input
    oversampling: Oversampling
    preprocess: Preprocessing
    metrics: Scores
    start: Beginning
    timings_ms: Mapping[str, float]
    code_version: str
    created: str
    trust: Trust | None = None
    canonical: Canonical | None = None
    ensemble: Ensemble | None = None
    detail: Detail | None = None
    history: tuple[tuple[int, float], ...] = ()
    strain: Strain | None = None
    strain_reason: str | None = None
    series: Series | None = None
    resumed_from: int | None = None
    grid: Grid | None = None
    look: Look | None = None
    phase_sign: str = PHASE_SIGN

    @classmethod
    def from_json(cls, stored: bytes | str) -> Self:
        """A stored report, or a job document that holds one. Raises DataError where it is neither."""
        try:
            return msgspec.json.decode(stored, type=cls)
        except msgspec.MsgspecError as error:
            raise DataError(f"this is no report of a reconstruction that can be read: {error}") from error

    def to_json(self) -> str:
        """The report as JSON; what is not finite becomes null."""
        return msgspec.json.encode(self).decode()
