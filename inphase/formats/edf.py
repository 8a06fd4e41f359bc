"""EDF, the ESRF data format: the first image of a file, as silx and pyFAI write masks.

A text header in braces, `key = value ;`, a multiple of 512 bytes long, before the numbers of the image.
"""

import re
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inphase.errors import DataError, TooLargeError
from inphase.formats.regular import open_regular
from inphase.sizes import in_words

SUFFIX: Final = ".edf"
_MOST_HEADER: Final = 2**16
_TYPES: Final = {
    "signedbyte": "i1", "unsignedbyte": "u1", "signedshort": "i2", "unsignedshort": "u2", "signedinteger": "i4",
    "unsignedinteger": "u4", "signedlong": "i4", "unsignedlong": "u4", "signed64": "i8", "unsigned64": "u8",
    "floatvalue": "f4", "float": "f4", "real": "f4", "doublevalue": "f8",
}  # fmt: skip
_END: Final = re.compile(rb"}\r?\n")
_ENTRY: Final = re.compile(r"([^=;{}\n]+)=([^;]*);")


def read(path: Path, most: int) -> NDArray[np.generic]:
    """The image (rows, columns). Raises DataError where it is none or truncated, TooLargeError above `most` bytes."""
    with open_regular(path) as stream:
        head = stream.read(_MOST_HEADER)
        end = _END.search(head)
        if not head.lstrip().startswith(b"{") or end is None:
            raise DataError(f"{path}: is no EDF file: it has no header in braces")
        text = head[: end.start() + 1].decode("latin-1")
        keys = {key.strip().lower(): value.strip() for key, value in _ENTRY.findall(text)}
        kind = _TYPES.get(keys.get("datatype", "").lower())
        sides = [keys.get("dim_2", ""), keys.get("dim_1", "")]
        if kind is None or not all(side.isdecimal() and 0 < int(side) < 10**6 for side in sides):
            raise DataError(f"{path}: the EDF header tells no image: DataType {keys.get('datatype')}, sides {sides}")
        if keys.get("compression", "none").lower() not in ("none", ""):
            raise DataError(f"{path}: the EDF image is compressed ({keys['compression']}), which is not read")
        rows, columns = (int(side) for side in sides)
        order = ">" if keys.get("byteorder", "").lower() == "highbytefirst" else "<"
        dtype = np.dtype(order + kind)
        nbytes = rows * columns * dtype.itemsize
        if nbytes > most:
            raise TooLargeError(f"{path}: the EDF image declares {in_words(nbytes)}")
        stream.seek(end.end())
        content = stream.read(nbytes)
    if len(content) < nbytes:
        raise DataError(f"{path}: truncated: its header declares {in_words(nbytes)}, {in_words(len(content))} follow")
    return np.frombuffer(content, dtype).reshape(rows, columns)
