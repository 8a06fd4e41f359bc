"""A network of one measured scan in one go: its beam by ePIE, a fit, an export, and a gate before it is served."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from inphase import ptycho
from inphase.models.installation import copy, vacant
from inphase.models.prediction import Network
from inphase.models.repository import Repository
from inphase.models.session import Session
from inphase.ptycho.prediction import drawn, joined
from inphase.ptycho.recipe import NONE
from training.export import export
from training.fit import fit
from training.measured import MeasuredScan, MeasuredSettings, measured_scan
from training.settings import FitSettings

RECIPE: Final = "30*EPIE"  # finds the beam, and is what a network is measured by
FITTED: Final = "fitted.npz"


@dataclass(frozen=True)
class Judged:
    """R of frames that nothing was learned from, behind the network's image of the others and behind ePIE's of the
    same.
    """

    network: float
    engine: float

    @property
    def passed(self) -> bool:
        """Whether the network is no worse."""
        return self.network <= self.engine


@dataclass(frozen=True)
class Learned:
    """version: the folder in the model repository, None where the gate has kept it out. reconstruction: the beam, which
    scans are given with the network.
    """

    checkpoint: Path
    reconstruction: Path
    judged: Judged
    version: Path | None


def learn(
    scan: Path,
    settings: FitSettings,
    run: Path,
    models: Path,
    name: str,
    version: int,
    *,
    seconds: float,
    groups: float,
    tell: Callable[[str], object],
) -> Learned:
    """Reconstruct a scan with a part of its frames hidden, train a network on the others, judge it by the hidden ones,
    and register it where it is no worse than ePIE.

    settings: those of a network for measured scans; its window becomes that of the scan. run: the folder of all that
    is made; what is there of an interrupted run is not made again. Raises DataError where the scan cannot be read or
    learned from, ModelError where the version exists or the name is none, both before anything is made, and where the
    repository cannot be written; ValueError where the settings do not suit it.
    """
    target = vacant(models, name, version)
    measured = ptycho.read(scan)
    run.mkdir(parents=True, exist_ok=True)
    part = settings.measured or MeasuredSettings()
    reconstruction = run / FITTED
    if not reconstruction.exists():
        tell(f"{RECIPE} of {len(measured)} frames, {part.held_out:.0%} of them hidden")
        options = ptycho.Options(RECIPE, modes=1, hold_out=part.held_out, seed=part.seed)
        ptycho.write(ptycho.reconstruct(measured, options), reconstruction)
    of = replace(part, scan=str(scan), reconstruction=str(reconstruction))
    tell("fitting")
    checkpoint = fit(for_window(settings, measured.shape, of), run, seconds=seconds, crystals=groups)
    with tempfile.TemporaryDirectory(dir=run) as scratch:
        draft = export(checkpoint, Path(scratch), name, version)
        tell("judging")
        network = Session(Repository(Path(scratch)).resolve(f"{name}@{version}"), threads=1)
        judged = judge(measured_scan(of, measured.shape[0]), reconstruction, network)
        if judged.passed:
            copy(draft, target)
    return Learned(checkpoint, reconstruction, judged, target if judged.passed else None)


def for_window(settings: FitSettings, shape: tuple[int, int], of: MeasuredSettings) -> FitSettings:
    """The settings for patterns of another shape, of which the same part is drawn."""
    box = tuple(side * m // n for side, m, n in zip(shape, settings.box, settings.frame, strict=True))
    return replace(settings, frame=shape, box=box, measured=of)


def judge(of: MeasuredScan, reconstruction: Path, network: Network) -> Judged:
    """Both images by the hidden frames: the network is shown none of these, and draws the object of the others."""
    seen = drawn(of.measured.only(of.fitted), network)
    image = joined(of.measured, seen.parts, of.fitted[seen.frames]).object
    report = ptycho.read_reconstruction(reconstruction).report
    options = ptycho.Options(NONE, hold_out=len(of.held_out) / len(of.measured), seed=report.seed, turn=False)
    shown = ptycho.reconstruct(of.measured, options, start=image).report
    assert shown.r_held_out is not None
    assert report.r_held_out is not None  # `lit_by` has seen to it that these are the hidden frames
    return Judged(shown.r_held_out, report.r_held_out)
