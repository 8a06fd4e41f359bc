"""What is told of models, in Triton's words."""

from collections import Counter
from pathlib import Path

from inphase.models.repository import Repository
from inphase.models.session import Sessions
from service.api.oip.contract import contract
from service.api.oip.documents import ModelMetadata, RepositoryEntry, configuration, statistics
from service.inference.statistics import Spent, Usage
from service.inference.waiting import Cap


def test_metadata(echoing: Path) -> None:
    """Names, types and shapes."""
    found = ModelMetadata.of(contract(Repository(echoing), "moduli", None), ["1"]).model_dump()
    assert found == {
        "name": "moduli",
        "versions": ["1"],
        "platform": "onnxruntime_onnx",
        "inputs": [
            {"name": "modulus", "datatype": "FP32", "shape": [-1, 64, 64]},
            {"name": "valid", "datatype": "FP32", "shape": [-1, 64, 64]},
            {"name": "autocorrelation", "datatype": "FP32", "shape": [-1, 2, 64, 64]},
        ],
        "outputs": [
            {"name": "amplitude", "datatype": "FP32", "shape": [-1, 32, 32]},
            {"name": "phase", "datatype": "FP32", "shape": [-1, 32, 32]},
        ],
    }


def test_configuration(echoing: Path) -> None:
    """The batch axis stands in max_batch_size, not among the dimensions; a measurement has none."""
    repository = Repository(echoing)
    found = configuration(contract(repository, "moduli", None), Cap(8, 1))
    assert found["max_batch_size"] == 64
    assert found["input"][0] == {"name": "modulus", "data_type": "TYPE_FP32", "dims": [64, 64]}
    assert found["dynamic_batching"] == {"preferred_batch_size": [8], "max_queue_delay_microseconds": 0}
    counts = configuration(contract(repository, "echo.counts", None), Cap(8, 1))
    assert counts["max_batch_size"] == 0
    assert counts["input"] == [{"name": "counts", "data_type": "TYPE_UINT16", "dims": [-1, -1, -1]}]
    assert "dynamic_batching" not in counts


def test_the_repository_tells_what_is_loaded(echoing: Path) -> None:
    """And why another is not ready."""
    sessions = Sessions(Repository(echoing), threads=1)
    found = contract(sessions.repository, "moduli", None)
    before = RepositoryEntry.of(found, sessions)
    assert (before.state, before.reason != "") == ("UNAVAILABLE", True)
    sessions.get("moduli")
    assert RepositoryEntry.of(found, sessions).model_dump() == {
        "name": "moduli", "version": "1", "state": "READY", "reason": "",
    }  # fmt: skip


def test_statistics(echoing: Path) -> None:
    """In nanoseconds and Unix milliseconds."""
    usage = Usage(Spent(3, 1.5), Spent(), Spent(3, 0.5), Spent(3, 1.0), Counter({1: 1, 2: 1}), 12.5)
    found = statistics(contract(Repository(echoing), "echo", None), usage)
    assert (found["name"], found["version"], found["last_inference"]) == ("echo", "3", 12500)
    assert (found["inference_count"], found["execution_count"]) == (3, 2)
    assert found["inference_stats"]["success"] == {"count": 3, "ns": 1_500_000_000}
    assert found["inference_stats"]["queue"] == {"count": 3, "ns": 500_000_000}
    assert found["inference_stats"]["compute_infer"] == {"count": 3, "ns": 1_000_000_000}
    assert [size["batch_size"] for size in found["batch_stats"]] == [1, 2]
