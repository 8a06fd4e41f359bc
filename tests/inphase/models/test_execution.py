"""What is tried, and in which order."""

import json
from pathlib import Path

import pytest

from inphase.models import execution
from inphase.models.execution import CPU, Execution, Provider, has_bfloat16, ways

TF32 = Execution(Provider.CUDA, "TF32")
ENGINE = Execution(Provider.TENSORRT, "TF32")
BFLOAT16, FLOAT32 = Execution(Provider.OPENVINO, "bfloat16"), Execution(Provider.OPENVINO)


@pytest.fixture
def processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the kernel says of the processor."""
    monkeypatch.setattr(execution, "_CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(execution, "has_bfloat16", has_bfloat16.__wrapped__)
    return tmp_path / "cpuinfo"


@pytest.mark.parametrize(
    ("wanted", "available", "expected"),
    [
        ("cpu", list(Provider), (CPU,)),
        ("auto", ["AzureExecutionProvider", Provider.CPU], (CPU,)),
        ("auto", [Provider.TENSORRT, Provider.CUDA, Provider.CPU], (TF32, CPU)),
        ("auto", [Provider.OPENVINO, Provider.CPU], (BFLOAT16, FLOAT32, CPU)),
        ("openvino", [Provider.CPU], (BFLOAT16, FLOAT32, CPU)),
        ("cuda", [Provider.CPU], (TF32, CPU)),
        ("tensorrt", list(Provider), (ENGINE, TF32, CPU)),
    ],
)
def test_what_is_asked_for_comes_first_and_the_cpu_last(
    processor: Path, wanted: execution.Wanted, available: list[str], expected: tuple[Execution, ...]
) -> None:
    """What was named is tried also where the wheel lacks it; auto takes what the wheel has, and never TensorRT."""
    processor.write_text("flags\t: fpu avx512f avx512_bf16\n")
    assert ways(wanted, available) == expected


@pytest.mark.parametrize("text", ["flags\t: fpu avx512f avx512_vnni\n", None])
def test_bfloat16_is_for_processors_that_have_it(processor: Path, text: str | None) -> None:
    """Others would compute it by way of float32."""
    if text is not None:
        processor.write_text(text)
    assert ways("openvino", list(Provider)) == (FLOAT32, CPU)


def test_openvino_gets_its_arithmetic_and_its_threads() -> None:
    """It would take eight threads and the arithmetic that it likes best."""
    said = json.loads(BFLOAT16.options(3)["load_config"])
    assert said == {"CPU": {"INFERENCE_PRECISION_HINT": "bf16", "INFERENCE_NUM_THREADS": "3"}}
    assert json.loads(FLOAT32.options(None)["load_config"]) == {"CPU": {"INFERENCE_PRECISION_HINT": "f32"}}
    assert CPU.options(3) == TF32.options(3) == {}
