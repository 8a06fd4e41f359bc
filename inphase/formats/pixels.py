"""A scan that a beamline's description has led to, and what it says of the pixels."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import h5py
import numpy as np
from numpy.typing import NDArray

from inphase.formats import template
from inphase.formats.beamline import Beamline, Detector
from inphase.formats.hidden import account
from inphase.formats.scan import (
    FileReading,
    RawScan,
    Saturation,
    frames_out,
    masked,
    of_scan,
    three_state,
    with_saturation,
)
from inphase.formats.tree import Tree


@dataclass(frozen=True)
class DescribedScan:
    """Frames as read, and what is known for the geometry.

    known: what the placeholders stand for. stopped: the last frames are missing, so that motors may have more
    positions.
    """

    request: FileReading
    beamline: Beamline
    scan: RawScan
    known: Mapping[str, str]
    stopped: bool = False

    @property
    def detector(self) -> Detector:
        """What the description says of the detector in use."""
        return _kind(self.beamline, self.known)


def _kind(beamline: Beamline, known: Mapping[str, str]) -> Detector:
    kinds = beamline.detectors
    alone = next(iter(kinds.values())) if len(kinds) == 1 else Detector()
    return kinds.get(known.get("detector", ""), alone)


def naming_unmeasured(
    request: FileReading, beamline: Beamline, known: Mapping[str, str], tree: Tree | None
) -> FileReading:
    """The request, with what the description says of the pixels among those that do not measure."""

    def unmeasured(shape: tuple[int, ...]) -> NDArray[np.bool_] | None:
        frame = _gaps(_kind(beamline, known), shape)
        for _, bad in _masks(request, beamline, known, tree, shape):
            frame |= frames_out(bad)
        named = request.unmeasured(shape)
        return frame if named is None else frame | named

    return replace(request, unmeasured=unmeasured)


def with_mask(described: DescribedScan, tree: Tree | None) -> RawScan:
    """The scan with what file and description say of its pixels."""
    scan, kind = described.scan, described.detector
    shape = scan.whole
    frame = _gaps(kind, shape)
    for path, bad in _masks(described.request, described.beamline, described.known, tree, shape):
        said = account(scan.array, scan.part(bad), f"{scan.source}, '{path}'")
        frame |= frames_out(bad)
        if bad.ndim == 3:
            part = scan.part(bad)
            states = three_state(part, part.shape, scan.source)
            scan = masked(scan, states, f"{np.count_nonzero(part)} voxels masked by '{path}' ({said})")
    if kind.saturation is not None and (scan.saturation is None or kind.saturation < scan.saturation.level):
        scan = with_saturation(scan, [Saturation(kind.saturation, f"the description of {described.beamline.name}")])
    frame = scan.part(frame)
    if not frame.any():
        return scan
    mask = three_state(frame, scan.array.shape, scan.source)
    return masked(scan, mask, f"{int(np.count_nonzero(frame))} pixels masked by the description")


def _masks(
    request: FileReading, beamline: Beamline, known: Mapping[str, str], tree: Tree | None, shape: tuple[int, ...]
) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """The masks that the description names, over a frame or the measurement of that shape, and their paths."""
    for text in beamline.masks if tree is not None else ():
        assert tree is not None
        for path, _, item in template.expanded(tree, text, known):
            if isinstance(item, h5py.Dataset):
                yield path, of_scan(tree.array(item, request.limits) != 0, shape, f"{tree.path}, '{path}'")


def _gaps(kind: Detector, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """(rows, columns): those between the modules of a detector, where the frames are whole ones of it."""
    frame = np.zeros(shape[-2:], bool)
    if kind.shape is not None and tuple(kind.shape) == shape[-2:]:
        for first, end in kind.gap_rows:
            frame[first:end] = True
        for first, end in kind.gap_columns:
            frame[:, first:end] = True
    return frame
