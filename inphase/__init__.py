"""inphase: from a measured coherent diffraction pattern to the complex image of the sample.

    import inphase

    scan = inphase.read("scan_0054/")
    result = inphase.reconstruct(scan, refine="fast")
    inphase.write(result, "scan54.cxi")

This package runs no server and knows no queue and no training. What a name needs is loaded when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inphase.formats import read as read
    from inphase.imaging.reconstruct import reconstruct as reconstruct
    from inphase.imaging.reconstruction import Reconstruction as Reconstruction
    from inphase.imaging.reconstruction import write as write
    from inphase.imaging.stack import reconstruct_stack as reconstruct_stack

__all__ = ["Reconstruction", "read", "reconstruct", "reconstruct_stack", "write"]

_HOME = {
    "Reconstruction": "inphase.imaging.reconstruction",
    "read": "inphase.formats",
    "reconstruct": "inphase.imaging.reconstruct",
    "reconstruct_stack": "inphase.imaging.stack",
    "write": "inphase.imaging.reconstruction",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'inphase' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
