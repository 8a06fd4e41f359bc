"""A network's image of a whole scan: frames in groups, groups through the network, parts stitched into one object.

A network of the family `scan` knows one beam, one step of the scan and one scale of the counts. Whether a measurement
is of that kind is checked first: for others it would draw something, and nothing would tell that it is wrong.
"""

import hashlib
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inphase.errors import DataError
from inphase.models.card import Card, ScanCard
from inphase.models.families import scan
from inphase.models.prediction import Network
from inphase.pattern import MaskState
from inphase.ptycho.groups import neighbours
from inphase.ptycho.measurement import Measurement
from inphase.ptycho.optics import NearField, Optics
from inphase.ptycho.positions import canvas
from inphase.ptycho.stitching import stitched

Shape = tuple[int, int]
OFF: Final = 3.0  # times the counts of the training, or a third of them: beyond, the network was not made for the scan
SAME_PIXEL: Final = 0.01  # relative difference of the object's pixels that is none
BATCH: Final = 64  # groups that go through the network together
SEEN: Final = 1e-3  # of the largest sum of weights: where less is, the parts say nothing


class TurnedError(DataError):
    """Frames were drawn in groups, and their positions lie otherwise."""


@dataclass(frozen=True)
class Predicted:
    """object: (Y, X) complex64, as large as the object of `reconstruct` with the same margin; where no part reaches,
    the mean of the rest. covered: (Y, X) bool, where parts reach. frames: that were of a group.
    """

    object: NDArray[np.complex64]
    covered: NDArray[np.bool_]
    frames: int


@dataclass(frozen=True)
class Drawn:
    """The parts that a network has drawn of a scan's frames, not put together yet.

    parts: (n, m, m) complex64. frames: (n,) int64, which frame of the measurement each part is of. label: the
    network's. positions_px: (frames, 2) where the frames lay that it drew in groups; None where each was drawn alone,
    and may lie anywhere.
    """

    parts: NDArray[np.complex64]
    frames: NDArray[np.int64]
    label: str
    positions_px: NDArray[np.float64] | None

    def placed(self, measured: Measurement, margin: int = 0) -> Predicted:
        """The image, with the positions of a measurement of the same frames. Raises TurnedError where those have been
        turned since the frames were drawn in groups.
        """
        if self.positions_px is not None and not np.array_equal(self.positions_px, measured.positions_px):
            raise TurnedError(
                f"{measured.source}: {self.label} has drawn neighbouring frames together, and their positions lie "
                "otherwise than they were given, as the R factor of the first frames says. Give them as they lie on "
                "the patterns, or keep them as they are (turn)"
            )
        return joined(measured, self.parts, self.frames, margin)


def predict(measured: Measurement, network: Network, *, margin: int = 0) -> Predicted:
    """The network's image of a scan, its positions as they are. margin: pixels around all windows.

    Raises DataError where the network was not made for such a measurement, with the reason.
    """
    return drawn(measured, network).placed(measured, margin)


def drawn(measured: Measurement, network: Network) -> Drawn:
    """What the network draws of each frame. Raises as `predict`. Needs no torch."""
    card = checked(network.version.card, measured)
    groups = neighbours(measured.positions_px, np.asarray(card.offsets_px))
    known = measured.mask == MaskState.VALID
    parts = np.concatenate(
        [
            scan.decode(card, network.infer(scan.features(card, measured.counts(some), known[some])))
            for some in np.array_split(groups, -(-len(groups) // BATCH))
        ]
    )
    return Drawn(
        parts.reshape(-1, *card.box),
        groups.reshape(-1).astype(np.int64),
        network.version.label,
        None if len(card.offsets_px) == 1 else measured.positions_px,
    )


def joined(
    measured: Measurement, parts: NDArray[np.complex64], frames: NDArray[np.integer], margin: int = 0
) -> Predicted:
    """One object of the parts (n, m, m) that were drawn of these frames (n,), which may come more than once."""
    box = (parts.shape[1], parts.shape[2])
    inner = [(n - m) // 2 for n, m in zip(measured.shape, box, strict=True)]
    origin = measured.positions_px.min(axis=0) - margin
    size = canvas(measured.positions_px, measured.shape, margin)
    # what interpolation gives to the last row and column may lie one pixel beyond the windows
    room = (size[0] + 1, size[1] + 1)
    whole, cover = stitched(parts, measured.positions_px[frames] - origin + inner, room, lit(measured, box))
    whole, cover = whole[: size[0], : size[1]], cover[: size[0], : size[1]]
    covered = cover > SEEN * cover.max()
    obj = np.where(covered, whole, whole[covered].mean())
    return Predicted(obj.astype(np.complex64), covered, len(np.unique(frames)))


def lit(measured: Measurement, box: tuple[int, int]) -> NDArray[np.float64]:
    """How much a part's pixels (m, m) count: by the light that they were in, or where no probe is known by a soft spot.

    A pixel in the dark is in no pattern: what a network draws there is a guess.
    """
    if measured.probe is None:
        return np.outer(*(np.hanning(n + 2)[1:-1] for n in box))
    power = np.square(np.abs(measured.probe.astype(np.complex128))).sum(axis=0)
    inner = tuple(slice((n - m) // 2, (n + m) // 2) for n, m in zip(power.shape, box, strict=True))
    found: NDArray[np.float64] = power[inner] / power.max()
    return found


def digest(probe: NDArray[np.complexfloating]) -> str:
    """sha256 of a probe (modes, y, x) as complex64, and of its shape: any other number is another beam."""
    array = np.ascontiguousarray(probe, np.complex64)
    return hashlib.sha256(str(array.shape).encode() + array.tobytes()).hexdigest()


def checked(card: Card, measured: Measurement) -> ScanCard:
    """The card of a network that was made for this measurement. Raises DataError, which says all that differs."""
    found = of_scans(card)
    shape, optics = measured.shape, measured.optics
    return _fitting(
        found, measured.source,
        _window(found, shape, optics), _beam(found, measured.probe), _pixel(found, shape, optics),
        _counts(found, measured),
    )  # fmt: skip


def foreseen(card: Card, shape: Shape, optics: Optics | None, source: str) -> ScanCard:
    """The same, as far as it is known before the first frame and the probe. shape: of a pattern."""
    found = of_scans(card)
    return _fitting(found, source, _window(found, shape, optics), _pixel(found, shape, optics))


def in_beam(card: Card, probe: NDArray[np.complexfloating], source: str) -> ScanCard:
    """The same of the probe alone, (modes, y, x)."""
    found = of_scans(card)
    return _fitting(found, source, _beam(found, probe))


def _fitting(card: ScanCard, source: str, *differences: str | None) -> ScanCard:
    """The card where nothing differs. Raises DataError."""
    if wrong := [text for text in differences if text]:
        raise DataError(
            f"{card.name}@{card.version} was not made for {source}: {'; '.join(wrong)}. Train a network for this scan, "
            "or reconstruct it without one"
        )
    return card


def of_scans(card: Card) -> ScanCard:
    """The card of a network of the family `scan`. Raises DataError."""
    if not isinstance(card, ScanCard):
        label = f"{card.name}@{card.version}"
        raise DataError(f"{label} is for single Bragg peaks or frames: a scan needs a network of the family scan")
    return card


def _window(card: ScanCard, shape: Shape, optics: Optics | None) -> str | None:
    if isinstance(optics, NearField):
        return "it was trained on the far field, and the scan is in the near field"
    if shape != card.grid:
        return f"it takes patterns of {card.grid} pixels, and the scan has {shape}"
    return None


def _beam(card: ScanCard, probe: NDArray[np.complexfloating] | None) -> str | None:
    if card.probe_sha256 is None:
        return None
    if probe is None:
        return f"it was trained in the beam {card.probe_sha256[:12]}, and the scan comes with no probe"
    if (found := digest(probe)) != card.probe_sha256:
        return f"it was trained in the beam {card.probe_sha256[:12]}, and the probe of the scan is {found[:12]}"
    return None


def _pixel(card: ScanCard, shape: Shape, optics: Optics | None) -> str | None:
    if card.pixel_m is None or optics is None:
        return None
    own = optics.pixel_m(shape)
    if np.allclose(card.pixel_m, own, rtol=SAME_PIXEL, atol=0):
        return None
    trained, found = (" x ".join(f"{side * 1e9:.4g}" for side in pixel) for pixel in (card.pixel_m, own))
    return f"it draws pixels of {trained} nm, and those of the scan are {found} nm"


def _counts(card: ScanCard, measured: Measurement) -> str | None:
    blocks = (slice(first, first + BATCH) for first in range(0, len(measured), BATCH))  # a copy of all may be too much
    valid = ((measured.mask[some] == MaskState.VALID, measured.counts(some)) for some in blocks)
    mean = sum(float(np.where(known, counts, 0).sum(dtype=np.float64)) for known, counts in valid) / len(measured)
    if 1 / OFF <= mean / card.photons <= OFF:
        return None
    return f"it was trained on {card.photons:.3g} counts a pattern, and the scan has {mean:.3g}"
