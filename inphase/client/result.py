"""A result that was fetched, in memory."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from inphase.client.events import Document
from inphase.summary import summary

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from inphase.client.figure import Figure


@dataclass(frozen=True, repr=False)
class Result:
    """The image of one pattern. arrays: by name, those of a result file (docs/reference/formats.md).
    document: of the job, as far as it had come when the result was made.
    """

    arrays: "Mapping[str, NDArray[Any]]"
    document: Document

    @classmethod
    def load(cls, archive: Path) -> Self:
        """From a result file (npz)."""
        import numpy as np

        with np.load(archive, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        return cls(arrays, json.loads(str(arrays.pop("document"))))

    def __repr__(self) -> str:
        scan = self.document.get("ptychography")
        if scan is not None:
            return f"<Result of {scan['source']}: {self.object.shape} pixels, R {scan['report']['r_factor']:.3f}>"
        return f"<Result of {self.document['input']['source']}: {summary(self.object.shape, self.document)}>"

    @property
    def object(self) -> "NDArray[np.complex64]":
        """The complex object (N, ...), centred, in canonical form."""
        return self.arrays["object"]

    @property
    def amplitude(self) -> "NDArray[np.float32]":
        """|object|; 1 is its 99.9th percentile within the support."""
        return self.arrays["amplitude"]

    @property
    def phase(self) -> "NDArray[np.float32]":
        """Radians in (-pi, pi]."""
        return self.arrays["phase"]

    @property
    def support(self) -> "NDArray[np.bool_]":
        """Where the object lies."""
        return self.arrays["support"]

    def plot(self) -> "Figure":
        """Planes through the middle: amplitude, phase without its ramp, and strain where there is one.

        A figure of matplotlib, which must be installed (ModuleNotFoundError).
        """
        from inphase.client.figure import planes

        return planes(self)
