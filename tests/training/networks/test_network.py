"""training.networks.network: mixed precision is a matter of the network's own products."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn, polar

from training.data import sample
from training.features import features_of
from training.networks import build, predict
from training.networks.network import ShortSidesInSingle, channels_last
from training.objectives.truth import squared_correlation
from training.settings import from_dict

NETWORKS: dict[str, dict[str, Any]] = {
    "autophasenn": {"width": 8},
    "cdinn": {"widths": (16, 32, 64), "dropout": 0.0},
    # the search amplifies rounding: from another draft it may come to another crystal
    "inphase-bcdi": {"widths": [16, 32], "depths": [1, 1], "search": [[1, 0, 1]], "corrections": 1},
}


def pattern(inputs: tuple[str, ...]) -> dict[str, Tensor]:
    return features_of(sample(from_dict({}), 1, 0, 2, torch.device("cpu")).measurement, inputs)


@pytest.mark.parametrize("name", NETWORKS)
def test_in_bfloat16_it_predicts_and_learns_the_same_but_for_rounding(name: str) -> None:
    """In single precision what goes in and comes out; of 8 bits the products between, forwards and backwards.

    A tenth of the amplitude, and a likeness of 0.99, is what ten layers of 8 bits and the norms of two crystals make of
    it.
    """
    torch.manual_seed(0)
    network = build(name, **NETWORKS[name]).to(memory_format=torch.channels_last_3d)
    features = pattern(network.inputs)
    kinds: set[torch.dtype] = set()
    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv3d)]
    for layer in convolutions:
        layer.register_forward_hook(lambda _, inputs, output: kinds.add(output.dtype))
    objects, slopes = [], []
    for bfloat16 in (False, True):
        network.mixed = bfloat16
        kinds.clear()
        amplitude, phase = predict(network, features)
        assert kinds == {torch.bfloat16 if bfloat16 else torch.float32}
        assert amplitude.dtype == phase.dtype == torch.float32
        objects.append(polar(amplitude, phase))
        network.zero_grad()
        (amplitude.square().mean() + phase.square().mean()).backward()
        slopes.append(torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None]))
    assert squared_correlation(*objects).min() > 0.97
    assert not torch.equal(*objects)
    assert torch.cosine_similarity(*slopes, dim=0) > 0.9


def test_it_is_no_part_of_the_weights() -> None:
    """A checkpoint of a training in bfloat16 is one of single precision."""
    network = build("autophasenn", width=4)
    names = set(network.state_dict())
    network.mixed = True
    assert set(network.state_dict()) == names
    assert {value.dtype for value in network.state_dict().values()} == {torch.float32, torch.int64}


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("side", [1, 2, 3, 4])
def test_short_sides_learn_in_single_precision(side: int, axes: int) -> None:
    """A convolution whose kernel is as long as the volume:
    torch's slope in bfloat16 would take in what memory held before.
    """
    generator = torch.Generator().manual_seed(0)
    x, slope = (torch.randn(2, 8, side, *[8] * (axes - 1), generator=generator) for _ in range(2))
    layer = channels_last((nn.Conv2d if axes == 2 else nn.Conv3d)(8, 8, 3, padding=1))
    layer(x).backward(slope)
    expected, layer.weight.grad = layer.weight.grad, None
    with torch.autocast("cpu", torch.bfloat16), ShortSidesInSingle():
        found = layer(x)
    assert found.dtype == (torch.float32 if side <= 3 else torch.bfloat16)
    found.backward(slope.to(found.dtype))
    torch.testing.assert_close(layer.weight.grad, expected, rtol=0.02, atol=0.02 * float(expected.abs().max()))
