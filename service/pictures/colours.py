"""Colour maps, made of OKLCH (lightness, chroma, hue), in which equal steps look equal.

page/src/colours.json has the same tables for the page: `python -m service.pictures.colours` prints it.
"""

import json
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

STEPS: Final = 256
Table = NDArray[np.uint8]
Numbers = NDArray[np.float64]
Path = Callable[[Numbers], tuple[Numbers, Numbers, Numbers]]  # lightness, chroma, hue

# OKLab (Ottosson 2020, "A perceptual color space for image processing"): Lab -> cube roots of the cones -> linear sRGB
_CONES: Final = np.array(
    [[1.0, 0.3963377774, 0.2158037573], [1.0, -0.1055613458, -0.0638541728], [1.0, -0.0894841775, -1.2914855480]]
)
_LIGHT: Final = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)


def linear(
    lightness: NDArray[np.float64], chroma: NDArray[np.float64], hue: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(n, 3) linear sRGB of OKLCH; hue in radians; outside 0 to 1 for what no screen shows."""
    lab = np.stack([lightness, chroma * np.cos(hue), chroma * np.sin(hue)], axis=-1)
    return np.asarray((lab @ _CONES.T) ** 3 @ _LIGHT.T)


def encoded(light: Numbers) -> Numbers:
    """sRGB of linear light, both from 0 to 1."""
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 0.0031308) ** (1 / 2.4) - 0.055)


def decoded(colours: Table) -> Numbers:
    """Linear light, 0 to 1, of sRGB bytes."""
    unit = colours / 255
    return np.where(unit <= 0.04045, unit / 12.92, ((unit + 0.055) / 1.055) ** 2.4)


def _table(path: Path, ends: bool) -> Table:
    """(STEPS, 3): a path through OKLCH with as much chroma as a screen shows. ends: whether it has two."""
    t = np.linspace(0, 1, STEPS, endpoint=ends)
    lightness, chroma, hue = path(t)
    low, high = np.zeros(STEPS), np.ones(STEPS)
    for _ in range(20):  # bisection of the share of the chroma
        middle = (low + high) / 2
        light = linear(lightness, middle * chroma, hue)
        shown = ((light >= 0) & (light <= 1)).all(axis=-1)
        low, high = np.where(shown, middle, low), np.where(shown, high, middle)
    light = np.clip(linear(lightness, low * chroma, hue), 0, 1)
    return np.round(255 * encoded(light)).astype(np.uint8)


def _sequential(t: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    return 0.17 + 0.76 * t, np.full_like(t, 0.115), np.radians(305 - 200 * t)


def _cyclic(t: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    return np.full_like(t, 0.74), np.full_like(t, 0.125), np.radians(25 + 360 * (t - 0.5))


def _diverging(t: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    away = np.abs(2 * t - 1)
    return 0.96 - 0.50 * away, 0.155 * away**0.9, np.radians(np.where(t < 0.5, 255.0, 28.0))


SEQUENTIAL: Final = _table(_sequential, ends=True)  # dark violet to light yellow: amplitudes, counts
CYCLIC: Final = _table(_cyclic, ends=False)  # of one lightness, from -pi to pi: phases
DIVERGING: Final = _table(_diverging, ends=True)  # blue, white, red: what has a zero
TABLES: Final = {"sequential": SEQUENTIAL, "cyclic": CYCLIC, "diverging": DIVERGING}


def coloured(table: Table, unit: NDArray[np.floating]) -> Table:
    """(..., 3) colours of numbers from 0 to 1; those below and above have the ends' colours."""
    steps = np.nan_to_num(np.floor(unit * STEPS), nan=0.0)  # an object that diverges has voxels that are no numbers
    found: Table = table[np.clip(steps, 0, STEPS - 1).astype(np.intp)]
    return found


def as_json() -> str:
    """Every table as hexadecimal text, six digits a colour."""
    return json.dumps({name: table.tobytes().hex() for name, table in TABLES.items()}, indent=2) + "\n"


if __name__ == "__main__":
    print(as_json(), end="")  # noqa: T201  # this is what it is for
