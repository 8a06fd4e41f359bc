"""training.experiment: linear maps of a measured pattern are patterns of the mapped crystal."""

from pathlib import Path

import numpy as np
import torch

from inphase.pattern import Domain, MaskState
from training.experiment import Experiment, transformed

N = 32


def pattern() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    mask = torch.zeros(N, N, N, dtype=torch.uint8)
    mask[:, 20] = int(MaskState.MASKED)
    mask[:3] = int(MaskState.PADDING)
    return torch.rand(N, N, N, generator=generator) * (mask == 0), mask


def test_the_identity_changes_nothing() -> None:
    """Intensity to single precision, the mask exactly."""
    intensity, mask = pattern()
    found, states = transformed(intensity, mask, torch.eye(3)[None])
    torch.testing.assert_close(found[0], intensity, atol=1e-5, rtol=0)
    assert torch.equal(states[0], mask)


def test_voxels_go_where_the_map_says_about_the_centre() -> None:
    """A quarter turn about the first axis and a mirror: I'(q) = I(M q), voxel by voxel, q counted from N // 2."""
    intensity = torch.rand(N, N, N, generator=torch.Generator().manual_seed(1))
    maps = torch.tensor([[[1.0, 0, 0], [0, 0, -1], [0, 1, 0]], [[1, 0, 0], [0, 1, 0], [0, 0, -1]]])
    found, _ = transformed(intensity, torch.zeros(N, N, N, dtype=torch.uint8), maps)
    for q in ((3, -5, 7), (-10, 2, 0), (0, 0, 0)):
        for one, m in zip(found, maps, strict=True):
            source = (m @ torch.tensor(q, dtype=torch.float32)).round().int() + N // 2
            here = torch.tensor(q) + N // 2
            torch.testing.assert_close(one[tuple(here)], intensity[tuple(source)], atol=1e-5, rtol=0)


def test_stretching_a_pattern_shrinks_its_fringes() -> None:
    """A Gaussian of width s seen at 1.25 q has the width s / 1.25, and what lies beyond the grid is padding."""
    axis = torch.arange(N) - N // 2.0
    r2 = axis.square()[:, None, None] + axis.square()[:, None] + axis.square()
    maps = 1.25 * torch.eye(3)[None]
    found, states = transformed(torch.exp(-r2 / 50), torch.zeros(N, N, N, dtype=torch.uint8), maps)
    known = states[0] == int(MaskState.VALID)
    torch.testing.assert_close(found[0][known], torch.exp(-(1.25**2) * r2 / 50)[known], atol=0.02, rtol=0)
    assert (states[0, :2] == int(MaskState.PADDING)).all()


def test_an_experiment_is_read_as_the_service_prepares_it(tmp_path: Path) -> None:
    """A file of counts comes onto the grid with its peak at the centre; batches of it are never the same twice."""
    axis = np.arange(64) - 30.0
    fringes = [np.sinc(axis / width) ** 2 for width in (3, 3.5, 4)]
    counts = np.random.default_rng(0).poisson(1e5 * np.einsum("i,j,k->ijk", *fringes))
    np.save(tmp_path / "scan.npy", counts.astype(np.uint32))
    read = Experiment.read(tmp_path / "scan.npy", Domain.COUNTS)
    assert np.unravel_index(int(read.intensity.argmax()), (64, 64, 64)) == (32, 32, 32)
    generator = torch.Generator().manual_seed(0)
    first, second = (read.augmented(2, generator).measurement for _ in range(2))
    assert first.intensity.shape == (2, 64, 64, 64)
    assert (first.intensity[first.mask != int(MaskState.VALID)] == 0).all()
    assert not torch.equal(first.intensity, second.intensity)
    assert (first.hidden <= (first.mask == int(MaskState.VALID))).all()
