"""training.simulate.detector: what a measurement adds to the far field."""

from dataclasses import replace

import numpy as np
import torch

from inphase.pattern import MaskState
from training.data import sample
from training.settings import FitSettings
from training.simulate.detector import DetectorSettings, binning_lines, blurred, coherence_lines, islands, measure
from training.transform import embed, forward

PERFECT = DetectorSettings(
    background_share=0.0, coherence_share=0.0, bins=(1, 1), gap_share=0.0, bad_pixel_share=0.0, short_range_share=0.0
)
FRAME = (64, 64, 64)


def ball(radius: float, n: int = 32) -> torch.Tensor:
    axes = [torch.arange(n) - n // 2 for _ in range(3)]
    r = sum(a.square() for a in torch.meshgrid(*axes, indexing="ij")).sqrt()
    return (r < radius).cfloat()[None]


def test_binning_envelope_is_sum_binning_of_a_finer_pattern() -> None:
    """Sum-binning the intensity of the object in a twice larger frame equals the envelope on its autocorrelation."""
    obj = ball(8)
    # bin b covers fine voxels whose mean position is the coarse voxel: shift by half a fine voxel with a phase ramp
    ramp = torch.exp(1j * np.pi / 128 * (torch.arange(32) - 16.0))
    shifted = obj * ramp[:, None, None] * ramp[:, None] * ramp
    fine = forward(embed(shifted, (128, 128, 128))).abs().square()
    binned = fine.reshape(1, 64, 2, 64, 2, 64, 2).sum((2, 4, 6))
    coarse = forward(embed(obj, FRAME)).abs().square()
    expected = blurred(coarse, binning_lines(torch.tensor([[2, 2, 2]]), FRAME))
    # norm "ortho": the fine frame has 8 times as many voxels and the same photons
    torch.testing.assert_close(binned, expected, atol=1e-4 * float(expected.max()), rtol=0)


def test_partial_coherence_is_a_gaussian_on_the_autocorrelation() -> None:
    """Three lines along the axes do what exp(-r^2 / 2 l^2) does on the whole autocorrelation, by complex transforms."""
    coarse = forward(embed(ball(8), FRAME)).abs().square()
    length = torch.tensor([[9.0, 14.0, 25.0]])
    r = torch.arange(64) - 32.0
    exponent = sum((a / one).square() for a, one in zip(torch.meshgrid(r, r, r, indexing="ij"), length[0], strict=True))
    expected = forward(forward(coarse.cfloat(), inverse=True) * torch.exp(-0.5 * exponent)).real
    found = blurred(coarse, coherence_lines(length, FRAME))
    torch.testing.assert_close(found, expected, atol=1e-5 * float(expected.max()), rtol=0)


def test_photons_are_poisson_on_the_intensity() -> None:
    """A perfect detector counts a total and a mean square deviation that Poisson statistics give."""
    settings = replace(PERFECT, photons=(1e6, 1e6))
    measured = measure(ball(10), FRAME, torch.tensor([[20.0, 20.0, 20.0]]), settings, torch.Generator().manual_seed(1))
    assert abs(measured.intensity.sum().item() - 1e6) < 5e3  # five standard deviations
    bright = measured.clean > 5
    pull = (measured.intensity - measured.clean)[bright].square() / measured.clean[bright]
    assert abs(pull.mean().item() - 1.0) < 5 * (2 / bright.sum().item()) ** 0.5 + 0.02


def test_mask_states_and_hidden_voxels() -> None:
    """Masked pixels are masked in all frames, the range is padded at its ends,
    islands hide about 5 % outside the centre.
    """
    made = sample(FitSettings(), 3, 0, 8, torch.device("cpu")).measurement
    assert (made.intensity[made.mask != MaskState.VALID] == 0).all()
    padded = (made.mask == MaskState.PADDING).flatten(2).all(2)
    assert (padded | ~(made.mask == MaskState.PADDING).flatten(2).any(2)).all()  # whole frames only
    masked = made.mask == MaskState.MASKED
    measured = ~padded
    for volume, rows in zip(masked, measured, strict=True):
        kept = volume[rows]
        assert (kept == kept[0]).all()
    hidden = islands(4, FRAME, 0.05, torch.Generator().manual_seed(0))
    assert 0.03 < hidden.float().mean() < 0.06
    assert not hidden[:, 29:36, 29:36, 29:36].any()
