"""Archives of arrays (npz), as they are written."""

import zipfile
from collections.abc import Mapping
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray


def save(stream: IO[bytes], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Writes an archive as numpy.savez does, from the arrays' own memory.

    numpy copies 16 MiB at a time, and no other thread of the process goes on meanwhile. Raises ValueError for objects.
    """
    with zipfile.ZipFile(stream, "w") as members:
        for name, found in arrays.items():
            array = np.asanyarray(found, order="C")
            if array.dtype.hasobject:
                raise ValueError(f"{name!r} holds Python objects, which are not stored")
            with members.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array_header_1_0(member, np.lib.format.header_data_from_array_1_0(array))
                member.write(array.reshape(-1).view(np.uint8).data)
