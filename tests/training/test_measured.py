"""training.measured: what is learned from a measured scan, and what is not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from inphase import ptycho
from inphase.errors import DataError
from tests.training.measured_scans import WINDOW, saved, settings, star
from tests.training.objectives.scans import Told
from training.data import HELD_OUT_SEED, batch_of
from training.groups import Groups
from training.measured import MIDDLE, MeasuredScan, MeasuredSettings, measured_groups
from training.objectives import build
from training.settings import FitSettings
from training.simulate.ptychography import Scene

CPU = torch.device("cpu")


def of_file(path: Path, **changes: object) -> MeasuredScan:
    return MeasuredScan.read(settings(path, **changes), WINDOW)


def truth(of: Scene, groups: np.ndarray) -> torch.Tensor:
    """The windows of the object as a network would draw them, (B C, 1, N, N), to the nearest pixel."""
    corners = np.round(of.positions[groups.reshape(-1)]).astype(int)
    windows = np.stack([of.object[row : row + WINDOW, column : column + WINDOW] for row, column in corners])
    rms = np.sqrt(np.square(np.abs(of.object)).mean())
    return torch.from_numpy((MIDDLE / rms * windows).astype(np.complex64))[:, None]


def test_what_is_held_out_is_what_the_engine_hides(tmp_path: Path) -> None:
    """The same frames by the same seed, so that a probe of the engine has not seen them either."""
    found = of_file(saved(tmp_path), seed=3)
    expected = ptycho.Options(hold_out=0.5, seed=3).held_out(36, np.random.default_rng(3))
    np.testing.assert_array_equal(found.held_out, expected)
    assert sorted([*found.fitted, *found.held_out]) == list(range(36))


def test_groups_are_of_neighbours_on_one_side_of_the_split(tmp_path: Path) -> None:
    """Every frame leads one group of an epoch; the others are of the six nearest of its side."""
    found = of_file(saved(tmp_path))
    for held_out, frames in ((False, found.fitted), (True, found.held_out)):
        groups = found.groups(held_out, 4, (1, 0))
        assert sorted(groups[:, 0]) == sorted(frames)
        assert set(groups.reshape(-1)) <= set(frames)
        where = found.measured.positions_px
        for first, *others in groups:
            distance = np.sort(np.linalg.norm(where[frames] - where[first], axis=1))
            assert len({first, *others}) == 4
            assert (np.linalg.norm(where[others] - where[first], axis=1) <= distance[6] + 1e-9).all()
    assert not np.array_equal(found.groups(False, 4, (1, 0)), found.groups(False, 4, (1, 1)))


def test_a_batch_is_what_the_file_has(tmp_path: Path) -> None:
    """Counts of the frames, where they lie from their mean, each to be shown alone; the seed decides the side."""
    path = saved(tmp_path)
    fit = FitSettings(frame=(WINDOW, WINDOW), box=(WINDOW, WINDOW), measured=settings(path), seed=5)
    found, other = (batch_of(fit, seed, 1, 3, CPU) for seed in (5, HELD_OUT_SEED))
    assert isinstance(found, Groups)
    assert isinstance(other, Groups)
    scan = of_file(path)
    groups = scan.groups(False, 4, (5, 0))[3:6]
    np.testing.assert_array_equal(found.counts.numpy(), scan.measured.patterns[groups])
    where = scan.measured.positions_px[groups]
    np.testing.assert_allclose(found.offsets.numpy(), where - where.mean(1, keepdims=True), atol=1e-5)
    shown = found.features(("patterns",))["patterns"]
    assert shown.shape == (12, 1, WINDOW, WINDOW)
    torch.testing.assert_close((shown[5, 0] * found.scale) ** 2, found.counts[1, 1])
    held_out = scan.measured.patterns[scan.held_out]
    assert all((pattern == held_out).all((1, 2)).any() for pattern in other.counts[:, 0].numpy())


@pytest.mark.parametrize("loss", ["mae", "poisson"])
def test_the_true_object_has_the_least_loss(tmp_path: Path, loss: str) -> None:
    """Turned against the positions, or with the positions' signs wrong, it fits far worse."""
    of = star(jitter=0.0)
    scan = of_file(saved(tmp_path, of))
    groups = scan.groups(False, 4, (1, 0))[:6]
    batch = scan.chosen(groups, CPU)
    objective = build("ptychopinn", loss=loss, by_light=True)
    told = Told(truth(of, groups))
    with torch.no_grad():
        right, figures = objective(told, batch.features(("patterns",)), batch)
        moved = replace(batch, offsets=-batch.offsets)
        mirrored, _ = objective(told, batch.features(("patterns",)), moved)
    assert set(figures) == {"R", "chi2"}  # nobody knows the object
    assert right < 0.5 * mirrored
    # positions lie on whole pixels, their mean between them, where linear interpolation blurs
    assert float(figures["R"]) < 0.1


def test_pixels_that_were_not_measured_teach_nothing(tmp_path: Path) -> None:
    """Loss and figures are those of the known pixels, whatever the network says of the others."""
    of, mask = star(), np.zeros((WINDOW, WINDOW), bool)
    mask[14:19, 10:22] = True
    scan = of_file(saved(tmp_path, of, bad_pixels=mask))
    groups = scan.groups(False, 4, (1, 0))[:2]
    batch = scan.chosen(groups, CPU)
    assert not batch.known[:, :, 14:19, 10:22].any()
    assert batch.known.sum() == batch.known.numel() - 8 * mask.sum()
    for loss in ("mae", "poisson"):
        objective = build("ptychopinn", loss=loss, by_light=True)
        told = Told(truth(of, groups))
        with torch.no_grad():
            value, figures = objective(told, batch.features(("patterns",)), batch)
        everywhere = replace(batch, known=torch.ones_like(batch.known))
        with torch.no_grad():  # the pixels would count as dark, and they are the brightest
            worse, _ = objective(told, batch.features(("patterns",)), everywhere)
        assert worse > 1.5 * value
        assert float(figures["R"]) < 0.15


def test_unit_amplitude_and_counts_belong_together(tmp_path: Path) -> None:
    """An object of amplitude MIDDLE everywhere gives a pattern of the mean counts, also behind a beam stop."""
    mask = np.zeros((WINDOW, WINDOW), bool)
    for masked in (mask, mask | (np.hypot(*np.indices(mask.shape) - 16) < 3)):
        scan = of_file(saved(tmp_path, bad_pixels=masked))
        field = np.fft.fftshift(np.fft.fft2(scan.scale * MIDDLE * scan.probe, norm="ortho"))
        assert np.square(np.abs(field))[~masked].sum() == pytest.approx(scan.photons, rel=1e-5)
        assert np.abs(scan.probe).max() == pytest.approx(1)


def test_probe_and_positions_come_from_a_reconstruction_that_hid_the_same_frames(tmp_path: Path) -> None:
    """One that has seen what is to be held out is refused, and one of other frames."""
    path, fitted = saved(tmp_path), tmp_path / "fitted.npz"
    measured = ptycho.read(path)
    result = ptycho.reconstruct(measured, ptycho.Options("2*EPIE", hold_out=0.5, turn=False, seed=7))
    ptycho.write(result, fitted)
    found = of_file(path, reconstruction=str(fitted), seed=7)
    assert found.measured.probe is not None
    np.testing.assert_array_equal(found.measured.probe, result.probe)
    for changes in ({"seed": 8}, {"held_out": 0.25, "seed": 7}):
        with pytest.raises(DataError, match=r"its probe has seen frames that are to be held out.*--hold-out"):
            of_file(path, reconstruction=str(fitted), **changes)
    ptycho.write(replace(result, ids=result.ids + 1), fitted)
    with pytest.raises(DataError, match="of other frames"):
        of_file(path, reconstruction=str(fitted), seed=7)


def test_what_cannot_be_learned_from_is_refused_with_the_reason(tmp_path: Path) -> None:
    """Another window, no probe, several modes, too few frames; a batch that is longer than the scan."""
    path = saved(tmp_path)
    with pytest.raises(DataError, match=r"have \(32, 32\) pixels, and the configuration says \(64, 64\)"):
        MeasuredScan.read(settings(path), 64)
    with pytest.raises(ValueError, match="18 frames to learn from, a batch takes 19"):
        measured_groups(of_file(path), 4, 1, False, 0, 19, CPU)
    with pytest.raises(DataError, match=r"33 frames to learn from and 3 held out make no groups of 4"):
        of_file(path, held_out=0.08)
    with pytest.raises(DataError, match="names no scan"):
        MeasuredScan.read(MeasuredSettings(), WINDOW)
    with pytest.raises(DataError, match="the probe has 2 modes"):
        of_file(saved(tmp_path, probeGuess=np.stack([star().probe[0]] * 2)))
    of = star()
    np.savez(path, diff3d=of.counts, ycoords=of.positions[:, 0], xcoords=of.positions[:, 1])
    with pytest.raises(DataError, match=r"no probe is known.*measured\.reconstruction"):
        of_file(path)
    for wrong, said in (({"held_out": 0.0}, "above 0"), ({"neighbours": 8}, "1 to 7")):
        with pytest.raises(ValueError, match=said):
            MeasuredSettings(**({"scan": "a.npz"} | wrong))  # type: ignore[arg-type]
