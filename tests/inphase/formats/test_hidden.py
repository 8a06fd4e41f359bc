"""Whether a mask names bad pixels or good ones is seen by the light, of a detector with gaps of any width."""

import math
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

import inphase
from inphase.errors import DataError
from inphase.formats.hidden import Hidden, account
from inphase.ptycho import from_arrays
from tests.inphase.ptycho.scenes import small

GAP = 2**32 - 1


def gaps(shape: tuple[int, ...], share: float) -> NDArray[np.bool_]:
    """(rows, columns): bands of a period of ten columns that do not measure, and a few dead pixels beside them."""
    bad = np.zeros(shape[-2:], bool)
    bad[:, np.arange(shape[-1]) % 10 >= round(10 * (1 - share))] = True
    bad[5, 7] = bad[40 % shape[-2], 3] = True
    return bad


@pytest.fixture
def counts(pattern: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """A rocking curve on a background of a tenth of a photon."""
    background = np.random.default_rng(3).poisson(0.1, pattern.shape)
    return (pattern + background).astype(np.uint32)


@pytest.mark.parametrize("value", [0, GAP, 2**16 - 1])
@pytest.mark.parametrize("share", [0.1, 0.2, 0.3, 0.5, 0.7])
def test_a_mask_of_good_pixels_is_refused(counts: NDArray[np.uint32], share: float, value: int) -> None:
    """Whatever the gaps hold, and also with hot pixels among them; the mask of bad pixels is told with its light."""
    bad = gaps(counts.shape, share)
    counts[:, bad] = value
    counts[:, 5, 7] = 2 * counts[counts < 2**16 - 1].max()  # hot
    with pytest.raises(DataError, match=r"mine: masks .*of the light, and its brightest pixel.* mask == 0"):
        account(counts, ~bad, "mine")
    said = account(counts, bad, "mine")
    assert said.startswith(f"what is not zero is masked: {bad.mean():.1%} of the voxels, which hold 0.0% of the light")
    assert account(counts[32], bad, "mine").startswith("what is not zero is masked")
    with pytest.raises(DataError, match="good pixels"):
        account(counts[32], ~bad, "mine")


def test_what_is_masked_on_purpose_is_taken(counts: NDArray[np.uint32]) -> None:
    """A saturated peak with most of the light; half of the detector with another crystal; all but the peak."""
    peak = np.zeros(counts.shape, bool)
    peak[22:43, 22:43, 22:43] = True
    assert Hidden.of(counts, peak).light > 0.9
    assert "which hold 9" in account(counts, peak, "mine")
    double = counts.copy()
    double[:, :, 40:] += np.roll(counts, 25, axis=2)[:, :, 40:] * 2
    other = np.zeros(counts.shape[1:], bool)
    other[:, 40:] = True
    assert Hidden.of(double, other).peak
    account(double, other, "mine")
    box = np.ones(counts.shape[1:], bool)
    box[22:43, 22:43] = False
    assert box.mean() > 0.85
    account(counts, box, "mine")
    box[26:39] = box[:, 26:39] = True
    box[28:37, 28:37] = False
    assert box.mean() > 0.9
    account(counts, box, "mine")  # as what is left is where the light is


def test_where_there_is_no_light_the_number_of_pixels_decides() -> None:
    """As of a frame that stands for those to come, of a single hot pixel, and of numbers that are none."""
    dark = np.zeros((32, 32), np.uint16)
    dark[3, 4] = 60_000
    for array in (dark, dark.astype(complex), np.full((32, 32), np.nan), np.zeros((0, 32, 32))):
        mask = np.zeros((32, 32), bool)
        mask[:, 4:] = True
        assert math.isnan(Hidden.of(array, mask).light)
        assert account(array, mask, "mine") == "what is not zero is masked: 87.5% of the voxels"
        mask[:, 1:] = True
        with pytest.raises(DataError, match=r"mine: masks 96\.9% of the voxels: what is not zero"):
            account(array, mask, "mine")


def test_frames_are_skipped_of_large_scans(counts: NDArray[np.uint32], monkeypatch: pytest.MonkeyPatch) -> None:
    """Every second frame of each second frame's mask: the shares are nearly the same."""
    bad = np.broadcast_to(gaps(counts.shape, 0.3), counts.shape).copy()
    bad[::2, :, :20] = True
    whole = Hidden.of(counts, bad)
    monkeypatch.setattr("inphase.formats.hidden._LOOKED_AT", counts.size // 3)
    part = Hidden.of(counts, bad)
    assert part.voxels == whole.voxels
    assert part.light == pytest.approx(whole.light, abs=0.1)


@pytest.mark.parametrize("form", ["npz", "bool in npz", "pixel_mask", "cxi", "file"])
def test_every_file_with_a_mask_is_asked(tmp_path: Path, counts: NDArray[np.uint32], form: str) -> None:
    """The inverse is refused with the file's name, the mask itself told in the provenance."""
    bad = gaps(counts.shape, 0.2)
    counts[:, bad] = 0

    def made(mask: NDArray[np.bool_]) -> tuple[Path, dict[str, str]]:
        if "npz" in form:
            np.savez(tmp_path / "scan.npz", data=counts, mask=mask if "bool" in form else mask.astype(np.int32))
            return tmp_path / "scan.npz", {}
        if form == "file":
            np.save(tmp_path / "scan.npy", counts)
            np.save(tmp_path / "mask.npy", mask)
            return tmp_path / "scan.npy", {"mask": str(tmp_path / "mask.npy")}
        path = tmp_path / ("scan.cxi" if form == "cxi" else "scan.h5")
        with h5py.File(path, "w") as file:
            detector = "entry_1/instrument_1/detector_1" if form == "cxi" else "entry/instrument/detector"
            file[f"{detector}/data"] = counts
            file[f"{detector}/{'mask' if form == 'cxi' else 'pixel_mask'}"] = mask.astype(np.uint32)
        return path, {}

    path, options = made(bad)
    found = inphase.read(path, **options)  # type: ignore[arg-type]
    assert f"what is not zero is masked: {bad.mean():.1%} of the voxels, which hold 0.0% of the light" in found.chosen
    assert found.mask is not None
    np.testing.assert_array_equal(found.mask[3] != 0, bad)
    path, options = made(~bad)
    with pytest.raises(DataError, match=r"(scan|mask)\..*masks .*mask == 0"):
        inphase.read(path, **options)  # type: ignore[arg-type]


def test_a_scan_of_good_pixels_is_refused_too() -> None:
    """Ptychography: a note on the mask, or the refusal."""
    scene = small(frames=5)
    counts = scene.counts.astype(np.uint32)
    bad = gaps(counts.shape, 0.3)
    counts[:, bad] = 0
    found = from_arrays(counts, scene.positions, mask=bad)
    assert found.notes[0].startswith("Of the mask, what is not zero is masked: ")
    with pytest.raises(DataError, match=r"arrays, mask: masks .*mask == 0"):
        from_arrays(counts, scene.positions, mask=~bad)
