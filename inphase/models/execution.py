"""What may run a network: execution providers of onnxruntime, and the arithmetic that they compute in."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal, get_args

Wanted = Literal["auto", "cpu", "openvino", "cuda", "tensorrt"]  # what is asked for
WANTED: Final[tuple[Wanted, ...]] = get_args(Wanted)
_CPUINFO: Final = Path("/proc/cpuinfo")
_BFLOAT16: Final = {"avx512_bf16", "amx_bf16"}


class Provider(StrEnum):
    """An execution provider, by the name that onnxruntime gives it."""

    TENSORRT = "TensorrtExecutionProvider"
    CUDA = "CUDAExecutionProvider"
    OPENVINO = "OpenVINOExecutionProvider"
    CPU = "CPUExecutionProvider"


@dataclass(frozen=True)
class Execution:
    """A provider and its arithmetic. What computes less exactly than float32 on the CPU is tried before it serves."""

    provider: Provider
    arithmetic: Literal["float32", "TF32", "bfloat16"] = "float32"

    @property
    def label(self) -> str:
        """For people."""
        return f"{self.provider.removesuffix('ExecutionProvider')} in {self.arithmetic}"

    def options(self, threads: int | None) -> Mapping[str, Any]:
        """The provider's own options. threads: None for as many as the provider likes."""
        if self.provider is not Provider.OPENVINO:
            return {}
        properties = {"INFERENCE_PRECISION_HINT": "bf16" if self.arithmetic == "bfloat16" else "f32"}
        if threads is not None:
            properties["INFERENCE_NUM_THREADS"] = str(threads)
        return {"device_type": "CPU", "load_config": json.dumps({"CPU": properties})}


CPU: Final = Execution(Provider.CPU)
_WAYS: Final[Mapping[Wanted, tuple[Execution, ...]]] = {
    "cpu": (),
    "openvino": (Execution(Provider.OPENVINO, "bfloat16"), Execution(Provider.OPENVINO)),
    "cuda": (Execution(Provider.CUDA, "TF32"),),
    "tensorrt": (Execution(Provider.TENSORRT, "TF32"), Execution(Provider.CUDA, "TF32")),
}


def ways(wanted: Wanted, available: Collection[str]) -> tuple[Execution, ...]:
    """What is tried in turn, the CPU at last. available: what the installed onnxruntime has.

    auto: the GPU where onnxruntime was built for one, else OpenVINO where it was built for that. TensorRT is never
    chosen by itself: it builds an engine for every size, which takes minutes. What is asked for by name is tried even
    where onnxruntime lacks it, so that whoever asked is told.
    """
    if wanted != "auto":
        found = _WAYS[wanted]
    else:
        found = tuple(way for way in (*_WAYS["cuda"], *_WAYS["openvino"]) if way.provider in available)
    return (*(way for way in found if way.arithmetic != "bfloat16" or has_bfloat16()), CPU)


@cache
def has_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 itself; where it does not, bfloat16 buys nothing."""
    try:
        return any(not _BFLOAT16.isdisjoint(line.split()) for line in _CPUINFO.read_text().splitlines())
    except OSError:  # not Linux
        return False
