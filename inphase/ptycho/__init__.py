"""Ptychography: from overlapping patterns of a scanned sample to its complex image, and the probe's.

    from inphase import ptycho

    measured = ptycho.read("scan_0054.cxi")
    result = ptycho.reconstruct(measured, ptycho.Options("60*EPIE", modes=2))
    ptycho.write(result, "scan54.cxi")

torch is loaded by `reconstruct`; nothing else here needs it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inphase.ptycho.engine import Progress as Progress
    from inphase.ptycho.engine import reconstruct as reconstruct
    from inphase.ptycho.formats import read as read
    from inphase.ptycho.formats.written import read_reconstruction as read_reconstruction
    from inphase.ptycho.formats.written import write as write
    from inphase.ptycho.measurement import Measurement as Measurement
    from inphase.ptycho.measurement import from_arrays as from_arrays
    from inphase.ptycho.optics import FarField as FarField
    from inphase.ptycho.optics import NearField as NearField
    from inphase.ptycho.options import Options as Options
    from inphase.ptycho.prediction import Predicted as Predicted
    from inphase.ptycho.prediction import predict as predict
    from inphase.ptycho.reconstruction import Reconstruction as Reconstruction
    from inphase.ptycho.scores import compared as compared

_HOME = {
    "FarField": "optics",
    "Measurement": "measurement",
    "NearField": "optics",
    "Options": "options",
    "Predicted": "prediction",
    "Progress": "engine",
    "Reconstruction": "reconstruction",
    "compared": "scores",
    "from_arrays": "measurement",
    "predict": "prediction",
    "read": "formats",
    "read_reconstruction": "formats.written",
    "reconstruct": "engine",
    "write": "formats.written",
}

__all__ = [
    "FarField",
    "Measurement",
    "NearField",
    "Options",
    "Predicted",
    "Progress",
    "Reconstruction",
    "compared",
    "from_arrays",
    "predict",
    "read",
    "read_reconstruction",
    "reconstruct",
    "write",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'inphase.ptycho' has no attribute {name!r}")
    return getattr(import_module(f"inphase.ptycho.{_HOME[name]}"), name)
