"""The arrays of a result, in one table: links, routes, pictures and docs/reference/formats.md are made from it or
held against it.
"""

from dataclasses import dataclass
from typing import Final, Literal

Present = Literal["always", "geometry", "strain", "ensemble", "coherence", "image"]
Shown = Literal["grey", "log", "phase", "complex", "signed", "no"]


@dataclass(frozen=True)
class ResultArray:
    """One array of a result.

    axes: "grid" (N, ...) is the grid of the object; else what they are. unit: "1" for a ratio or a number without one.
    present: "geometry" is there always, but NaN where no geometry is known; "strain" only where strain maps could be
        made; "ensemble" only where several starts agreed; "coherence" only where the refinement found how coherent the
        light was; "image" only of two axes.
    shown: how a plane of it becomes a picture: grey, grey of the logarithm, phase on a colour circle within the
        support, phase as hue with the amplitude as brightness, or from blue through white at the median to red; "no":
        it is none.
    """

    name: str
    dtype: str
    axes: str
    unit: str
    present: Present
    shown: Shown

    @property
    def served(self) -> bool:
        """Whether it has an address of its own in the service; the small arrays of the geometry stand in the report."""
        return self.present not in ("geometry", "coherence")


ARRAYS: Final = tuple(
    ResultArray(*row)
    for row in (
        ("object", "complex64", "grid", "1", "always", "complex"),
        ("amplitude", "float32", "grid", "1", "always", "grey"),
        ("phase", "float32", "grid", "rad", "always", "phase"),
        ("phase_flat", "float32", "grid", "rad", "always", "phase"),
        ("support", "bool", "grid", "1", "always", "grey"),
        ("modulus", "float32", "grid", "1", "always", "log"),
        ("mask", "uint8", "grid", "1", "always", "grey"),
        ("free", "bool", "grid", "1", "always", "grey"),
        ("voxel_size_m", "float64", "axes", "m", "geometry", "no"),
        ("voxel_basis_m", "float64", "axes, x y z", "m", "geometry", "no"),
        ("q_centre", "float64", "x y z", "1/m", "geometry", "no"),
        ("sample_rotation", "float64", "x y z, x y z", "1", "geometry", "no"),
        ("displacement", "float32", "grid", "m", "strain", "signed"),
        ("strain", "float32", "grid", "1", "strain", "signed"),
        ("strain_with_ramp", "float32", "grid", "1", "strain", "signed"),
        ("d_spacing", "float32", "grid", "m", "strain", "signed"),
        ("average", "complex64", "grid", "1", "ensemble", "complex"),
        ("modes", "complex64", "modes, grid", "1", "ensemble", "complex"),
        ("prtf", "float64", "shells, (q, value)", "1/m or Nyquist, 1", "ensemble", "grey"),
        ("fsc", "float64", "shells, (q, value)", "1/m or Nyquist, 1", "ensemble", "grey"),
        ("phase_unwrapped", "float32", "grid", "rad", "image", "signed"),
        ("coherence_kernel", "float32", "kernel", "1", "coherence", "no"),
    )
)
BY_NAME: Final = {array.name: array for array in ARRAYS}


def names(*present: Present) -> tuple[str, ...]:
    """Names of the arrays that are there under one of these conditions, in the order of the table."""
    return tuple(array.name for array in ARRAYS if array.present in present)
