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
    from inphase.results.comparison import compare as compare
    from inphase.results.conversion import convert as convert
    from inphase.results.conversion import orthogonalise as orthogonalise
    from inphase.results.page import show as show
    from inphase.results.ranking import rank as rank
    from inphase.results.strain_maps import strain_maps as strain_maps

__all__ = [
    "Reconstruction",
    "compare",
    "convert",
    "orthogonalise",
    "rank",
    "read",
    "reconstruct",
    "reconstruct_stack",
    "show",
    "strain_maps",
    "write",
]

_HOME = {
    "Reconstruction": "inphase.imaging.reconstruction",
    "read": "inphase.formats",
    "reconstruct": "inphase.imaging.reconstruct",
    "reconstruct_stack": "inphase.imaging.stack",
    "write": "inphase.imaging.reconstruction",
    "compare": "inphase.results.comparison",
    "convert": "inphase.results.conversion",
    "orthogonalise": "inphase.results.conversion",
    "rank": "inphase.results.ranking",
    "show": "inphase.results.page",
    "strain_maps": "inphase.results.strain_maps",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'inphase' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
