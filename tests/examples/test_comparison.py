"""examples/comparison.py and examples/figure.py"""

from pathlib import Path

import comparison
import figure
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from inphase import fourier
from inphase.formats.result import Result

N = 24


def crystal() -> NDArray[np.complex64]:
    """A small ellipsoid with a soft surface, off-centre features and a smooth phase, on a grid of 24^3 voxels."""
    z, y, x = np.mgrid[:N, :N, :N] - N // 2
    amplitude = 1 / (1 + np.exp(2 * (np.sqrt((z / 1.0) ** 2 + (y / 1.3) ** 2 + (x / 0.8) ** 2) - 4)))
    amplitude *= 1 + 0.1 * x / 4
    return (amplitude * np.exp(0.1j * (z + y * x / 3))).astype(np.complex64)


def result(obj: NDArray[np.complex64], start: list[int], bins: list[int]) -> Result:
    """A result as the service would give it."""
    modulus = np.abs(fourier.forward(obj)).astype(np.float32)
    document = {
        "metrics": {"final": {"chi2": 0.0}},
        "preprocess": {"binning": bins, "steps": [{"name": "centring", "numbers": {"start": start}}]},
        "canonical": {"ramp": [0.0, 0.0, 0.0]},
    }
    support = comparison.support(obj)
    return Result(obj, support, np.angle(obj), modulus, np.zeros(obj.shape, np.uint8), None, document)


def test_the_whole_grid_is_the_truth_itself() -> None:
    """Without cropping and binning the ideal measurement shows the crystal as it is, up to the scale."""
    truth = crystal()
    ideal = comparison.on_grid(truth, (0, 0, 0), (1, 1, 1), (N, N, N))
    scale = np.vdot(ideal, truth) / np.vdot(ideal, ideal)
    assert np.allclose(scale * ideal, truth, atol=1e-5)  # complex64 sums of 24 terms


def test_binning_halves_the_field_of_view() -> None:
    """Every second voxel of the far field, at the middle of its bin, is the crystal times half a voxel's ramp,
    folded into half the field.
    """
    truth = crystal()
    ideal = comparison.on_grid(truth, (0, 0, 0), (2, 1, 1), (N // 2, N, N))
    ramped = truth * np.exp(-2j * np.pi * 0.5 / N * (np.arange(N) - N // 2))[:, None, None]
    expected = ramped[N // 4 : 3 * N // 4].copy()
    expected[N // 4 :] += ramped[: N // 4]
    expected[: N // 4] += ramped[3 * N // 4 :]
    scale = np.vdot(ideal, expected) / np.vdot(ideal, ideal)
    assert np.allclose(scale * ideal, expected, atol=1e-5)  # complex64 sums of 24 terms


def test_trivial_differences_do_not_count() -> None:
    """Twin, position, scale and global phase cost nothing: SSIM 1 and no phase error."""
    truth = crystal()
    moved = np.roll(np.conj(np.roll(np.flip(truth), 1, axis=(0, 1, 2))), (2, -1, 3), axis=(0, 1, 2)) * 3 * np.exp(0.7j)
    views, agreements = comparison.compare({"moved": result(moved.astype(np.complex64), [0, 0, 0], [1, 1, 1])}, truth)
    assert agreements[0].ssim == pytest.approx(1, abs=1e-3)
    assert agreements[0].phase_error < 1e-3
    assert [view.name for view in views] == ["moved", "truth"]


def test_another_crystal_does_not_agree() -> None:
    """A crystal of another phase has its phase error: a sine of amplitude 0.5 rad leaves 0.35 rad rms."""
    truth = crystal()
    wave = 0.5 * np.sin(2 * np.pi * np.arange(N) / 4)
    other = (truth * np.exp(1j * wave)[None, :, None]).astype(np.complex64)
    _, agreements = comparison.compare({"other": result(other, [0, 0, 0], [1, 1, 1])}, truth)
    assert agreements[0].phase_error == pytest.approx(0.35, abs=0.05)  # a few periods only, unevenly filled


@pytest.mark.parametrize("known", [True, False])
def test_figure(tmp_path: Path, known: bool) -> None:
    """A picture is drawn with and without a truth; no panel stays empty."""
    truth = crystal()
    results = {"network": result(truth, [0, 0, 0], [1, 1, 1]), "refined": result(truth, [0, 0, 0], [1, 1, 1])}
    views, _ = comparison.compare(results, truth if known else None)
    figure.draw(views, results["refined"], tmp_path / "figure.png", "test")
    with Image.open(tmp_path / "figure.png") as picture:
        assert picture.width > 1000
        assert len(set(picture.convert("RGB").resize((64, 64)).get_flattened_data())) > 500
