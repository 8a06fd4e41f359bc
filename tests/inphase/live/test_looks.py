"""Looks at an unfinished curve, with a network that knows the crystal and one that does not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import inphase
from inphase.formats import RawScan
from inphase.imaging.earlier import Earlier, similarity
from inphase.imaging.options import Options
from inphase.imaging.reconstruct import sessions_of
from inphase.imaging.reconstruction import Reconstruction
from inphase.live.curve import Curve
from inphase.live.looks import look, passing, seen
from inphase.models.repository import Repository
from inphase.models.session import Sessions

FAST = Options(refine="5*ER", seed=1)


@pytest.fixture(scope="module")
def sessions(models_dir: Path) -> Sessions:
    """The toy repository."""
    return Sessions(Repository(models_dir, "inphase-bcdi"), threads=1)


def curve_of(pattern: NDArray[np.uint32]) -> Curve:
    """With all of its frames announced."""
    return Curve(RawScan(pattern[0], None, "", ""), len(pattern))


def part(pattern: NDArray[np.uint32], n: int) -> dict[int, NDArray[np.generic]]:
    """The first frames."""
    return {place: pattern[place] for place in range(n)}


@pytest.fixture(scope="module")
def first(sessions: Sessions, pattern: NDArray[np.uint32]) -> Reconstruction:
    """The first look, soon after the peak."""
    return look(curve_of(pattern), part(pattern, 45), FAST, sessions)


def test_the_last_look_is_the_image_of_the_file(
    sessions: Sessions, pattern: NDArray[np.uint32], first: Reconstruction
) -> None:
    """Array by array, although the looks before it were refined from each other."""
    curve = curve_of(pattern)
    second = look(curve, part(pattern, 50), FAST, sessions, before=first)
    assert (first.report.look.number, second.report.look.number) == (1, 2)  # type: ignore[union-attr]
    assert second.report.look.similarity > 0.95  # type: ignore[union-attr, operator]
    assert seen(second).frames == 50
    assert any("not finished, 50 of 64" in reason for reason in second.report.trust.reasons)  # type: ignore[union-attr]
    last = look(curve, part(pattern, 64), FAST, sessions, before=second, final=True)
    whole = inphase.reconstruct(pattern, refine="5*ER", seed=1, models=sessions)
    assert last.report.input.digest == whole.report.input.digest
    assert last.report.trust == whole.report.trust
    for name, array in whole.arrays.items():
        np.testing.assert_array_equal(last.arrays[name], array, err_msg=name)
    with pytest.raises(ValueError, match="frame by frame"):
        seen(whole)


def test_the_better_image_goes_on(sessions: Sessions, pattern: NDArray[np.uint32], first: Reconstruction) -> None:
    """Where the network sees nothing the image before is refined further, where it sees the crystal its own is."""
    curve = curve_of(pattern)
    blind = look(curve, part(pattern, 50), replace(FAST, model="blind"), sessions, before=first)
    assert blind.report.start.kind == "earlier"
    assert "fewer frames" in blind.report.start.why
    bad = look(curve, part(pattern, 45), replace(FAST, model="blind"), sessions)
    again = look(curve, part(pattern, 50), FAST, sessions, before=bad)
    assert again.report.start.kind == "network"


def test_a_passing_look_never_outlasts_the_scan() -> None:
    """No random starts, no finer grids; everything else is as asked."""
    asked = Options(model="blind", refine="5*ER", start="auto", grid="measured", seed=3)
    assert passing(asked) == Options(model="blind", refine="5*ER", start="network", grid="model", seed=3)


def test_a_real_curve_is_imaged_soon_after_its_peak(real_data: Path) -> None:
    """Scan 54, its peak in frame 99 of 201: the amplitude correlates with that of the whole curve at least as well as
    an earlier network's did; benchmarks/results/live_looks.md has more.
    """
    folder = real_data / "aps34idc_scan54"
    scan = inphase.read(
        folder / "S0054_raw_int32.npz", dark=folder / "dark.tif", flat=folder / "whitefield.tif", roi="0:256,0:256"
    )
    curve = Curve.of(replace(scan, array=scan.array[:1]), len(scan.array))
    sessions, options = sessions_of(None), passing(Options())
    whole = look(curve, dict(enumerate(scan.array)), options, sessions, final=True)
    for frames, least in ((110, 0.895), (130, 0.969)):
        some = look(curve, dict(enumerate(scan.array[:frames])), options, sessions)
        there = Earlier(some.object, some.report.preprocess).on(whole.report.preprocess)
        assert similarity(there, whole.object) >= least
