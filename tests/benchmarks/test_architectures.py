"""The variants of inphase-bcdi draw what they say they draw."""

import pytest
import torch
from torch import Tensor, nn

from benchmarks import architectures
from benchmarks.architectures import VARIANTS, LogModulus, ReciprocalPhase, Unsearched, Variant, module_of, quality
from training.networks.blocks import space_to_depth
from training.transform import embed, forward


class Fixed(nn.Module):
    """A network with one answer."""

    def __init__(self, answer: Tensor) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, _: Tensor) -> Tensor:
        return self.answer


def test_the_true_reciprocal_phase_is_the_crystal():
    """With the phase of a random box's far field and its modulus, whose root the network sees,
    the box comes back: 1e-5.
    """
    generator = torch.Generator().manual_seed(1)
    box = torch.complex(*torch.randn(2, 1, 32, 32, 32, generator=generator))
    field = forward(embed(box, (64, 64, 64)))
    network = ReciprocalPhase()
    angles = torch.stack([field.angle().cos(), field.angle().sin()], 1)
    network.first = Fixed(space_to_depth(space_to_depth(angles)))  # type: ignore[assignment]
    patterns = torch.cat([field.abs().sqrt()[:, None], torch.zeros(1, 3, 64, 64, 64)], 1)
    with torch.no_grad():
        found = torch.complex(*network.draft(patterns).unbind(1))
    assert (found - box).abs().max() < 1e-5 * box.abs().max()


def test_the_logarithm_goes_from_a_millionth_to_the_largest():
    """Moduli of 1e-4, 1e-3, 10^-1.5 and 1 are seen as 0, 0, 1/2 and 1."""
    modulus = torch.tensor([1e-4, 1e-3, 10**-1.5, 1.0]).reshape(1, 1, 1, 4)
    seen = LogModulus.patterns(modulus, torch.ones(1, 1, 1, 4), torch.ones(1, 2, 1, 1, 4))
    torch.testing.assert_close(seen[0, 0, 0, 0], torch.tensor([0.0, 0.0, 0.5, 1.0]), atol=1e-6, rtol=0)


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: v.name)
def test_every_variant_draws_a_box(variant: Variant):
    """From a pattern, whatever is in it, a finite object of half the frame's side."""
    network = variant.build()
    features = torch.rand(1, 64, 64, 64), torch.ones(1, 64, 64, 64), torch.rand(1, 2, 64, 64, 64)
    with torch.no_grad():
        drawn = network.draft(network.patterns(*features))
    assert drawn.shape == (1, 2, 32, 32, 32)
    assert drawn.isfinite().all()


def test_corrections_follow_the_drawing_where_there_is_no_search():
    """Two of them, each with an object."""
    features = torch.rand(1, 64, 64, 64), torch.ones(1, 64, 64, 64), torch.rand(1, 2, 64, 64, 64)
    with torch.no_grad():
        found = Unsearched(corrections=2).objects(*features)
    assert [x.shape for x in found] == 3 * [(1, 2, 32, 32, 32)]
    assert all(x.isfinite().all() for x in found)


def test_a_search_improves_what_an_untrained_network_draws(monkeypatch: pytest.MonkeyPatch):
    """The likeness of one held-out batch to its crystals."""
    monkeypatch.setattr(architectures, "HELD_OUT_BATCHES", 1)
    found = quality(module_of(VARIANTS[0]))
    assert 0 < found.likeness < found.searched <= 1
