"""Planes of volumes as the browser drew them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Locator

from service.pictures import colours
from tests.page.browser import Seen


def plane(seen: Seen, axis: int) -> Locator:
    """The canvas of a plane."""
    return seen.page.locator(f".plane canvas[data-axis='{axis}']")


def pixels(canvas: Locator) -> NDArray[np.uint8]:
    """(rows, columns, 4) as the browser drew them."""
    script = """canvas => {
        const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        return [canvas.height, canvas.width, Array.from(data)];
    }"""
    rows, columns, data = canvas.evaluate(script)
    return np.array(data, np.uint8).reshape(rows, columns, 4)


def check_drawn(
    canvas: Locator, axis: int, volume: NDArray[Any], shown: NDArray[np.bool_], table: str, *, log: bool = False
) -> None:
    """Every pixel of the plane has the colour of its number in that table, between the bounds that the canvas tells."""
    told = {part: canvas.get_attribute(f"data-{part}") or "" for part in ("index", "low", "high", "begin")}
    drawn = pixels(canvas)
    row, column = (int(part) for part in told["begin"].split(","))
    box = (slice(row, row + drawn.shape[0]), slice(column, column + drawn.shape[1]))
    values, there = (found.take(int(told["index"]), axis)[box] for found in (volume, shown))
    low, high = float(told["low"]), float(told["high"])
    assert high > low
    with np.errstate(divide="ignore", invalid="ignore"):
        unit = np.log(values / low) / np.log(high / low) if log else (values - low) / (high - low)
    expected = colours.coloured(colours.TABLES[table], np.nan_to_num(unit, neginf=0))
    assert there.any()
    assert (drawn[..., 3] == 255 * there).all()
    off = np.abs(drawn[..., :3].astype(int) - expected)[there].max(axis=-1)
    assert np.mean(off > 0) < 0.002  # a rounded number may fall on the other side of a step
    assert off.max() <= 6
