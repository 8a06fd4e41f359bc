"""training.weights: a version goes on from where its checkpoint would, and says where it cannot."""

from pathlib import Path

import onnx
import pytest
import torch

from tests.training.small import FILTERS, small
from training.export import export, load
from training.fit import fit
from training.settings import from_dict
from training.weights import weights_of

pytestmark = FILTERS

SHIPPED = Path(__file__).parents[2] / "models"
SPENT = ("crystals_seen", "wall_time_s")
TINY = {"architecture": "autophasenn", "network": {"width": 8}, "average_decay": 0.0, "objective": "likeness"}


def test_a_version_gives_back_the_weights_of_its_checkpoint(tmp_path: Path) -> None:
    """All that decide on a prediction, as half precision rounds them; and what its runs were."""
    first = fit(small(**TINY), tmp_path / "0", crystals=4)
    second = fit(small(**TINY, seed=2), tmp_path / "1", crystals=2, begin=first)
    version = export(second, tmp_path / "models", None, 1) / "model.onnx"
    begun, found = load(second), weights_of(version)
    for name, value in begun.average.state_dict().items():
        if not name.endswith("num_batches_tracked"):  # counts, with which nothing is calculated
            assert torch.allclose(found.average.state_dict()[name], value, rtol=2**-11, atol=2**-25), name
    assert from_dict(found.record["settings"]) == from_dict(begun.record["settings"])
    assert [found.record[name] for name in SPENT] == [begun.record[name] for name in SPENT]
    assert [run["crystals_seen"] for run in found.earlier] == [4]


def test_a_run_begins_with_a_version(tmp_path: Path) -> None:
    """Of the model repository, by its file; at a rate of nothing it ends with its weights, and tells of its runs."""
    version = export(fit(small(**TINY), tmp_path / "0", crystals=4), tmp_path / "models", None, 1) / "model.onnx"
    still = small(**TINY, learning_rate=0.0, weight_decay=0.0)
    found = load(fit(still, tmp_path / "1", crystals=2, begin=version))
    given = weights_of(version)
    for name, value in given.average.named_parameters():
        assert torch.equal(dict(found.average.named_parameters())[name], value), name
    assert [run["crystals_seen"] for run in found.earlier] == [4]


@pytest.mark.parametrize("name", ["autophasenn/3", "wu2d/2"])
def test_the_papers_networks_go_on_from_what_is_shipped(name: str) -> None:
    """Their graphs hold every weight under its own name."""
    found = weights_of(SHIPPED / name / "model.onnx")
    assert found.seen > 0
    assert found.settings.architecture == name.split("/")[0]


def test_a_version_of_another_network_is_refused() -> None:
    """The phase of cdinn@1 came from a sigmoid, and that of the network of today does not; its weights would fit."""
    with pytest.raises(ValueError, match=r"cdinn of this version of inphase draws another phase .* train from nothing"):
        weights_of(SHIPPED / "cdinn/1/model.onnx")


def test_a_graph_with_merged_weights_is_refused() -> None:
    """What iterates is folded into its loops on export."""
    with pytest.raises(ValueError, match=r"under their own names, such as first\..* begin with a checkpoint"):
        weights_of(SHIPPED / "inphase-glance/1/model.onnx")


def test_what_is_no_version_is_refused(tmp_path: Path) -> None:
    """A file that is no graph, and a graph of somebody else."""
    (tmp_path / "text.onnx").write_text("no graph\n")
    with pytest.raises(ValueError, match=r"text\.onnx is no ONNX graph"):
        weights_of(tmp_path / "text.onnx")
    graph = onnx.helper.make_graph([], "empty", [], [])
    onnx.save(onnx.helper.make_model(graph), tmp_path / "other.onnx")
    with pytest.raises(ValueError, match="does not tell how it was trained"):
        weights_of(tmp_path / "other.onnx")
