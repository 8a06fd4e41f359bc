"""A model's card."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from inphase.errors import DataError
from inphase.models.card import ImageCard, ScanCard, VolumeCard, card_of, of_patterns
from tests.toy import crystal, write_model, write_scan_model


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A valid card's content."""
    folder = write_model(tmp_path_factory.mktemp("models"), crystal())
    return dict(yaml.safe_load((Path(folder) / "card.yaml").read_text()))


def test_the_family_says_how_many_axes_there_are(content: dict[str, Any]) -> None:
    """A volume has three sides, an image two; keys for its readers are left to them."""
    found = card_of(content | {"authors": "somebody"})
    assert isinstance(found, VolumeCard)
    assert (found.grid, found.box) == ((64, 64, 64), (32, 32, 32))
    flat = card_of(content | {"family": "image", "grid": [64, 128], "box": [32, 64]})
    assert isinstance(flat, ImageCard)
    assert flat.grid == (64, 128)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"family": "movie"}, "family"),
        ({"family": "image"}, "length 2"),
        ({"grid": [64, 64, 63]}, "even"),
        ({"box": [32, 32, 128]}, "inside the grid"),
        ({"inputs": ["amplitude"]}, "amplitude is not known"),
        ({"inputs": []}, "inputs"),
        ({"outputs": {"amplitude": [0, 1]}}, "amplitude and phase"),
        ({"name": "../a"}, "name"),
        ({"version": 0}, "version"),
        ({"sha256": "f" * 63}, "sha256"),
        ({"support_threshold": 1.0}, "support_threshold"),
        ({"dc": "corner"}, "dc"),
    ],
)
def test_a_card_that_cannot_be_is_refused(content: dict[str, Any], change: dict[str, Any], words: str) -> None:
    """The message names the key, or the rule."""
    with pytest.raises(msgspec.ValidationError, match=words):
        card_of(content | change)


def test_a_card_that_lacks_a_key_is_refused(content: dict[str, Any]) -> None:
    """Every key is needed."""
    for name in content:
        if name != "family":
            with pytest.raises(msgspec.ValidationError, match=name):
                card_of({key: value for key, value in content.items() if key != name})


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A valid card's content, of a network of scans."""
    folder = write_scan_model(tmp_path_factory.mktemp("scans"))
    return dict(yaml.safe_load((Path(folder) / "card.yaml").read_text()))


def test_a_network_of_scans_has_a_card_of_its_own(scans: dict[str, Any]) -> None:
    """It pins beam, pixel and counts, and is none for single patterns, which the message says with what to do."""
    found = card_of(scans | {"probe_sha256": "a" * 64, "pixel_m": [1e-8, 2e-8]})
    assert isinstance(found, ScanCard)
    assert (found.scale, found.pixel_m, found.offsets_px) == (100.0, (1e-8, 2e-8), [(0.0, 0.0)])
    with pytest.raises(DataError, match=r"scans@1 draws parts of ptychographic scans.*volume or image"):
        of_patterns(found)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"grid": [32, 32, 32]}, "length 2"),
        ({"box": [16, 64]}, "inside the grid"),
        ({"inputs": ["modulus"]}, "patterns"),
        ({"outputs": {"amplitude": [0, 1]}}, "amplitude and phase"),
        ({"shown": "log"}, "shown"),
        ({"scale": 0}, "scale"),
        ({"photons": -1.0}, "photons"),
        ({"offset": float("nan")}, "finite"),
        ({"offsets_px": []}, "offsets_px"),
        ({"offsets_px": [[float("inf"), 0.0]]}, "finite"),
        ({"probe_sha256": "f"}, "probe_sha256"),
        ({"pixel_m": [0.0, 1e-8]}, "pixel_m"),
    ],
)
def test_a_card_of_scans_that_cannot_be_is_refused(scans: dict[str, Any], change: dict[str, Any], words: str) -> None:
    """The message names the key, or the rule."""
    with pytest.raises(msgspec.ValidationError, match=words):
        card_of(scans | change)


def test_a_card_of_scans_that_lacks_a_key_is_refused(scans: dict[str, Any]) -> None:
    """Every key is needed, also those that may be null."""
    for name in scans:
        if name != "family":
            with pytest.raises(msgspec.ValidationError, match=name):
                card_of({key: value for key, value in scans.items() if key != name})
