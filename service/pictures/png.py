"""Planes as pictures, through Pillow alone."""

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inphase.imaging.arrays import BY_NAME
from inphase.ptycho.arrays import BY_NAME as PTYCHO
from service.pictures import colours

_PERCENTILE = 99.9
_PREVIEW = 128
_DARK = 0.05  # of the largest amplitude
_MARGIN = 4  # voxels


def encode(name: str, plane: NDArray[np.generic], inside: NDArray[np.bool_] | None = None) -> bytes:
    """A plane (rows, columns) of an array of the result as PNG, as `inphase.imaging.arrays` says.

    inside: where the object lies, of the plane's shape: a phase is black elsewhere, where it is that of noise.
    Maps of a strained crystal go from blue through white at their median to red, black where there is none. A complex
    plane has its phase as hue and its amplitude as brightness.
    """
    match (BY_NAME.get(name) or PTYCHO[name]).shown:
        case "complex":
            image = _coloured(np.angle(plane.astype(np.complex64)), _unit(np.abs(plane)))
        case "phase":
            lit = np.ones(plane.shape, np.float32) if inside is None else inside.astype(np.float32)
            image = _coloured(plane.astype(np.float32), lit)
        case "log":
            image = _grey(_unit(np.log1p(plane.astype(np.float32))))
        case "signed":
            image = _signed(plane.astype(np.float32))
        case _:
            image = _grey(_unit(plane.astype(np.float32)))
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def preview(planes: Sequence[NDArray[np.complex64]]) -> bytes:
    """Planes of an object side by side as PNG, each cut to where it is not dark: amplitudes above, below them the
    phases as hue, as bright as the amplitude.

    A plane longer than 128 voxels is thinned out, so the picture stays below 300 kB whatever the object.
    """
    planes = [
        np.nan_to_num(plane, posinf=0, neginf=0) for plane in planes
    ]  # one that diverges is shown as far as it goes
    top = max(float(np.abs(plane).max()) for plane in planes) or 1.0
    tiles = []
    for plane in (_bright(plane, top) for plane in planes):
        thin = plane[:: -(-plane.shape[0] // _PREVIEW), :: -(-plane.shape[1] // _PREVIEW)]
        unit = (np.abs(thin) / top).astype(np.float32)
        tiles.append((_grey(unit).convert("RGB"), _coloured(np.angle(thin), unit)))
    widths, heights = zip(*(above.size for above, _ in tiles), strict=True)
    image = Image.new("RGB", (sum(widths), 2 * max(heights)))
    for number, (above, below) in enumerate(tiles):
        left = sum(widths[:number])
        image.paste(above, (left, 0))
        image.paste(below, (left, max(heights)))
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def _bright(plane: NDArray[np.complex64], top: float) -> NDArray[np.complex64]:
    """The part of a plane that is not dark, with a margin; all of one that is dark."""
    lit = np.abs(plane) > _DARK * top
    spans = [np.flatnonzero(lit.any(axis=other)) for other in (1, 0)]
    if not lit.any():
        return plane
    return plane[tuple(slice(max(0, span[0] - _MARGIN), span[-1] + 1 + _MARGIN) for span in spans)]


def _unit(values: NDArray[np.floating]) -> NDArray[np.float32]:
    top = float(np.percentile(values, _PERCENTILE)) or float(values.max()) or 1.0
    scaled: NDArray[np.float32] = np.clip(values / top, 0, 1).astype(np.float32)
    return scaled


def _grey(unit: NDArray[np.float32]) -> Image.Image:
    return Image.fromarray((255 * unit).round().astype(np.uint8))


def _coloured(phase: NDArray[np.floating], brightness: NDArray[np.float32]) -> Image.Image:
    circle = colours.coloured(colours.CYCLIC, (phase + np.pi) / (2 * np.pi))
    return Image.fromarray((circle * brightness[..., None]).round().astype(np.uint8), "RGB")


def _signed(values: NDArray[np.float32]) -> Image.Image:
    """Blue below the median, red above it; the 99.9th percentile of the distance from it is the full colour."""
    known = np.isfinite(values)
    if not known.any():
        return _grey(np.zeros(values.shape, np.float32))
    distance = values - np.median(values[known])
    top = float(np.percentile(np.abs(distance[known]), _PERCENTILE)) or 1.0
    unit = np.where(known, np.clip(distance / top, -1, 1), 0)
    white = 1 - np.abs(unit)
    channels = [np.where(unit > 0, 1, white), white, np.where(unit < 0, 1, white)]
    return Image.fromarray((255 * known[..., None] * np.stack(channels, axis=-1)).round().astype(np.uint8), "RGB")
