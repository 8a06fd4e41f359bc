"""What /v2 tells of the server and its models, in the words of the protocol and of Triton."""

import importlib.metadata
from typing import Any, Final

from pydantic import BaseModel, Field

from inphase.models.session import Sessions
from service.api.oip.contract import PATTERNS, Contract, Tensor
from service.inference.statistics import Spent, Usage
from service.inference.waiting import Cap

_EXTENSIONS: Final = ["binary_tensor_data", "model_configuration", "model_repository", "statistics"]


class ServerMetadata(BaseModel):
    """The server and the extensions of the protocol that it knows."""

    name: str = "inphase"
    version: str = Field(default_factory=lambda: importlib.metadata.version("inphase"))
    extensions: list[str] = _EXTENSIONS


class TensorMetadata(BaseModel):
    """An input or output; -1 is a side of any length."""

    name: str
    datatype: str
    shape: list[int]

    @classmethod
    def of(cls, tensor: Tensor) -> "TensorMetadata":
        """As the contract has it."""
        return cls(name=tensor.name, datatype=tensor.types[0], shape=list(tensor.shape))


class ModelMetadata(BaseModel):
    """A model's versions, and what the one that was asked for takes and answers."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]

    @classmethod
    def of(cls, found: Contract, versions: list[str]) -> "ModelMetadata":
        """As the contract has it."""
        return cls(
            name=found.name,
            versions=versions,
            platform=found.platform,
            inputs=[TensorMetadata.of(tensor) for tensor in found.inputs],
            outputs=[TensorMetadata.of(tensor) for tensor in found.outputs],
        )


class RepositoryEntry(BaseModel):
    """A version of a model: READY when it is loaded. reason: why it is not."""

    name: str
    version: str
    state: str
    reason: str

    @classmethod
    def of(cls, found: Contract, sessions: Sessions) -> "RepositoryEntry":
        """As it is now."""
        loaded = sessions.loaded(found.version) is not None
        return cls(
            name=found.name,
            version=str(found.version.card.version),
            state="READY" if loaded else "UNAVAILABLE",
            reason="" if loaded else "not loaded yet: the first request loads it, and so does `load`",
        )


class InferenceStatistics(BaseModel):
    """The statistics of one or all models, as Triton gives them."""

    model_stats: list[dict[str, Any]]


def configuration(found: Contract, cap: Cap) -> dict[str, Any]:
    """A model's configuration, as Triton gives it: what its clients read of it."""

    def tensors(several: tuple[Tensor, ...]) -> list[dict[str, Any]]:
        return [
            {
                "name": tensor.name,
                "data_type": f"TYPE_{tensor.types[0]}",
                "dims": list(tensor.shape[1:] if found.batched else tensor.shape),
            }
            for tensor in several
        ]

    batching = {"dynamic_batching": {"preferred_batch_size": [cap.patterns], "max_queue_delay_microseconds": 0}}
    return {
        "name": found.name,
        "platform": found.platform,
        "backend": "onnxruntime" if found.batched else "inphase",
        "version_policy": {"all": {}},
        "max_batch_size": PATTERNS if found.batched else 0,
        "input": tensors(found.inputs),
        "output": tensors(found.outputs),
        **(batching if found.batched else {}),
    }


def statistics(found: Contract, usage: Usage) -> dict[str, Any]:
    """What was computed since the start. Each pattern of a request counts as one inference."""
    return {
        "name": found.name,
        "version": str(found.version.card.version),
        "last_inference": round(usage.last * 1e3),
        "inference_count": usage.success.count,
        "execution_count": usage.runs.total(),
        "inference_stats": {
            "success": _duration(usage.success),
            "fail": _duration(usage.fail),
            "queue": _duration(usage.queue),
            "compute_input": _duration(Spent(usage.infer.count)),
            "compute_infer": _duration(usage.infer),
            "compute_output": _duration(Spent(usage.infer.count)),
            "cache_hit": _duration(Spent()),
            "cache_miss": _duration(Spent()),
        },
        "batch_stats": [{"batch_size": size, "compute_infer": {"count": n}} for size, n in sorted(usage.runs.items())],
    }


def _duration(spent: Spent) -> dict[str, int]:
    return {"count": spent.count, "ns": round(spent.seconds * 1e9)}
