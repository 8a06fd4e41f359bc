"""benchmarks.two_dimensions: how successes are counted, and the page."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.two_dimensions import DOMAINS, NOISE, WAYS, Outcome, page, score, share
from inphase.models.repository import Repository


def test_shares_have_wilson_intervals() -> None:
    """57 of 60 by the formula of Wilson (1927): (p + z^2/2n +- z sqrt(p q/n + z^2/4n^2)) / (1 + z^2/n), z = 1.96."""
    p, n, z = 57 / 60, 60, 1.959964
    middle, half = p + z**2 / (2 * n), z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    low, high = ((middle + sign * half) / (1 + z**2 / n) for sign in (-1, 1))
    assert share([0.95] * 57 + [0.949] * 3) == f"57/60: 95% ({low:.0%} to {high:.0%})"


def test_a_score_is_modulo_twin_and_phase() -> None:
    """Of an image with itself turned; nothing at all scores 0."""
    image = np.zeros((64, 64), np.complex64)
    image[20:40, 24:36] = np.exp(1j * np.random.default_rng(0).uniform(0, 6, (20, 12)))
    turned = np.roll(np.conj(image[::-1, ::-1]), (3, 1), (0, 1)) * 1j
    assert score(turned.astype(np.complex64), image) == pytest.approx(1, abs=1e-3)
    assert score(np.zeros_like(image), image) == 0


def test_the_page_counts_by_domains_and_by_noise() -> None:
    """Of two crystals each the first is found by every way; where a way was not tried is a dash."""
    found = dict.fromkeys(WAYS, 0.96)
    missed = dict.fromkeys(("refined", "network", "standard", "first"), 0.9)
    noises = list(NOISE)
    outcomes = [
        Outcome(count, noises[i], scores, 0.1, 0.02, 0.05, 3)
        for count in DOMAINS
        for i, scores in enumerate((found, missed))
    ]
    version = Repository(Path(__file__).parents[2] / "models", "inphase-2d").resolve(None)
    text = "\n".join(page([*outcomes, Outcome(2, noises[2], missed, 0.1, 0.02, 0.05, 3)], version))
    half, one = share([1, 0]), share([1])
    assert f"| 19 | {half} | {half} | {half} | {half} | {one} | {one} | 3.0 |" in text
    assert f"| {noises[0]} | {share([1] * 5)} |" in text
    assert "| - | - |" in text
    assert "prediction 100 ms, the recipe 20 ms" in " ".join(text.split())
