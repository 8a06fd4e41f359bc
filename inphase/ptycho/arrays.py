"""The arrays of a reconstruction, in one table, as `inphase.imaging.arrays` has those of a pattern."""

from typing import Final

from inphase.imaging.arrays import ResultArray

ARRAYS: Final = tuple(
    ResultArray(*row)
    for row in (
        ("object", "complex64", "rows, columns", "1", "always", "complex"),
        ("probe", "complex64", "modes, rows, columns", "square roots of photons", "always", "complex"),
        ("coverage", "float32", "rows, columns", "1", "always", "grey"),
        ("positions_px", "float64", "frames, (row, column)", "pixels of the object", "always", "no"),
        ("origin_px", "float64", "(row, column)", "pixels of the object", "always", "no"),
        ("ids", "int64", "frames", "1", "always", "no"),
    )
)
BY_NAME: Final = {array.name: array for array in ARRAYS}
NAMES: Final = tuple(BY_NAME)
