"""cohere-core in an environment of its own, driven through a process that lives as long as it is needed."""

import json
import subprocess
import sys
import venv
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from benchmarks import ROOT

VERSION = "4.5.4"
TORCH = "torch==2.13.0"  # first and pinned: the same library in both arms, and no range that pulls CUDA
HOME = ROOT / "build" / "benchmarks" / "cohere-env"
WORKER = Path(__file__).with_name("rival_worker.py")

# what cohere's own example for beamline 34-ID-C (scan 54) sets, all of it but the progress printing
DEFAULT: Mapping[str, Any] = {
    "algorithm_sequence": "3*(20*ER+180*HIO)+20*ER",
    "hio_beta": 0.9,
    "initial_support_area": [0.5, 0.5, 0.5],
    "shrink_wrap_trigger": [1, 1],
    "shrink_wrap_type": "GAUSS",
    "shrink_wrap_threshold": 0.1,
    "shrink_wrap_gauss_sigma": 1.0,
    "twin_trigger": [2],
    "twin_halves": [0, 0],
}


def environment() -> Path:
    """The interpreter of the rival's environment; made at the first call, in a few minutes."""
    python = HOME / "bin" / "python"
    done = HOME / f"cohere-core-{VERSION}"
    if not done.exists():
        print(f"Installing cohere-core {VERSION} into {HOME}: a few minutes, once.", file=sys.stderr)
        venv.create(HOME, with_pip=True, clear=True)
        for packages in ([TORCH], [TORCH, f"cohere-core=={VERSION}"]):
            subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
        done.touch()
    return python


@dataclass(frozen=True)
class Request:
    """Runs of one pattern. data: npy of the centred modulus, float32. out: npz for images and supports."""

    data: str
    starts: int = 1
    seed: int = 0
    backend: str = "torch"
    settings: Mapping[str, Any] = field(default_factory=lambda: DEFAULT)
    out: str | None = None


class Rival:
    """A cohere-core process with a fixed number of threads."""

    def __init__(self, threads: int) -> None:
        self._process = subprocess.Popen(
            [environment(), "-W", "ignore", WORKER, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.__exit__(kind, error, at)  # closes its input: it leaves

    def run(self, request: Request) -> list[float]:
        """Seconds that the iterations of each start took, without reading, starting and writing."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asdict(request)) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"cohere-core ended with exit code {self._process.wait()}; its messages are above")
        seconds: list[float] = json.loads(answer)["seconds"]
        return seconds


def solutions(path: Path) -> tuple[NDArray[np.complex64], NDArray[np.bool_]]:
    """Images and supports (B, N, ...) of a request's `out`, in our convention:
    cohere's far field is the inverse FFT.
    """
    with np.load(path) as arrays:
        return np.conj(arrays["images"]).astype(np.complex64), arrays["supports"] > 0
