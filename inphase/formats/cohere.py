"""cohere's results: a folder with image.npy and support.npy.

Two conventions differ from ours. Axes: cohere's arrays are (detector column, row, frame), ours the reverse.
Sign: cohere's way to reciprocal space is the inverse transform, exp(+i q.r), so that its object is the complex
conjugate of ours. cohere's data.tif needs no conversion but the domain: its pages are frames (it is cohere that
transposes on reading), and its numbers are moduli.
"""

from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from inphase.formats.atomic import replacing_folder
from inphase.formats.result import Arrays, Result

IMAGE: Final = "image.npy"
SUPPORT: Final = "support.npy"
FOLDER: Final = "results_phasing"  # the name that cohere looks for
T = TypeVar("T", bound=np.generic)


def write(path: Path, arrays: Arrays) -> None:
    """Writes a folder that cohere continues from and displays; the largest amplitude is 1, as in its own results."""
    result = Result.of(arrays)
    image = turned(np.conj(result.object)) / max(float(result.amplitude.max()), np.finfo(np.float32).tiny)
    with replacing_folder(path) as partial:
        np.save(partial / IMAGE, image.astype(np.complex64))
        np.save(partial / SUPPORT, turned(result.support).astype(np.int32))


def from_cohere(image: NDArray[Any]) -> NDArray[np.complex64]:
    """cohere's image (column, row, frame), in our axes and sign."""
    return turned(np.conj(image)).astype(np.complex64)


def turned(array: NDArray[T]) -> NDArray[T]:
    """Axes reversed, C order."""
    return np.ascontiguousarray(array.transpose())
