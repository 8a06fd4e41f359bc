"""A measurement in parts is the same when it is put together again."""

import io
from dataclasses import replace

import numpy as np
import pytest

from inphase.preprocess.corrections import Corrections
from inphase.ptycho import parts
from inphase.ptycho.measurement import Measurement, from_arrays
from inphase.ptycho.optics import FarField, NearField, Optics
from tests.inphase.ptycho.scenes import small

SCENE = small(frames=5)
BAD = np.zeros(SCENE.counts.shape, bool)
BAD[2, 3, 4] = True


@pytest.mark.parametrize("optics", [None, FarField(1e-10, 2.0, (5e-5, 6e-5)), NearField(1e-10, 2.0, (5e-5, 5e-5))])
@pytest.mark.parametrize("mask", [None, BAD])
def test_a_measurement_passes_through_a_file(optics: Optics | None, mask: np.ndarray | None) -> None:
    """Every number, also of a focus that is infinitely far, and every note; a mask of all frames is kept once."""
    measured = from_arrays(
        SCENE.counts, SCENE.positions, probe=None if mask is None else SCENE.probe, optics=optics, mask=mask
    )
    measured = replace(measured.noted("One.", "Two, with an \N{GREEK SMALL LETTER ALPHA}."), source="scan.cxi")
    stream = io.BytesIO()
    np.savez(stream, **parts.arrays_of(measured))
    stream.seek(0)
    with np.load(stream, allow_pickle=False) as held:
        arrays = dict(held)
    found = parts.from_arrays(arrays)
    assert len(arrays["mask"]) == (1 if mask is None else len(measured))
    assert (found.optics, found.source, found.notes) == (measured.optics, measured.source, measured.notes)
    for name in ("patterns", "positions_px", "mask", "ids"):
        np.testing.assert_array_equal(getattr(found, name), getattr(measured, name))
    assert (found.probe is None) == (measured.probe is None)


def broken() -> dict[str, dict[str, np.ndarray]]:
    """Parts that belong to no measurement, by what is wrong."""
    n, counts = len(SCENE.counts), SCENE.counts
    return {
        "patterns": {"patterns": counts.astype(complex)},
        "positions": {"positions_px": np.full((n, 2), np.nan)},
        "ids": {"ids": np.arange(n - 1)},
        "mask": {"mask": np.full((1, 32, 32), 7, np.uint8)},
        "probe": {"probe": np.full((1, 32, 32), np.nan, np.complex64)},
        "optics": {"optics": np.ones(4)},
    }


@pytest.mark.parametrize("what", broken())
def test_parts_that_no_measurement_has_are_refused(what: str) -> None:
    """They come from processes that are not trusted."""
    measured: Measurement = from_arrays(SCENE.counts, SCENE.positions, probe=SCENE.probe)
    with pytest.raises(ValueError, match=f"the {what} of a measurement"):
        parts.measurement_of(parts.parts_of(measured) | broken()[what], "scan", ())


def test_dark_and_flat_pass_with_the_patterns() -> None:
    """As they are, so that the same counts are made of them; maps of other frames are refused."""
    dark, flat = np.full((40, 40), 9, np.uint16), np.full((40, 40), 0.5, np.float32)
    flat[4, 5] = 0
    measured = from_arrays(SCENE.counts, SCENE.positions, corrections=Corrections(dark, flat, ((2, 34), (2, 34))))
    found = parts.from_arrays(parts.arrays_of(measured))
    np.testing.assert_array_equal(found.counts(), measured.counts())
    assert found.mask[0, 2, 3] == 1
    for maps in ({"dark": dark}, {"flat": np.zeros((32, 32), bool)}):
        with pytest.raises(ValueError, match="the maps of a measurement"):
            parts.measurement_of(parts.parts_of(measured) | maps, "scan", ())
