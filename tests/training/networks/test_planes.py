"""training.networks.planes: against torch's convolution of volumes, and as a graph."""

from collections.abc import Callable

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from training.networks.planes import convolved, gathered, scattered


@pytest.mark.parametrize("way", [gathered, scattered])
@pytest.mark.parametrize("channels", [(10, 12), (12, 3), (16, 16)])
def test_planes_give_what_the_volume_gives(
    way: Callable[[nn.Conv3d, Tensor], Tensor], channels: tuple[int, int]
) -> None:
    """Two volumes of three different sides, so that no plane can come from a neighbour in the batch;
    single precision.
    """
    torch.manual_seed(1)
    convolution = nn.Conv3d(*channels, 3, padding=1)
    x = torch.randn(2, channels[0], 5, 6, 7)
    with torch.no_grad():
        assert (way(convolution, x) - convolution(x)).abs().max() < 1e-5


class Pair(nn.Module):
    """A convolution of each kind."""

    def __init__(self) -> None:
        super().__init__()
        self.near = nn.Conv3d(10, 12, 3, padding=1)
        self.head = nn.Conv3d(12, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return convolved(self.head, convolved(self.near, x))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore:# The axis name")
def test_a_graph_convolves_planes() -> None:
    """No kernel of three axes in it, and the same answer; single precision."""
    torch.manual_seed(1)
    module, x = Pair().eval(), torch.randn(1, 10, 8, 8, 8)
    program = torch.onnx.export(module, (x,), dynamo=True, verbose=False, opset_version=18)
    assert program is not None
    model = program.model_proto
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found = session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]
    assert np.abs(found - module(x).detach().numpy()).max() < 1e-5
    pads = [a.ints for node in model.graph.node if node.op_type == "Conv" for a in node.attribute if a.name == "pads"]
    assert [len(sides) for sides in pads] == [4, 4]
