"""training.settings: one file is a run."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from training.data import sample
from training.fit import parse_time
from training.settings import FitSettings, from_dict, read

CONFIGS = Path(__file__).parents[2] / "training" / "configs"


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda p: p.name)
def test_shipped_configurations_are_readable(path: Path) -> None:
    """Every configuration that ships names known settings only."""
    assert read(path).batch > 0


def test_settings_survive_the_checkpoint() -> None:
    """as_dict and from_dict are inverse."""
    settings = FitSettings(batch=3, network={"widths": (16, 16, 32)})
    assert from_dict(settings.as_dict()) == settings


def test_the_stages_of_autophasenn_learn_from_the_same_crystals() -> None:
    """Of the same distribution, with the same network, of different seeds; the paper's has no faults of a detector."""
    labels, modulus = (read(CONFIGS / f"autophasenn-{stage}.yaml") for stage in ("labels", "modulus"))
    assert (labels.crystals, labels.detector, labels.network) == (modulus.crystals, modulus.detector, modulus.network)
    assert labels.seed != modulus.seed
    assert labels.detector.photons == (1e7, 1e9)
    made = sample(replace(labels, batch=4), 1, 0, 4, torch.device("cpu"))
    assert not made.measurement.mask.any()
    assert made.oversampling.min() >= 2.6
    assert made.oversampling.max() <= 3.4


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"frame": [64, 64]}, "the same number of axes"),
        ({"frame": [64], "box": [32]}, "two or three"),
        ({"optimizer": "lion"}, "unknown optimizer 'lion'; known: adam, sgd, muon"),
    ],
)
def test_what_cannot_be_trained_is_refused(values: dict[str, object], message: str) -> None:
    """A frame of other axes than its box, an optimiser that there is not."""
    with pytest.raises(ValueError, match=message):
        from_dict(values)


def test_a_raster_makes_a_network_of_scans() -> None:
    """Its settings are read, kept and checked like all others; without one there is none."""
    settings = from_dict({"frame": [64, 64], "box": [32, 32], "raster": {"photons": 1e5, "probe": "curved"}})
    assert settings.raster is not None
    assert (settings.raster.photons, settings.family) == (1e5, "scan")
    assert from_dict(settings.as_dict()) == settings
    assert (from_dict({}).raster, from_dict({}).family) == (None, "volume")
    assert from_dict({"frame": [64, 64], "box": [32, 32]}).family == "image"
    with pytest.raises(ValueError, match="unknown setting 'dose' in raster"):
        from_dict({"frame": [64, 64], "box": [32, 32], "raster": {"dose": 1}})
    with pytest.raises(ValueError, match="squares"):
        from_dict({"frame": [64, 32], "box": [32, 32], "raster": {}})


def test_frames_of_two_axes_are_particles_seen_as_frames_says() -> None:
    """The short run of the paper's 2D network: half of its frames have hidden pixels, and none a beam stop."""
    made = sample(read(CONFIGS / "wu2d-small.yaml"), 1, 0, 16, torch.device("cpu"))
    assert made.objects.shape == (16, 32, 32)
    assert made.measurement.intensity.shape == (16, 64, 64)
    assert made.oversampling.shape == (16, 2)
    assert not made.measurement.mask.any()
    assert 2 < int(made.measurement.hidden.flatten(1).any(1).sum()) < 14


def test_an_unknown_precision_is_refused() -> None:
    """It would be taken for single precision."""
    with pytest.raises(ValueError, match="unknown precision 'bf16'; known: bfloat16, single"):
        from_dict({"precision": "bf16"})


@pytest.mark.parametrize("values", [{"bach": 3}, {"crystals": {"facet": 2}}])
def test_typos_are_refused(values: dict[str, object]) -> None:
    """An unknown name is an error that lists the known ones."""
    with pytest.raises(ValueError, match=r"unknown setting .*; known: "):
        from_dict(values)


def test_time_budget() -> None:
    """DD:HH:MM:SS with missing leading parts; anything else is refused."""
    assert [parse_time(t) for t in ("12", "1:30", "00:01:00:00", "1:0:0:1")] == [12, 90, 3600, 86401]
    for text in ("", "1h", "1:2:3:4:5", "-3"):
        with pytest.raises(ValueError, match="DD:HH:MM:SS"):
            parse_time(text)


def test_settings_are_changed_by_name(tmp_path: Path) -> None:
    """`a.b=c` reaches into groups, with numbers as one writes them;
    what is no change, or changes nothing known, is refused.
    """
    path = tmp_path / "run.yaml"
    path.write_text("batch: 2\ncrystals: {strain_free: 0.5}\n")
    changed = read(path, ["batch=4", "crystals.peak_offset=0", "detector.photons=[1e7, 1.0e+8]"])
    assert (changed.batch, changed.crystals.strain_free, changed.crystals.peak_offset) == (4, 0.5, 0)
    assert changed.detector.photons == (1e7, 1e8)
    for wrong in ("batch", "bach=4", "batch.size=4"):
        with pytest.raises(ValueError, match=r"NAME=VALUE|unknown setting|holds no settings"):
            read(path, [wrong])


def test_domains_take_the_place_of_particles() -> None:
    """A group of the file like the others, of images alone, and not beside a raster."""
    image = {"frame": [64, 64], "box": [32, 32]}
    settings = from_dict(image | {"domains": {"domains": [2, 4]}})
    assert settings.domains is not None
    assert (settings.domains.domains, settings.family) == ((2, 4), "image")
    assert from_dict(settings.as_dict()) == settings
    assert from_dict(image).domains is None
    with pytest.raises(ValueError, match="unknown setting 'walls' in domains"):
        from_dict(image | {"domains": {"walls": 1}})
    with pytest.raises(ValueError, match="two axes and a square box"):
        from_dict({"domains": {}})
    with pytest.raises(ValueError, match="one of: crystals of domains, a raster, a measured scan"):
        from_dict(image | {"domains": {}, "raster": {}})


def test_a_measured_scan_makes_a_network_of_scans() -> None:
    """In the place of a raster, of square patterns, and with the name of its file."""
    image = {"frame": [64, 64], "box": [64, 64]}
    settings = from_dict(image | {"measured": {"scan": "a.npz", "held_out": 0.25}})
    assert settings.measured is not None
    assert (settings.measured.held_out, settings.family) == (0.25, "scan")
    assert from_dict(settings.as_dict()) == settings
    for wrong, said in (
        ({"measured": {"file": "a.npz"}}, "unknown setting 'file' in measured"),
        ({"measured": {"scan": "a.npz"}, "raster": {}}, "one of"),
        ({"measured": {"scan": "a.npz"}, "box": [32, 32], "frame": [64, 32]}, "squares"),
    ):
        with pytest.raises(ValueError, match=said):
            from_dict(image | wrong)
    named = read(CONFIGS / "ptychopinn-measured.yaml", ["measured.scan=a.npz"])
    assert named.network["whole"]
