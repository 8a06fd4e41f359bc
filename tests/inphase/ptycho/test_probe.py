"""The probe that a reconstruction begins with."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from inphase.ptycho import probe as probes
from inphase.ptycho.scan import Scan
from tests.inphase.ptycho.scenes import FRESNEL_NUMBER, measured, small

SCENE = small()


def scan_of(measurement: object) -> Scan:
    """On the CPU, nothing held out."""
    return Scan.of(measurement, np.arange(0), 16, torch.device("cpu"), lambda: False)  # type: ignore[arg-type]


def power(probe: torch.Tensor) -> float:
    """Photons."""
    return float(probe.abs().square().sum())


@pytest.mark.parametrize("factor", [1e-4, 1e3])
def test_probe_of_the_wrong_power_is_scaled_to_the_patterns_and_told(factor: float) -> None:
    """A thousand times too strong in amplitude, or ten thousand too weak."""
    whole = measured(SCENE)
    assert whole.probe is not None
    wrong = replace(whole, probe=whole.probe * np.float32(factor))
    scan = scan_of(wrong)
    found = probes.start(wrong, scan, None)
    assert power(found.probe) == pytest.approx(SCENE.counts.sum() / len(SCENE.counts), rel=1e-4)
    assert "scaled" in found.notes[0]


def test_probe_of_the_right_power_is_nothing_to_speak_of() -> None:
    """The object takes a part of the photons, which is no fault."""
    whole = measured(SCENE)
    assert probes.start(whole, scan_of(whole), None).notes == ()


@pytest.mark.parametrize("near", [False, True])
def test_without_a_guess_the_probe_has_the_mean_pattern(near: bool) -> None:
    """Its own far or near field is the root of the mean pattern, and the notes say so."""
    of = small(fresnel_number=FRESNEL_NUMBER if near else None)
    whole = measured(of, guess=False, near=near)
    scan = scan_of(whole)
    found = probes.start(whole, scan, 1)
    field = scan.waves.propagation.forward(found.probe[None], None)[0, 0].abs().numpy()
    mean = scan.waves.propagation.arranged(np.sqrt(of.counts.mean(0)).astype(np.float32))
    np.testing.assert_allclose(field, mean, rtol=1e-3, atol=1e-3 * mean.max())
    assert "mean pattern" in found.notes[0]


def test_modes_are_added_and_the_strongest_kept() -> None:
    """Added ones are orthogonal and weak; of too many the first are taken."""
    whole = measured(SCENE)
    scan = scan_of(whole)
    three = probes.start(whole, scan, 3).probe
    gram = (three.flatten(1) @ three.flatten(1).mH).abs()
    assert float((gram - gram.diag().diag()).max()) < 1e-4 * float(gram.max())
    shares = gram.diag() / gram.trace()
    assert shares[0] > 0.85
    assert (shares[1:] > 0.01).all()
    fewer = probes.start(replace(whole, probe=three.numpy()), scan, 2)
    assert len(fewer.probe) == 2
    assert "2 strongest" in fewer.notes[-1]


def test_orthogonal_modes_give_the_same_intensities() -> None:
    """A rotation among the modes is invisible."""
    modes = torch.randn(3, 8, 8, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    turned = probes.orthogonal(modes)
    for apply in (lambda m: m, torch.fft.fft2):
        torch.testing.assert_close(apply(turned).abs().square().sum(0), apply(modes).abs().square().sum(0))
    powers = turned.abs().square().sum((1, 2))
    assert (powers[:-1] >= powers[1:]).all()
