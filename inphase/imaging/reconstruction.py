"""A finished reconstruction: its arrays and its report."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from inphase.formats.writers import write_result
from inphase.imaging.report import Report
from inphase.summary import summary


@dataclass(frozen=True, repr=False)
class Reconstruction:
    """The image of one pattern. arrays: by name, those of a result file (docs/reference/formats.md).
    report: everything else.
    """

    arrays: Mapping[str, NDArray[Any]]
    report: Report

    def __repr__(self) -> str:
        told = summary(self.object.shape, msgspec.to_builtins(self.report))
        return f"<Reconstruction of {self.report.input.source}: {told}>"

    @property
    def object(self) -> NDArray[np.complex64]:
        """The complex object (N, ...), centred, in the canonical form of inphase.ambiguity."""
        return self.arrays["object"]

    @property
    def amplitude(self) -> NDArray[np.float32]:
        """|object|; 1 is its 99.9th percentile within the support."""
        return self.arrays["amplitude"]

    @property
    def phase(self) -> NDArray[np.float32]:
        """Radians in (-pi, pi]."""
        return self.arrays["phase"]

    @property
    def support(self) -> NDArray[np.bool_]:
        """Where the object lies."""
        return self.arrays["support"]

    def with_document(self, document: str) -> dict[str, NDArray[Any]]:
        """The arrays of a result file. document: JSON, the report or a job document around it."""
        return {**self.arrays, "document": np.array(document)}


def write(result: Reconstruction, path: str | Path) -> None:
    """Write a result file in the format that the name's ending asks for, the report in it.
    Raises DataError, OSError.
    """
    write_result(path, result.with_document(result.report.to_json()))
