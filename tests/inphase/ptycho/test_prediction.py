"""inphase.ptycho.prediction: the image of a network that knows the parts is the object; other scans are refused."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from inphase.errors import DataError, RecipeError
from inphase.models.card import ScanCard
from inphase.models.repository import ModelVersion, Repository
from inphase.ptycho import parts, prediction
from inphase.ptycho.engine import reconstruct
from inphase.ptycho.measurement import Measurement, from_arrays
from inphase.ptycho.optics import FarField, NearField
from inphase.ptycho.options import Options
from inphase.ptycho.prediction import checked, digest, drawn, predict
from inphase.ptycho.scores import compared
from tests.toy import crystal, write_model, write_scan_model
from training.simulate.raster import Raster, RasterSettings, scan

STAR = scan(RasterSettings(objects=1, side=88, phase=True, step=4, stride=4, photons=1e7, probe="curved"), 32, 4)


def measured(of: Raster = STAR, **known: Any) -> Measurement:
    """The scan as one reads it, its frames in an order of their own."""
    order = np.random.default_rng(1).permutation(len(of.counts))
    return from_arrays(of.counts[order], of.windows[order, 1:], **({"probe": of.probe} | known))


@dataclass
class Knowing:
    """A network that recognises the patterns of a scan, and draws the parts that made them."""

    of: Raster
    version: ModelVersion
    provider: str = "memory"

    def infer(self, tensors: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        """Each pattern is the one that it is nearest to."""
        shown = tensors["patterns"]
        known = np.sqrt(self.of.counts).reshape(len(self.of.counts), -1) / self.of.scale
        flat = shown.reshape(-1, known.shape[1])
        nearest = ((flat**2).sum(1)[:, None] - 2 * flat @ known.T + (known**2).sum(1)).argmin(1)
        parts = self.of.patches(nearest)[:, 8:24, 8:24].reshape(*shown.shape[:2], 16, 16)
        return {"amplitude": np.abs(parts), "phase": np.angle(parts)}


def card(**changes: Any) -> ScanCard:
    """Of a network that was made for the scan."""
    known = {
        "name": "knowing", "version": 1, "domain": ["counts"], "dc": "N//2", "grid": (32, 32), "box": (16, 16),
        "oversampling": (2.0, 3.0), "inputs": ["patterns"], "outputs": {"amplitude": (0.0, 1.0), "phase": (-4.0, 4.0)},
        "shown": "modulus", "offset": 0.0, "scale": STAR.scale, "photons": 1e7,
        "offsets_px": [(-2.0, -2.0), (-2.0, 2.0), (2.0, -2.0), (2.0, 2.0)], "probe_sha256": digest(STAR.probe[None]),
        "pixel_m": None, "sha256": "0" * 64, "licence": "none", "training": {}, "metrics": {},
    }  # fmt: skip
    return ScanCard(**(known | changes))


def knowing(**changes: Any) -> Knowing:
    """The network."""
    return Knowing(STAR, ModelVersion(card(**changes), Path(), {}))


@pytest.mark.parametrize("offsets", [[(0.0, 0.0)], [(-2.0, -2.0), (-2.0, 2.0), (2.0, -2.0), (2.0, 2.0)]])
def test_the_image_of_a_network_that_knows_the_parts_is_the_object(offsets: list[tuple[float, float]]) -> None:
    """Right where it is covered, in its place on the canvas of the engine, margin included."""
    found = predict(measured(), knowing(offsets_px=offsets), margin=3)
    assert found.frames == len(STAR.counts) == 225
    inner = found.object[3:-3, 3:-3]
    seen = found.covered[3:-3, 3:-3]
    true = STAR.objects[0][: inner.shape[0], : inner.shape[1]]
    np.testing.assert_allclose(inner[seen], true[seen], atol=1e-5)
    # the parts' boxes span 8 ... 80 of 88 pixels; the light of the probe fades towards their edges
    assert 0.5 < seen.mean() < 0.7
    assert len(np.unique(found.object[~found.covered])) == 1


def test_a_reconstruction_begins_from_it() -> None:
    """Its first iteration meets what ten from nothing come to, and the notes name the network."""
    options = Options("1*EPIE", turn=False, probe_start=10, hold_out=0)
    begun = reconstruct(measured(), options, start=knowing())
    plain = reconstruct(measured(), replace(options, recipe="10*EPIE"))
    assert begun.report.history[0] < plain.report.history[-1] < 0.5 * plain.report.history[0]
    told = "The object was begun from the image of knowing@1, which drew 225 of 225 frames."
    assert told in begun.report.notes
    window = begun.coverage > 0.2
    true = STAR.objects[0][: window.shape[0], : window.shape[1]]
    assert compared(begun.object, true, window).correlation > 0.99


def test_it_is_the_image_of_the_turned_positions() -> None:
    """Groups are found after the positions have been turned as the patterns lie."""
    mirrored = replace(measured(), positions_px=measured().positions_px * [1, -1])
    found = reconstruct(mirrored, Options("1*EPIE", probe_start=10, hold_out=0), start=knowing())
    assert "columns reversed" in found.report.notes[0]
    assert found.report.history[0] < 0.1


GROUP = [(-2.0, -2.0), (-2.0, 2.0), (2.0, -2.0), (2.0, 2.0)]


@pytest.mark.parametrize("offsets", [[(0.0, 0.0)], GROUP])
def test_parts_that_were_drawn_before_give_the_same_image(offsets: list[tuple[float, float]]) -> None:
    """To the last bit, refined or left as it is; through arrays as well."""
    network = knowing(offsets_px=offsets)
    before = parts.drawn_of(parts.arrays_of_drawn(drawn(measured(), network)))
    for recipe in ("1*EPIE", "none"):
        options = Options(recipe, turn=False)
        found, wanted = (reconstruct(measured(), options, start=start) for start in (before, network))
        assert found.object.tobytes() == wanted.object.tobytes()
        assert found.report.notes == wanted.report.notes
    assert found.report.recipe == "none"
    assert found.report.history == ()
    assert found.report.r_factor < 0.1
    with pytest.raises(RecipeError, match="name a model"):
        reconstruct(measured(), Options("none", turn=False))


def test_parts_of_frames_alone_lie_wherever_those_lie() -> None:
    """Positions that are turned afterwards take them along; those of groups do not fit any more, which is told."""
    mirrored = replace(measured(), positions_px=measured().positions_px * [1, -1])
    options = Options("1*EPIE", probe_start=10, hold_out=0)
    alone = knowing(offsets_px=[(0.0, 0.0)])
    found, wanted = (reconstruct(mirrored, options, start=s) for s in (drawn(mirrored, alone), alone))
    assert found.object.tobytes() == wanted.object.tobytes()
    with pytest.raises(DataError, match="neighbouring frames together, and their positions lie otherwise"):
        reconstruct(mirrored, options, start=drawn(mirrored, knowing(offsets_px=[(2.0, 2.0), (2.0, -2.0)])))


METRE = FarField(1e-10, 1.0, (1e-4, 1e-4))


@pytest.mark.parametrize(
    ("changes", "known", "words"),
    [
        ({"grid": (64, 64)}, {}, r"takes patterns of \(64, 64\) pixels, and the scan has \(32, 32\)"),
        (
            {},
            {"probe": STAR.probe * 1.001},
            "trained in the beam [0-9a-f]{12}, and the probe of the scan is [0-9a-f]{12}",
        ),
        ({}, {"probe": None}, "comes with no probe"),
        ({"pixel_m": (1e-8, 2e-8)}, {"optics": METRE}, "draws pixels of 10 x 20 nm, and those of the scan are 31.25 x"),
        ({"photons": 1e6}, {}, r"trained on 1e\+06 counts a pattern, and the scan has"),
        ({}, {"optics": NearField(1e-10, 1.0, (1e-6, 1e-6))}, "the scan is in the near field"),
    ],
)
def test_another_scan_is_refused_with_the_reason(changes: dict[str, Any], known: dict[str, Any], words: str) -> None:
    """What differs, and what to do; a beam that is 1 in 1000 stronger is another one."""
    with pytest.raises(DataError, match=words) as told:
        predict(measured(**known), knowing(**changes))
    assert "Train a network for this scan" in str(told.value)


def test_all_differences_are_told_at_once() -> None:
    """In one message."""
    with pytest.raises(DataError, match=r"pixels, and.*; it was trained in.*; it was trained on"):
        checked(card(grid=(64, 64), photons=1e3, probe_sha256="f" * 64), measured())


def test_what_is_not_known_is_not_compared() -> None:
    """A network whose beam or pixel was not recorded, a scan in pixels."""
    assert checked(card(probe_sha256=None), measured(probe=None))
    assert checked(card(pixel_m=(1e-8, 1e-8)), measured())
    assert checked(card(pixel_m=None), measured(optics=METRE))


def test_a_network_for_bragg_peaks_is_refused(tmp_path: Path) -> None:
    """It knows no scan."""
    write_model(tmp_path, crystal())
    with pytest.raises(DataError, match="needs a network of the family scan"):
        checked(Repository(tmp_path).resolve(None).card, measured())


def test_a_beam_has_one_name() -> None:
    """Of the same numbers, whatever the memory order and the digits beyond single precision; modes count."""
    probe = STAR.probe[None]
    assert digest(probe) == digest(np.asfortranarray(probe.astype(np.complex128)))
    assert digest(probe) != digest(np.concatenate([probe, probe]))
    assert digest(probe) != digest(-probe)


def test_masked_pixels_are_dark_for_the_network() -> None:
    """What stands in them is not shown."""
    shown: list[NDArray[Any]] = []

    def infer(tensors: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        shown.append(tensors["patterns"])
        return Knowing(STAR, version).infer(tensors)

    version = knowing().version
    mask = np.zeros((32, 32), bool)
    mask[16, 16] = True
    filled = replace(measured(mask=mask), patterns=np.where(mask, 10**9, measured().patterns))
    predict(filled, cast(Any, SimpleNamespace(version=version, provider="", infer=infer)))
    assert not np.concatenate(shown)[:, :, 16, 16].any()
    assert max(map(len, shown)) <= prediction.BATCH


def test_a_model_of_the_family_is_in_the_repository(tmp_path: Path) -> None:
    """With its card."""
    write_scan_model(tmp_path)
    assert isinstance(Repository(tmp_path).resolve("scans").card, ScanCard)
