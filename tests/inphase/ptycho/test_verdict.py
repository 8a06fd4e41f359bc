"""The verdict on images whose noise is known."""

import numpy as np
import pytest
import torch

from inphase.ptycho.engine import reconstruct
from inphase.ptycho.measurement import Measurement, from_arrays
from inphase.ptycho.options import Options
from inphase.ptycho.scan import Scan, State
from inphase.ptycho.verdict import NO_PHOTONS, Verdict, judged
from tests.inphase.ptycho.scenes import small
from training.simulate.ptychography import Scene


def of_the_truth(of: Scene, measured: Measurement, object_: np.ndarray | None = None) -> Verdict:
    """On the object and probe that made the counts, the last four frames held out."""
    scan = Scan.of(measured, np.arange(len(measured) - 4, len(measured)), 16, torch.device("cpu"), lambda: False)
    state = State(
        torch.from_numpy((of.object if object_ is None else object_).astype(np.complex64)),
        torch.from_numpy(of.probe.astype(np.complex64)),
        torch.from_numpy(measured.positions_px),
    )
    return judged(scan, state, measured.ids, photons=measured.counts_photons)


@pytest.mark.parametrize("photons", [300.0, 1e4, 1e6, 1e8])
def test_the_truth_fits_to_the_noise_at_any_dose(photons: float) -> None:
    """R within 3 % of what was predicted and the deviance within 3 % of 1; half of the pixels or all of them dark."""
    of = small(photons=photons)
    found = of_the_truth(of, from_arrays(of.counts, of.positions, probe=of.probe))
    assert found.r_noise is not None
    assert found.r_factor == pytest.approx(found.r_noise, rel=0.03)
    assert found.deviance == pytest.approx(1, abs=0.03)
    assert found.words[0].startswith("The image fits to the noise: R is ")
    assert found.misfits == ()


def test_what_is_not_noise_is_told() -> None:
    """An object that is wrong at 1e8 photons: many times what they leave."""
    of = small(photons=1e8)
    found = of_the_truth(of, from_arrays(of.counts, of.positions, probe=of.probe), of.object**1.1)
    assert found.r_noise is not None
    assert found.r_factor > 5 * found.r_noise
    assert found.deviance is not None
    assert found.deviance > 25
    assert found.words[0].startswith(f"R is {found.r_factor / found.r_noise:.2g} times what the photons would leave")


def test_frames_that_do_not_belong_are_named() -> None:
    """Two whose patterns were exchanged, and one that was turned; by the ids of the file."""
    of = small(photons=1e6)
    counts = of.counts.copy()
    counts[[10, 30]] = counts[[30, 10]]
    counts[20] = counts[20].T
    found = of_the_truth(of, from_arrays(counts, of.positions, probe=of.probe, ids=np.arange(len(counts)) + 100))
    assert found.misfits == (110, 120, 130)
    assert found.words[1] == "Frames that fit far worse than the others: 110, 120, 130."


def test_what_counts_no_photons_has_no_noise() -> None:
    """Patterns that were divided by something; whole numbers in floating point do count, and masked pixels do not."""
    of = small(photons=1e6)
    divided = from_arrays(of.counts / 3, of.positions, probe=of.probe)
    found = of_the_truth(of, divided)
    assert (found.r_noise, found.deviance, found.words) == (None, None, (NO_PHOTONS,))
    assert not divided.counts_photons
    gap = np.zeros(of.counts.shape[1:], bool)
    gap[3, 4] = True
    marred = of.counts.copy()
    marred[:, 3, 4] += 0.5
    assert from_arrays(marred, of.positions, mask=gap).counts_photons


def test_the_report_has_it() -> None:
    """After a reconstruction: what noise leaves at fitted rates is some 5 % less than at the true ones, as dark pixels
    are fitted to their noise.
    """
    of = small(photons=1e6)
    measured = from_arrays(of.counts, of.positions, probe=of.probe)
    report = reconstruct(measured, Options("40*RPIE", turn=False)).report
    assert report.r_noise is not None
    assert report.r_noise == pytest.approx(of_the_truth(of, measured).r_noise or 0, rel=0.1)
    assert report.verdict[0].startswith("The image fits to the noise")


def test_an_image_that_follows_the_noise_is_told() -> None:
    """Of frames that hardly overlap: they are fitted to the noise, and those that were held out are not at all."""
    of = small(photons=1e4, step=10, frames=5)
    measured = from_arrays(of.counts, of.positions, probe=of.probe)
    report = reconstruct(measured, Options("60*RAAR", turn=False, hold_out=0.1)).report
    assert "It does not fit those that were held out" in report.verdict[0]
