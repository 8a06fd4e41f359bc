"""The common frame of a series: the twin, the place and the phase of its first trustworthy result
(docs/decisions/0015).
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inphase import ambiguity
from inphase.ambiguity import Canonical
from inphase.imaging.report import Alignment, Report, Series, part
from inphase.trust import Level
from service.jobs.errors import StoreError
from service.jobs.store import Store

_FRAME = "frame"
_SAME_VOXEL = 0.01  # scans of one series have the same voxel size but for rounding


@dataclass(frozen=True)
class Frame:
    """Where the frame of a series lies: in the store, so that workers on all hosts have the same one. job: who asks."""

    store: Store
    series: str
    job: str

    def join(self, form: Canonical, report: Report, trusted: Level) -> tuple[Canonical, Series]:
        """Bring a result into the frame, or make it the frame where it is the first that can be trusted."""
        assert report.series is not None
        series = report.series
        found = self._read()
        if found is None:
            if trusted is Level.LOW:
                return form, replace(series, why="no result of the series that can be trusted had ended yet")
            if self._offer(form.object, report):
                return form, replace(series, frame=True)
            found = self._read()
            assert found is not None
        reference = str(found["job"])
        if fault := _unlike(found, form, report):
            return form, replace(series, why=f"not aligned to job {reference}: {fault}")
        moved, alignment = ambiguity.framed(form, found["object"])
        told = part(
            Alignment,
            alignment,
            reference=reference,
            shift=tuple(round(s) for s in alignment.shift_voxels),
            margin=alignment.score - alignment.score_other,
        )
        return moved, replace(series, frame=reference == self.job, alignment=told)  # a repeated attempt meets itself

    def _read(self) -> dict[str, NDArray[Any]] | None:
        if not self.store.has(self.series, _FRAME):
            return None
        return self.store.read(self.series, _FRAME)

    def _offer(self, obj: NDArray[np.complex64], report: Report) -> bool:
        """Become the frame. False where another was quicker."""
        arrays = {
            "object": obj,
            "job": np.array(self.job),
            "binning": np.array(report.preprocess.binning),
            "voxel_size_m": np.array(report.preprocess.voxel_size_m or (np.nan,) * 3),
        }
        try:
            self.store.write(self.series, _FRAME, arrays, replace=False)
        except StoreError:
            if self.store.has(self.series, _FRAME):
                return False
            raise
        return True


def _unlike(found: dict[str, NDArray[Any]], form: Canonical, report: Report) -> str:
    """Why two scans cannot be laid on each other, "" where they can."""
    if found["object"].shape != form.object.shape:
        return f"its grid has {found['object'].shape} voxels, this one {form.object.shape}"
    size = report.preprocess.voxel_size_m
    known = size is not None and bool(np.isfinite(found["voxel_size_m"]).all())
    if known and not np.allclose(found["voxel_size_m"], np.array(size), rtol=_SAME_VOXEL, atol=0):
        return f"its voxels measure {found['voxel_size_m'].tolist()} m, these {size}"
    if not known and tuple(found["binning"].tolist()) != report.preprocess.binning:
        return f"its binning is {tuple(found['binning'].tolist())}, this one's {report.preprocess.binning}"
    return ""
