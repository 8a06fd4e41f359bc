"""Planes as pictures."""

import io

import numpy as np
import pytest
from PIL import Image

from service.pictures import png


def test_a_preview_shows_amplitude_above_phase() -> None:
    """Three planes side by side; the object is bright above, coloured by its phase below, and the rest is black."""
    plane = np.zeros((16, 10), np.complex64)
    plane[4:12, 3:7] = np.exp(2j * np.pi / 3)
    image = np.asarray(Image.open(io.BytesIO(png.preview([plane, plane, 0.5 * plane]))))
    assert image.shape == (32, 30, 3)
    assert image[8, 5].tolist() == [255, 255, 255]
    assert image[8, 25].tolist() == [128, 128, 128]
    assert not image[0, :].any()
    assert int(image[24, 5].argmax()) == 1  # 120 degrees on the colour circle: green
    assert not image[16, :].any()


def test_a_preview_is_cut_to_the_object() -> None:
    """Four voxels around what is not dark, in each plane by itself."""
    plane = np.zeros((64, 64), np.complex64)
    plane[20:30, 40:64] = 1
    width, height = Image.open(io.BytesIO(png.preview([plane, plane.T]))).size
    assert (width, height) == ((24 + 4) + (10 + 8), 2 * (24 + 4))


def test_what_is_no_number_is_black() -> None:
    """An object that diverges has a picture all the same: nothing else of a running job depends on it."""
    plane = np.ones((8, 8), np.complex64)
    plane[2, 2], plane[5, 5] = np.nan + 1j * np.nan, np.inf
    image = np.asarray(Image.open(io.BytesIO(png.preview([plane]))))
    assert image[4, 4].tolist() == [255, 255, 255]
    assert not image[2, 2].any()
    assert not image[5, 5].any()


def test_large_and_empty_planes_make_small_pictures() -> None:
    """A plane of 1000 voxels is thinned out to at most 128; nothing at all is black, not an error."""
    noise = np.exp(1j * np.random.default_rng(0).normal(size=(1000, 300))).astype(np.complex64)
    picture = png.preview([noise, noise.T, np.zeros((4, 4), np.complex64)])
    width, height = Image.open(io.BytesIO(picture)).size
    assert (width, height) == (100 + 125 + 4, 2 * 125)
    assert len(picture) < 300_000


def test_strain_maps_are_signed() -> None:
    """Blue below the median, white at it, red above, black where there is no crystal; nothing at all is black."""
    plane = np.full((8, 8), np.nan, np.float32)
    plane[2:6, 2:6] = 1e-4
    plane[3, 3], plane[4, 4] = -9e-4, 11e-4
    image = np.asarray(Image.open(io.BytesIO(png.encode("strain", plane))))
    assert image[2, 2].tolist() == [255, 255, 255]
    assert image[3, 3].tolist() == [0, 0, 255]
    assert image[4, 4].tolist() == [255, 0, 0]
    assert image[0, 0].tolist() == [0, 0, 0]
    nothing = np.asarray(Image.open(io.BytesIO(png.encode("d_spacing", np.full((8, 8), np.nan, np.float32)))))
    assert not nothing.any()


@pytest.mark.parametrize("name", ["phase", "phase_flat"])
def test_a_phase_is_empty_outside_the_object(name: str) -> None:
    """Coloured where the object lies, black elsewhere, whatever the phase is there."""
    phase = np.random.default_rng(0).uniform(-np.pi, np.pi, (8, 8)).astype(np.float32)
    inside = np.zeros((8, 8), bool)
    inside[2:6, 3:7] = True
    image = np.asarray(Image.open(io.BytesIO(png.encode(name, phase, inside))))
    assert not image[~inside].any()
    assert image[inside].any(axis=-1).all()
