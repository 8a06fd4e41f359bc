"""training.muon: torch's own Muon where that knows the weights, the singular values, AdamW for the rest."""

import copy

import pytest
import torch
from torch import Tensor, nn

from training.muon import Muon, orthogonal

RATE = 0.01
BETAS = (0.9, 0.98)
DECAY = 0.1
ROUNDED = 0.04  # of a way: ten roundings to the 8 bits of bfloat16, which layout and order of operations decide


def gradients(*shape: int) -> Tensor:
    return torch.randn(5, *shape, generator=torch.Generator().manual_seed(3))


def stepped(optimizer: torch.optim.Optimizer, weight: nn.Parameter, given: Tensor) -> Tensor:
    for gradient in given:
        weight.grad = gradient.reshape(weight.shape).clone()
        optimizer.step()
    return weight.detach()


@pytest.mark.parametrize("shape", [(16, 54), (54, 16)])
def test_matrices_go_where_torchs_muon_takes_them(shape: tuple[int, int]) -> None:
    """In five steps, but for the roundings to bfloat16; and it is a way."""
    given, first = gradients(*shape), torch.randn(shape)
    ours, theirs = nn.Parameter(first.clone()), nn.Parameter(first.clone())
    found = stepped(Muon([ours], RATE, BETAS, DECAY), ours, given)
    wanted = stepped(
        torch.optim.Muon([theirs], RATE, weight_decay=DECAY, adjust_lr_fn="match_rms_adamw"), theirs, given
    )
    way = (wanted - first).norm()
    assert (found - wanted).norm() < ROUNDED * way
    assert way > 0.1


def test_a_convolution_is_the_matrix_of_its_outputs() -> None:
    """Whatever order its voxels have in memory."""
    given, first = gradients(16, 54), torch.randn(16, 54)
    flat = nn.Parameter(first.clone())
    volume = nn.Parameter(first.reshape(16, 2, 3, 3, 3).to(memory_format=torch.channels_last_3d))
    wanted = stepped(Muon([flat], RATE, BETAS, DECAY), flat, given)
    found = stepped(Muon([volume], RATE, BETAS, DECAY), volume, given).reshape(16, 54)
    assert (found - wanted).norm() < ROUNDED * (wanted - first).norm()


@pytest.mark.parametrize("shape", [(7,), (1, 4, 3, 3), (6, 1)])
def test_what_is_no_matrix_is_adams(shape: tuple[int, ...]) -> None:
    """Biases and layers of one output or input, to the last bit."""
    given, first = gradients(*shape), torch.randn(shape)
    ours, theirs = nn.Parameter(first.clone()), nn.Parameter(first.clone())
    matrix = nn.Parameter(torch.randn(3, 3))
    found = stepped(Muon([matrix, ours], RATE, BETAS, DECAY), ours, given)
    wanted = stepped(torch.optim.AdamW([theirs], RATE, betas=BETAS, weight_decay=DECAY), theirs, given)
    assert torch.equal(found, wanted)


@pytest.mark.parametrize("shape", [(8, 40), (40, 8), (12, 12)])
def test_singular_values_come_to_one(shape: tuple[int, int]) -> None:
    """Those of noise, which span a decade and more, end between 0.7 and 1.2, as the authors state; bfloat16 rounds."""
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    values = torch.linalg.svdvals(orthogonal(noise))
    assert values.min() > 0.65
    assert values.max() < 1.25


def test_a_checkpoint_brings_both_back() -> None:
    """Steps after a state was loaded are those of the optimizer that it was saved from."""
    given = gradients(4, 6)
    weights = [nn.Parameter(torch.ones(4, 6)), nn.Parameter(torch.ones(24))]
    first = Muon(weights, RATE, BETAS, DECAY)
    for weight in weights:
        weight.grad = given[0].reshape(weight.shape)
    first.step()
    copies = [nn.Parameter(weight.detach().clone()) for weight in weights]
    second = Muon(copies, 1.0, BETAS, 0.0)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for some, optimizer in ((weights, first), (copies, second)):
        for weight in some:
            weight.grad = given[1].reshape(weight.shape)
        optimizer.step()
    for weight, other in zip(weights, copies, strict=True):
        assert torch.equal(weight, other)
