"""`inphase.reconstruct`: the whole way of one pattern in this process."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from numpy.typing import ArrayLike

from inphase.formats import RawScan
from inphase.formats.scan import scan_of
from inphase.imaging.clock import Clock
from inphase.imaging.earlier import Earlier
from inphase.imaging.options import Options, Slice, Start
from inphase.imaging.reconstruction import Reconstruction
from inphase.imaging.report import Look, Series
from inphase.imaging.way import CommonFrame, begin, judge
from inphase.models.repository import Repository, default_root
from inphase.pattern import Domain
from inphase.trust import RULES

if TYPE_CHECKING:
    from inphase.models.session import Sessions
    from inphase.retrieval.engine import Progress


def reconstruct(
    scan: RawScan | ArrayLike,
    *,
    refine: str | None = None,
    model: str | None = None,
    domain: Domain | str = Domain.COUNTS,
    preprocess: str = "auto",
    start: Start = "auto",
    starts: int = RULES.random_starts,
    seed: int = 0,
    slice: Slice = "none",
    grid: str | int = "auto",
    models: "Path | Sessions | None" = None,
    device: str = "cpu",
    progress: "Callable[[Progress], None] | None" = None,
    cancelled: Callable[[], bool] | None = None,
) -> Reconstruction:
    """Reconstruct a measurement: clean it, ask a network for a first image, refine that, and judge the result.

    scan: what `inphase.read` gives, or an array (rocking, row, column) of counts or moduli, as `domain` says;
        of a masked array the mask counts.
    refine, model, preprocess, start, starts, seed, slice, grid: see `inphase.imaging.options.Options`.
    models: the folder of the networks, or sessions that stay loaded from
        call to call; by default the folder of the installation.
    device: of the refinement: cpu, cuda, cuda:1. progress: called with every evaluation of the running refinement.
    cancelled: asked before every iteration.

    Raises TypeError for what is no such array, DataError for data that cannot be used, RecipeError, UnknownModelError,
    ModelError, and CancelledError.
    """
    options = Options(model, Domain(domain), preprocess, refine, start, starts, seed, slice, str(grid))
    options.check()
    if not isinstance(scan, RawScan):
        scan = scan_of(scan)
    sessions = sessions_of(models) if options.asks_network else None
    return carry_out(scan, options, sessions, device=device, progress=progress, cancelled=cancelled)


def carry_out(
    scan: RawScan,
    options: Options,
    sessions: "Sessions | None",
    *,
    clock: Clock | None = None,
    device: str = "cpu",
    stage: Callable[[str], None] = lambda name: None,
    progress: "Callable[[Progress], None] | None" = None,
    cancelled: Callable[[], bool] | None = None,
    frame: CommonFrame | None = None,
    series: Series | None = None,
    look: Look | None = None,
    earlier: Earlier | None = None,
) -> Reconstruction:
    """The same for options that were checked. sessions: None where no network is asked.

    stage: told what begins, for people. frame, series: of the series whose scan this is. look, earlier: see `begin`.
    """
    clock = clock or Clock()
    session = None
    if sessions is not None and options.asks_network:
        stage("loading the model")
        session = sessions.get(options.model)
    stage("preprocessing and predicting")
    prepared, report = begin(scan, options, session, clock, look=look, earlier=earlier)
    report = replace(report, series=series)
    if options.recipe() is None:
        return judge(prepared, report, prepared.guess, clock, frame=frame)
    stage("loading torch")
    from inphase.imaging.refine import refine
    from inphase.imaging.retrievals import Retrievals

    stage("refining")
    retrievals = Retrievals(device, progress=progress, cancelled=cancelled)
    return refine(prepared, report, clock, retrievals=retrievals, frame=frame)


def sessions_of(models: "Path | Sessions | None") -> "Sessions":
    """Sessions as they are, or those of a folder of networks, by default that of the installation."""
    from inphase.models.session import Sessions

    if isinstance(models, Sessions):
        return models
    return Sessions(Repository(models or default_root()))
