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
from inphase.live.looks import GLANCE, look, passing, seen
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
    """Array by array, whatever the looks before it were."""
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


def test_a_passing_look_never_outlasts_the_scan() -> None:
    """No refinement, no random starts, no finer grids; everything else is as asked."""
    asked = Options(model="blind", refine="5*ER", start="auto", grid="measured", seed=3)
    shown = Options(model="blind", refine="none", start="network", grid="model", seed=3)
    assert passing(asked, 1, [GLANCE, "blind"]) == shown


def test_the_first_look_is_a_glance_where_there_is_one() -> None:
    """The next ones are what the default network sees; a network that was named is asked in all of them."""
    assert [passing(Options(), number, [GLANCE, "other"]).model for number in (1, 2, 3)] == [GLANCE, None, None]
    assert passing(Options(), 1, ["other"]).model is None


def test_a_real_curve_is_imaged_soon_after_its_peak(real_data: Path) -> None:
    """Scan 54, its peak in frame 99 of 201: the glance at its first 55 % and what the network sees later, against the
    refined image of the whole curve; benchmarks/results/live_looks.md has more. The bound is what is called good there.
    """
    folder = real_data / "aps34idc_scan54"
    scan = inphase.read(
        folder / "S0054_raw_int32.npz", dark=folder / "dark.tif", flat=folder / "whitefield.tif", roi="0:256,0:256"
    )
    curve = Curve.of(replace(scan, array=scan.array[:1]), len(scan.array))
    sessions, options = sessions_of(None), Options(grid="model")
    whole = look(curve, dict(enumerate(scan.array)), options, sessions, final=True)
    before = None
    for frames, model in ((110, GLANCE), (130, "inphase-bcdi")):
        before = some = look(curve, dict(enumerate(scan.array[:frames])), options, sessions, before=before)
        assert some.report.model is not None
        assert some.report.model.name == model
        there = Earlier(some.object, some.report.preprocess).on(whole.report.preprocess)
        assert similarity(there, whole.object) >= 0.95
