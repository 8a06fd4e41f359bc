"""Files of small scans, as if they had been measured."""

from pathlib import Path

import numpy as np

from training.measured import MeasuredSettings
from training.simulate.ptychography import Scene, scene

WINDOW = 32


def saved(folder: Path, of: Scene | None = None, **more: object) -> Path:
    """36 patterns with their probe in the keys of ptychodus; `more` arrays beside."""
    made = of or star()
    path = folder / "scan.npz"
    rows, columns = made.positions.T
    arrays = {"diff3d": made.counts, "ycoords": rows, "xcoords": columns, "probeGuess": made.probe[0]}
    np.savez(path, **(arrays | more))  # type: ignore[arg-type]
    return path


def star(**options: object) -> Scene:
    """A scene of 6 x 6 windows of 32."""
    return scene(**({"side": WINDOW, "frames": 6, "step": 3.0, "photons": 1e7} | options))  # type: ignore[arg-type]


def settings(path: Path, **changes: object) -> MeasuredSettings:
    """A half of it held out."""
    return MeasuredSettings(str(path), **changes)  # type: ignore[arg-type]
