"""What a sender asked for, as it is kept until the data are read: the options, and where the data are."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from inphase.formats import RawScan
from inphase.formats.maps import corrections_of, map_arrays
from inphase.formats.region import Region
from inphase.formats.scan import GEOMETRY, Saturation, geometry_arrays, geometry_of
from inphase.ptycho.measurement import Measurement
from inphase.ptycho.parts import arrays_of
from service.intake.options import FileBeamOptions, JobOptions, PtychoOptions
from service.intake.sources import FileSource
from service.jobs.entry import Origin, Repeatable

UPLOAD: Final = "upload"  # name in the store of an array that was sent
Sent = RawScan | Measurement  # a pattern, or a ptychographic measurement


class Upload(BaseModel):
    """An array that was sent; it lies in the store of its job."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["upload"] = "upload"


class LiveFrames(BaseModel):
    """The frames of a live scan, all that have come when they are read. look: its number; final: no frame follows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["scan"] = "scan"
    scan: str
    look: int
    final: bool = False


class PtychogramFile(FileBeamOptions):
    """A ptychographic measurement in a file that the service itself can read."""

    kind: Literal["ptychogram"] = "ptychogram"
    path: str


class Submission(BaseModel):
    """One pattern, or one ptychographic measurement, to be reconstructed.

    ptychography: how the latter is; then `options` count as far as they say how its sender is answered.
    receive_ms: how long the body took to come. roots: the folders whose files its sender's key may name; None: all data
    roots.
    """

    # infinite is the focus of a parallel beam; what holds a model decides how it is written
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")

    options: JobOptions
    source: Annotated[FileSource | PtychogramFile | Upload | LiveFrames, Field(discriminator="kind")]
    receive_ms: float = 0.0
    roots: tuple[Path, ...] | None = None
    ptychography: PtychoOptions | None = None

    @property
    def refined(self) -> bool:
        """Whether a worker has a part in it."""
        return self.ptychography is not None or self.options.imaging().recipe() is not None

    def readable(self, data_roots: tuple[Path, ...]) -> tuple[Path, ...]:
        """The folders whose files may be read for it: those of the key, as far as they are below the data roots now."""
        if self.roots is None:
            return data_roots
        return tuple(root for root in self.roots if any(root.is_relative_to(above) for above in data_roots))


@dataclass(frozen=True)
class Sender:
    """Who submits. repeatable: where the request may come again.

    waiting_jobs: so many jobs of the sender's key may wait to be read or refined; None: as many as there is room for.
    """

    origin: Origin
    repeatable: Repeatable | None = None
    waiting_jobs: int | None = None


@dataclass(frozen=True)
class Told:
    """What is known of a scan that was sent beside its arrays, as RawScan has it."""

    source: str
    chosen: str
    metadata: dict[str, str]
    saturation: Saturation | None = None
    region: Region | None = None


def upload_arrays(scan: Sent) -> dict[str, NDArray[Any]]:
    """What was sent, for the store."""
    if not isinstance(scan, RawScan):
        return arrays_of(scan)
    told = Told(scan.source, scan.chosen, dict(scan.metadata), scan.saturation, scan.region)
    arrays = {"data": scan.array, "told": np.array(msgspec.json.encode(told).decode())}
    arrays |= geometry_arrays(scan.geometry) | map_arrays(scan.corrections)
    return arrays if scan.mask is None else arrays | {"mask": scan.mask}


def uploaded(arrays: dict[str, NDArray[Any]]) -> RawScan:
    """The inverse of upload_arrays for a scan of a pattern."""
    told = msgspec.json.decode(str(arrays["told"]), type=Told)
    return RawScan(
        arrays["data"],
        geometry_of({name: arrays.get(name) for name in GEOMETRY}.get, told.source),
        told.source,
        told.chosen,
        told.metadata,
        arrays.get("mask"),
        told.saturation,
        corrections_of(arrays, told.source),
        told.region,
    )
