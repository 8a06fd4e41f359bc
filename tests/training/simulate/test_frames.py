"""training.simulate.frames: photons, beam stop, partial coherence, hidden pixels."""

from dataclasses import replace

import numpy as np
import scipy.signal
import torch

from inphase.pattern import MaskState
from training.simulate.frames import FrameSettings, extents, measure_frame
from training.simulate.particles import ParticleSettings, particles
from training.transform import far_intensity

FRAME, BOX = (64, 64), (32, 32)


def objects(batch: int = 4) -> torch.Tensor:
    return particles(batch, FRAME, BOX, ParticleSettings(), torch.Generator().manual_seed(1))


def measured(**changes: object) -> tuple[torch.Tensor, object]:
    drawn = objects()
    settings = replace(FrameSettings(), **changes)  # type: ignore[arg-type]
    return drawn, measure_frame(drawn, FRAME, settings, torch.Generator().manual_seed(2))


def test_without_options_a_frame_is_the_intensity_itself() -> None:
    """As in the paper: no noise, nothing masked, nothing hidden; only the number of photons is drawn."""
    drawn, found = measured(photons=(1e6, 1e6))
    expected = far_intensity(drawn, FRAME)
    torch.testing.assert_close(found.intensity, 1e6 * expected / expected.sum((1, 2), keepdim=True))
    assert torch.equal(found.intensity, found.clean)
    assert not found.mask.any()
    assert not found.hidden.any()


def test_noise_is_poisson() -> None:
    """Whole counts whose squared distance from the rate is the rate: 16,000 pixels, 5 % (three sigma)."""
    _, found = measured(noise_share=1.0, photons=(1e6, 1e6))
    assert torch.equal(found.intensity, found.intensity.round())
    bright = found.clean > 5
    ratio = (found.intensity - found.clean).square()[bright] / found.clean[bright]
    assert abs(float(ratio.mean()) - 1) < 0.05


def test_read_out_noise_is_gaussian() -> None:
    """Of the sigma that is asked for, where nothing is cut off at zero: 5 % of it, and of no mean."""
    _, found = measured(readout_share=1.0, readout=(0.8, 0.8), photons=(1e6, 1e6))
    added = (found.intensity - found.clean)[found.clean > 8]
    assert abs(float(added.std()) / 0.8 - 1) < 0.05
    assert abs(float(added.mean())) < 4 * 0.8 / len(added) ** 0.5
    assert float(found.intensity.min()) == 0.0


def test_a_beam_stop_masks_the_middle() -> None:
    """A disc about the DC pixel, masked and without counts; everything else as it was."""
    _, found = measured(stop_share=1.0, stop=(3.0, 3.0))
    masked = found.mask == int(MaskState.MASKED)
    rows, columns = np.ogrid[-32:32, -32:32]
    np.testing.assert_array_equal(masked[0], rows**2 + columns**2 < 9)
    assert not found.intensity[masked].any()
    assert torch.equal(found.intensity[~masked], found.clean[~masked])


def test_partial_coherence_is_a_convolution_of_the_intensity() -> None:
    """With the Gaussian whose transform falls to exp(-1/2) at the coherence length: by scipy, away from the border."""
    drawn, found = measured(coherence_share=1.0, coherence=(0.25, 0.25), photons=(1e6, 1e6))
    length = 0.25 * float(extents(drawn)[0].max())
    sigma = 64 / (2 * np.pi * length)
    rows, columns = np.ogrid[-15:16, -15:16]
    kernel = np.exp(-(rows**2 + columns**2) / (2 * sigma**2))
    expected = scipy.signal.fftconvolve(found.clean[0].numpy().astype(float), kernel / kernel.sum(), mode="same")
    inner = slice(16, 48)
    np.testing.assert_allclose(found.intensity[0, inner, inner], expected[inner, inner], rtol=2e-3, atol=0.5)


def test_pixels_are_hidden_as_the_service_hides_them() -> None:
    """About a twentieth of the frame in islands of three, none of them in the middle."""
    _, found = measured(free_share=1.0)
    assert 0.03 < float(found.hidden.float().mean()) < 0.06
    assert not found.hidden[:, 28:37, 28:37].any()
    _, some = measured(free_share=0.5)
    assert {bool(one.any()) for one in some.hidden} == {True, False}
