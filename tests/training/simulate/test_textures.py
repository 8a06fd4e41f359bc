"""training.simulate.textures: what the objects are like."""

import numpy as np
import pytest

from training.simulate.textures import TEXTURES, large_features, lines, random_field, with_phase


@pytest.mark.parametrize("name", TEXTURES)
def test_an_object_lets_through_at_most_all_light(name: str) -> None:
    """The largest amplitude is 1, and there is contrast; another seed is another object."""
    first, second = (TEXTURES[name](392, np.random.default_rng(seed)) for seed in (0, 1))
    assert first.shape == (392, 392)
    assert first.max() == 1
    assert first.min() >= 0
    assert first.std() > 0.05
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.5


def test_the_random_field_has_the_spectrum_that_it_is_drawn_from() -> None:
    """Between the longest waves and the blur its power falls as k^-0.4: by 2^-0.4 an octave."""
    power = np.zeros((392, 392))
    for seed in range(8):
        field = random_field(392, np.random.default_rng(seed))
        power += np.square(np.abs(np.fft.fft2(field - field.mean()))) / field.var()
    radius = np.hypot(*np.meshgrid(np.fft.fftfreq(392), np.fft.fftfreq(392), indexing="ij")) * 392
    octaves = [power[(low <= radius) & (radius < 2 * low)].mean() for low in (3, 6, 12)]
    # blur and interpolation take some 10 % off the last one; the first has some 85 waves in each of eight fields
    assert octaves[1] / octaves[0] == pytest.approx(2**-0.4, rel=0.15)
    assert octaves[2] / octaves[1] == pytest.approx(2**-0.4, rel=0.15)


def test_large_features_are_long_and_not_sharp() -> None:
    """Table 1 of the paper: of the three kinds theirs is the longest correlation and the least of fine structure."""

    def half(image: np.ndarray) -> int:
        """Pixels to where the correlation of an image with itself is half."""
        power = np.square(np.abs(np.fft.fft2(image - image.mean())))
        correlation = np.fft.ifft2(power).real
        pixels = radius.astype(int).ravel()
        rings = np.bincount(pixels, correlation.ravel()) / np.bincount(pixels)
        return int(np.argmax(rings < rings[0] / 2))

    def fine(image: np.ndarray) -> float:
        """Share of the power in waves of less than 10 pixels."""
        power = np.square(np.abs(np.fft.fft2(image - image.mean())))
        return float(power[radius > 39.2].sum() / power.sum())

    radius = np.hypot(*np.meshgrid(np.fft.fftfreq(392), np.fft.fftfreq(392), indexing="ij")) * 392
    drawn = {kind: kind(392, np.random.default_rng(0)) for kind in (large_features, lines, random_field)}
    lengths, shares = ([measure(image) for image in drawn.values()] for measure in (half, fine))
    assert lengths[0] > lengths[1] > lengths[2]
    assert shares[2] > 5 * shares[1] > 25 * shares[0]


def test_lines_and_plates_have_directions_and_the_random_field_has_none() -> None:
    """The power of lines lies on rays: it varies more with the direction than that of noise does."""

    def variation(image: np.ndarray) -> float:
        spectrum = np.square(np.abs(np.fft.fftshift(np.fft.fft2(image - image.mean()))))
        y, x = np.mgrid[-196:196, -196:196]
        ring = (np.hypot(y, x) > 25) & (np.hypot(y, x) < 78)
        sectors = (np.arctan2(y, x)[ring] % np.pi / np.pi * 36).astype(int)
        means = np.bincount(sectors, spectrum[ring]) / np.bincount(sectors)
        return float(means.std() / means.mean())

    generator = np.random.default_rng(2)
    even = variation(random_field(392, generator))
    assert variation(lines(392, generator)) > 2 * even
    assert variation(large_features(392, generator)) > 2 * even


def test_the_phase_follows_the_amplitude() -> None:
    """pi tanh((A - max A / 2) / (3 mean A)), the amplitude as it was."""
    amplitude = np.array([[0.2, 0.5], [0.8, 1.0]])
    obj = with_phase(amplitude)
    np.testing.assert_allclose(np.abs(obj), amplitude)
    np.testing.assert_allclose(np.angle(obj), np.pi * np.tanh((amplitude - 0.5) / 1.875))
