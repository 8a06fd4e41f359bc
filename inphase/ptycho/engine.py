"""The engine: runs a recipe on a measurement, on CPU or GPU, in complex64."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from inphase.errors import DataError
from inphase.models.prediction import Network
from inphase.ptycho import continuation, orientation, recipe, refinement, regrowth, schedule
from inphase.ptycho import probe as probes
from inphase.ptycho.checkpoint import Checkpoint
from inphase.ptycho.likelihood import Likelihood, amplitude, poisson
from inphase.ptycho.measurement import Measurement
from inphase.ptycho.options import Options
from inphase.ptycho.positions import canvas
from inphase.ptycho.prediction import Drawn, drawn
from inphase.ptycho.recipe import NONE
from inphase.ptycho.reconstruction import Reconstruction, Report
from inphase.ptycho.scan import Cancelled, Scan, State
from inphase.ptycho.solvers import gradient
from inphase.ptycho.solvers.pie import PIE
from inphase.ptycho.solvers.raar import RAAR
from inphase.ptycho.solvers.solver import Solver
from inphase.ptycho.verdict import judged
from inphase.retrieval.memory import kept_pages
from inphase.retrieval.terms import LBFGS, Operation

LIKELIHOODS: dict[str, Likelihood] = {"amplitude": amplitude, "poisson": poisson}


@dataclass(frozen=True)
class Progress:
    """Where a run stands. iteration: 0, 1, ...; r_factor: of the fitted frames, as each met the model. stage: the
    solver. `preview` and `checkpoint` may be called within the callback only.
    """

    iteration: int
    total: int
    r_factor: float
    stage: str
    preview: Callable[[], NDArray[np.complex64]] = field(repr=False, compare=False)
    """The object as it stands, (Y, X)."""
    checkpoint: Callable[[], Checkpoint] = field(repr=False, compare=False)


def reconstruct(
    measured: Measurement,
    options: Options | None = None,
    *,
    start: NDArray[np.complexfloating] | Network | Drawn | Reconstruction | None = None,
    device: str = "cpu",
    progress: Callable[[Progress], None] | None = None,
    cancelled: Cancelled | None = None,
    resume: Checkpoint | None = None,
) -> Reconstruction:
    """Runs the recipe of the options. `start`: an object (Y, X) to begin from in place of ones, as large as the result;
    a network of the family `scan`, or what it has drawn of these frames, whose image is that object
    (`prediction.predict`), also as the result of the recipe "none"; or a reconstruction of other
    frames of the same scan, whose object is continued on a field that holds the windows of both, with its probe, and
    its positions turned as they are there.

    `progress` is called after every iteration. `cancelled` is asked before every batch of frames; CancelledError if
    true. `resume`: goes on from a checkpoint of the same call. Raises DataError where the start or the checkpoint does
    not fit, or the network was not made for the scan, TooLargeError before an object beyond all bounds is allocated.
    """
    chosen, stop = Options() if options is None else options, cancelled or (lambda: False)
    with kept_pages(), torch.no_grad():
        if isinstance(start, Reconstruction):
            begun = continuation.continued(measured, start, chosen.margin)
            run = _Run(begun.measured, chosen, begun.object, torch.device(device), stop, begun.origin_px)
            return run.through(progress, resume)
        found = oriented(measured, chosen, device=device, cancelled=stop) if chosen.turn else measured
        if start is None:
            chosen.require_steps()
        if start is not None and not isinstance(start, np.ndarray):
            parts = start if isinstance(start, Drawn) else drawn(found, start)
            image = parts.placed(found, chosen.margin)
            found = found.noted(
                f"The object was begun from the image of {parts.label}, which drew {image.frames} of "
                f"{len(found)} frames."
            )
            start = image.object
        return _Run(found, chosen, start, torch.device(device), stop).through(progress, resume)


def oriented(
    measured: Measurement, options: Options, *, device: str = "cpu", cancelled: Cancelled = lambda: False
) -> Measurement:
    """The measurement with its positions turned to the one of eight possibilities that fits the first frames best.

    A few iterations of ePIE with whole pixels for each; what was found stands in its notes where it is not as given.
    """
    first = measured.only(np.arange(min(len(measured), orientation.FIRST)))
    if len(first) < orientation.FEWEST:
        return measured.noted(f"{len(measured)} frames are too few to tell how positions lie on the patterns.")
    trial = Options(orientation.TRIAL, modes=1, hold_out=0.0, batch=options.batch, seed=options.seed)
    scores = {}
    with torch.no_grad():
        for candidate in orientation.ALL:
            one = orientation.turned(first, candidate)
            one = replace(one, positions_px=np.round(one.positions_px))
            result = _Run(one, trial, None, torch.device(device), cancelled).through(None)
            scores[candidate] = result.report.history[-1]
    return orientation.decided(measured, scores)


TOO_MANY: Final = (
    f"Positions were searched, but the object was not grown anew: that takes too long with more than {regrowth.MOST} "
    "frames, and there are {}. Lone frames and torn parts may have stayed in wrong places."
)


class _Run:
    """One reconstruction on its way through its recipe."""

    def __init__(
        self,
        measured: Measurement,
        options: Options,
        start: NDArray[np.complexfloating] | None,
        device: torch.device,
        cancelled: Cancelled,
        origin: NDArray[np.float64] | None = None,
    ) -> None:
        self._begun = time.perf_counter()
        self._measured, self._options = measured, options
        self._generator = np.random.default_rng(options.seed)
        self._margin = options.margin
        if origin is None or start is None:
            size = canvas(measured.positions_px, measured.shape, self._margin)
            self._origin = measured.positions_px.min(axis=0) - self._margin
        else:
            size, self._origin = (start.shape[0], start.shape[1]), origin
        held_out = options.held_out(len(measured), self._generator)
        self._scan = Scan.of(measured, held_out, options.batch, device, cancelled)
        begin = probes.start(measured, self._scan, options.modes)
        self._notes = begin.notes
        self._state = State(
            _object(start, size, device),
            begin.probe,
            torch.from_numpy(measured.positions_px - self._origin).to(device),
        )
        self._recorded = self._state.positions.clone()
        if options.search_px and len(measured) > regrowth.MOST:
            self._notes = (*self._notes, TOO_MANY.format(len(measured)))

        if start is not None:
            self._scale_to_patterns()

    def _scale_to_patterns(self) -> None:
        """The probe gets the photons that the patterns need behind an object that is not 1."""
        made = sum(
            float(self._scan.forward(self._state, block).intensity.sum(dtype=torch.float64))
            for block in self._scan.blocks(self._scan.fitted)
        )
        if not made > 0:
            raise DataError("an object to start from lets no light through")
        self._state.probe *= (self._scan.photons * len(self._scan.fitted) / made) ** 0.5

    def through(self, progress: Callable[[Progress], None] | None, resume: Checkpoint | None = None) -> Reconstruction:
        """All of the recipe, or what is left of it."""
        whole = self._options.parsed
        history: list[float] = [] if resume is None else self._resumed(resume)
        end = 0
        for step in whole.steps:
            end += step.count
            if len(history) > end:
                continue  # also the modes of its end are in the checkpoint
            solver = self._solver(step.operation)
            while len(history) < end:
                iteration = len(history)
                met = solver.advance(iteration >= self._options.probe_start, self._generator)
                if not np.isfinite(met.residual):
                    raise DataError(
                        f"{self._measured.source}: {step.operation.name} left the finite numbers in iteration "
                        f"{iteration}: try a smaller step, or RPIE"
                    )
                history.append(met.r_factor)
                if self._refine(iteration):
                    solver = self._solver(step.operation) if isinstance(solver, RAAR) else solver
                if progress is not None:
                    preview = partial(_array, self._state.object)
                    keep = partial(self._checkpoint, history)
                    progress(Progress(iteration, whole.iterations, met.r_factor, step.operation.name, preview, keep))
            self._state.probe = probes.orthogonal(self._state.probe)
        return self._result(tuple(history))

    def _checkpoint(self, history: list[float]) -> Checkpoint:
        state = self._state
        return Checkpoint(
            len(history), self._options.parsed.text, self._options.seed, _array(state.object), _array(state.probe),
            _array(state.positions), np.array(history), json.dumps(self._generator.bit_generator.state),
        )  # fmt: skip

    def _resumed(self, checkpoint: Checkpoint) -> list[float]:
        """Where a run stood that came as far; its history. Raises DataError for one of another call."""
        state = self._state
        pairs = [(name, torch.from_numpy(getattr(checkpoint, name))) for name in ("object", "probe", "positions")]
        same = (checkpoint.recipe, checkpoint.seed) == (self._options.parsed.text, self._options.seed)
        if not same or any(
            (found.shape, found.dtype) != ((now := getattr(state, name)).shape, now.dtype) for name, found in pairs
        ):
            raise DataError("the checkpoint is of another recipe or of another scan")
        for name, found in pairs:
            setattr(state, name, found.to(state.object.device))
        self._generator.bit_generator.state = json.loads(checkpoint.generator)
        return [float(r_factor) for r_factor in checkpoint.history]

    def _solver(self, operation: Operation) -> Solver:
        """The solver of an operation, which begins from where the run stands."""
        scan, state = self._scan, self._state
        match operation:
            case recipe.EPIE():
                return PIE(scan, state, 1.0, operation.step)
            case recipe.RPIE():
                return PIE(scan, state, operation.alpha, operation.step)
            case recipe.DM():
                return RAAR(scan, state, 1.0)
            case recipe.RAAR():
                return RAAR(scan, state, operation.beta)
            case recipe.ADAM():
                return gradient.Adam(scan, state, LIKELIHOODS[operation.loss], operation.rate)
            case LBFGS():
                return gradient.LBFGS(scan, state, LIKELIHOODS[operation.loss], operation.memory)
        raise TypeError(f"{operation} is none of ptychography")

    def _refine(self, iteration: int) -> bool:
        """Positions, where they are due; whether any moved."""
        options, scan, state = self._options, self._scan, self._state
        if options.positions_start is None or iteration < options.positions_start:
            return False
        if len(scan.fitted) < 2:  # of one frame nothing says where it was
            return False
        every = np.concatenate([scan.fitted, scan.held_out])
        match schedule.move(options, iteration):
            case schedule.Search(radius):
                refinement.search_in_halves(scan, state, every, radius, self._generator)
            case schedule.Regrow(radius) if len(every) <= regrowth.MOST:
                regrowth.regrow(scan, state, self._recorded, radius, self._generator)
            case schedule.Regrow() | schedule.Slopes():
                refinement.gauss_newton(scan, state, every)
        return True

    def _result(self, history: tuple[float, ...]) -> Reconstruction:
        scan, state = self._scan, self._state
        lit = torch.zeros_like(state.object.real)
        for frames in scan.blocks(scan.fitted):
            waves = scan.waves.windows(state.object, state.probe, state.positions[frames])
            scan.waves.illumination(waves, lit)
        coverage = _array(lit / lit.max())
        obj = _array(state.object)
        # object times c, probe over c: the same patterns. The lit object has the mean square 1 and the mean phase 0
        scale = _unit(obj, coverage)
        positions = _array(state.positions) + self._origin
        verdict = judged(scan, state, self._measured.ids, photons=self._measured.counts_photons)
        shift = positions - self._measured.positions_px
        report = Report(
            source=self._measured.source,
            recipe=self._options.parsed.text or NONE,
            frames=len(scan.fitted),
            frames_held_out=len(scan.held_out),
            r_factor=verdict.r_factor,
            r_held_out=verdict.r_held_out,
            history=history,
            modes=tuple(float(p) for p in _shares(_array(state.probe))),
            position_shift_px=None if self._options.positions_start is None else float(np.sqrt((shift**2).mean())),
            pixel_m=self._measured.pixel_m,
            seed=self._options.seed,
            device=str(state.object.device),
            seconds=time.perf_counter() - self._begun,
            notes=(*self._measured.notes, *self._notes),
            r_noise=verdict.r_noise,
            deviance=verdict.deviance,
            misfits=verdict.misfits,
            verdict=verdict.words,
        )
        return Reconstruction(
            (obj / scale).astype(np.complex64),
            (_array(state.probe) * scale).astype(np.complex64),
            coverage,
            positions,
            self._origin,
            self._measured.ids,
            report,
        )


def _object(start: NDArray[np.complexfloating] | None, size: tuple[int, int], device: torch.device) -> torch.Tensor:
    if start is None:
        return torch.ones(size, dtype=torch.complex64, device=device)
    if start.shape != size:
        raise DataError(f"an object to start from has {start.shape} pixels, and the scan needs {size}")
    if not np.isfinite(start).all():
        raise DataError("an object to start from holds numbers that are not finite")
    return torch.from_numpy(start.astype(np.complex64)).to(device)


def _unit(obj: NDArray[np.complexfloating], coverage: NDArray[np.floating]) -> complex:
    """Root mean square amplitude and mean phase of the object, weighted by how it was lit."""
    rms = np.sqrt((coverage * np.abs(obj) ** 2).sum(dtype=np.float64) / coverage.sum(dtype=np.float64))
    return complex(rms * np.exp(1j * np.angle((coverage * obj).sum(dtype=np.complex128))))


def _shares(probe: NDArray[np.complexfloating]) -> NDArray[np.floating]:
    power = np.square(np.abs(probe)).sum(axis=(1, 2))
    shares: NDArray[np.floating] = power / power.sum()
    return shares


def _array(tensor: torch.Tensor) -> NDArray[Any]:
    array: NDArray[Any] = tensor.detach().cpu().numpy().copy()
    return array
