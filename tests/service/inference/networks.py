"""Networks for tests of the line before them: real cards, and answers that tell from which tensors they were made."""

import threading
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inphase.models.card import card_of
from inphase.models.prediction import Tensors
from inphase.models.repository import ModelVersion

GRID = (4, 4, 4)


def version(name: str = "toy", number: int = 1) -> ModelVersion:
    """A version whose card takes one modulus."""
    content = {
        "name": name, "version": number, "family": "volume", "domain": ["counts"], "dc": "N//2", "grid": GRID,
        "features": "inphase.features.volume_features", "box": (2, 2, 2), "oversampling": (2.3, 5.0),
        "inputs": ["modulus"], "outputs": {"amplitude": (0.0, 1.0), "phase": (-3.2, 3.2)}, "support_threshold": 0.1,
        "sha256": "0" * 64, "licence": "", "training": {}, "metrics": {},
    }  # fmt: skip
    return ModelVersion(card_of(content), Path("nowhere"), content)


class Told:
    """A network that remembers its runs, and begins none before `open` is set.

    bad: it fails where a run holds this number anywhere.
    """

    provider = "CPUExecutionProvider"

    def __init__(self, name: str = "toy", *, bad: float | None = None) -> None:
        self.version = version(name)
        self.open = threading.Event()
        self.running = threading.Event()
        self.runs: list[list[float]] = []
        self._bad = bad

    def infer(self, tensors: Tensors) -> Tensors:
        """Twice and minus each modulus."""
        self.running.set()
        assert self.open.wait(20)
        modulus = tensors["modulus"]
        self.runs.append(modulus[:, 0, 0, 0].tolist())
        if self._bad is not None and self._bad in modulus:
            raise ValueError("a bad number")
        return {"amplitude": 2 * modulus, "phase": -modulus}


def tensors(value: float, grid: tuple[int, ...] = GRID) -> dict[str, NDArray[np.float32]]:
    """One pattern full of a number."""
    return {"modulus": np.full((1, *grid), value, np.float32)}
