"""What was sent, as it waits in the store."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from inphase.formats import RawScan
from inphase.formats.region import Region, Surveyed
from inphase.formats.scan import Saturation
from inphase.geometry import Geometry
from inphase.preprocess.corrections import Corrections
from service.intake.submission import upload_arrays, uploaded
from service.jobs.store import Store

COUNTS = np.arange(60, dtype=np.uint16).reshape(3, 4, 5)
GEOMETRY = Geometry(np.diag([1.0, 2.0, 3.0]), np.array([0.0, 0.0, 9.0]), np.eye(3)[::-1])
LEVEL = Saturation(65535.0, "its saturation")
MAPS = Corrections(np.eye(8, 9), np.full((8, 9), 2.0), ((1, 5), (2, 7)))
MASK = np.broadcast_to(np.eye(4, 5, dtype=np.uint8), COUNTS.shape)


@pytest.mark.parametrize(
    "scan",
    [
        RawScan(COUNTS, None, "body of application/x-npy", "(3, 4, 5) uint16"),
        RawScan(
            COUNTS.astype(">f4"),
            GEOMETRY,
            "body of application/x-npz",
            "'data'",
            {"energy": "9 keV"},
            MASK,
            LEVEL,
            MAPS,
            Region((2, 6), (3, 8), (20, 30), Surveyed((1, 3, 4), 0.9, 0.5, (2, 15, 20), 0.1)),
        ),
    ],
)
def test_what_was_sent_comes_back_from_the_store(scan: RawScan, tmp_path: Path) -> None:
    """Counts with their number type, geometry, mask, saturation, and what was told of it: every part of a scan."""
    assert {part.name for part in fields(RawScan)} == {
        "array", "geometry", "source", "chosen", "metadata", "mask", "saturation", "corrections",
        "region",
    }  # fmt: skip
    store = Store(tmp_path)
    store.write("a" * 32, "upload", upload_arrays(scan))
    back = uploaded(store.read("a" * 32, "upload"))
    assert back.array.dtype == scan.array.dtype
    np.testing.assert_array_equal(back.array, scan.array)
    assert (back.source, back.chosen, dict(back.metadata)) == (scan.source, scan.chosen, dict(scan.metadata))
    assert back.saturation == scan.saturation
    assert back.region == scan.region
    assert (back.mask is None) == (scan.mask is None)
    if scan.mask is not None:
        np.testing.assert_array_equal(back.mask, scan.mask)
    assert (back.corrections is None) == (scan.corrections is None)
    if back.corrections is not None and scan.corrections is not None:
        np.testing.assert_array_equal(back.corrections.dark, scan.corrections.dark)
        np.testing.assert_array_equal(back.corrections.flat, scan.corrections.flat)
        assert back.corrections.roi == scan.corrections.roi
    assert (back.geometry is None) == (scan.geometry is None)
    if scan.geometry is not None:
        for part in fields(Geometry):
            np.testing.assert_array_equal(getattr(back.geometry, part.name), getattr(scan.geometry, part.name))
