"""A network of one measured scan, from its file to the model repository."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from inphase import ptycho
from inphase.models.repository import ModelError, Repository
from tests.toy import crystal, write_model
from tests.training.measured_scans import saved, settings, star
from tests.training.small import FILTERS
from training import scan_network
from training.measured import MeasuredScan
from training.scan_network import Judged, for_window, judge, learn
from training.settings import FitSettings, from_dict

pytestmark = FILTERS


def tiny() -> FitSettings:
    """Of windows that are not those of the scan, a quarter of which is drawn."""
    return from_dict({
        "frame": [64, 64], "box": [64, 64], "architecture": "ptychopinn", "batch": 2, "validation_crystals": 2,
        "network": {"width": 4, "neighbours": 1, "whole": True}, "objective": "ptychopinn", "average_decay": 0.0,
        "objective_options": {"by_light": True}, "measured": {"neighbours": 3},
    })  # fmt: skip


def learned(tmp_path: Path, **more: Any) -> scan_network.Learned:
    """Of the small star, after one step."""
    given: dict[str, Any] = {"seconds": float("inf"), "groups": 2, "tell": lambda line: None} | more
    path = saved(tmp_path)
    return learn(path, tiny(), tmp_path / "run", tmp_path / "models", "ptychopinn-star", 1, **given)


def faked(monkeypatch: pytest.MonkeyPatch, fitted: Callable[..., Path]) -> None:
    """Nothing is trained, a model of the tests is exported, and the judge lets it pass."""

    def exported(checkpoint: Path, models: Path, name: str, version: int) -> Path:
        return write_model(models, crystal(), name=name, version=version)

    monkeypatch.setattr(scan_network, "fit", fitted)
    monkeypatch.setattr(scan_network, "export", exported)
    monkeypatch.setattr(scan_network, "Session", lambda version, threads: version)
    monkeypatch.setattr(scan_network, "judge", lambda of, reconstruction, network: Judged(0.1, 0.1))


def test_a_network_that_is_worse_than_epie_is_not_registered(tmp_path: Path) -> None:
    """After one step it has learned nothing; beam and checkpoint are kept for a longer run."""
    said: list[str] = []
    found = learned(tmp_path, tell=said.append)
    assert found.version is None
    assert not (tmp_path / "models").exists()
    assert found.checkpoint.exists()
    beam = ptycho.read_reconstruction(found.reconstruction).report
    assert found.judged.engine == beam.r_held_out
    assert found.judged.network > found.judged.engine
    assert beam.frames_held_out == 18
    assert said[0] == "30*EPIE of 36 frames, 50% of them hidden"


def test_a_network_that_is_no_worse_is_registered_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under its name, as it was judged; a version that there is ends the command before anything is made."""
    seen: list[FitSettings] = []

    def fitted(of: FitSettings, run: Path, **budget: float) -> Path:
        seen.append(of)
        return run / "last.ckpt"

    faked(monkeypatch, fitted)
    found = learned(tmp_path)
    assert found.version == tmp_path / "models" / "ptychopinn-star" / "1"
    assert Repository(tmp_path / "models").resolve("ptychopinn-star@1").path.parent == found.version
    (of,) = seen
    assert (of.frame, of.box) == ((32, 32), (32, 32))
    assert of.measured is not None
    assert of.measured.reconstruction == str(found.reconstruction)
    with pytest.raises(ModelError, match="never changes"):
        learned(tmp_path)
    assert len(seen) == 1


def test_a_disk_that_is_full_leaves_no_half_of_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The services that watch the repository would take the half for the newest version."""
    faked(monkeypatch, lambda of, run, **budget: run / "last.ckpt")
    models = tmp_path / "models"
    write_model(models, crystal(), name="ptychopinn-star", version=2)
    copied: list[str] = []

    def full(source: Path, target: Path, **how: bool) -> None:
        if copied:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        copied.append(Path(target).name)
        Path(target).write_bytes(Path(source).read_bytes())
        assert Repository(models).refused == []

    monkeypatch.setattr(shutil, "copyfile", full)
    before = sorted(models.rglob("*"))
    with pytest.raises(ModelError, match="No space left on device"):
        learned(tmp_path)
    assert len(copied) == 1
    assert sorted(models.rglob("*")) == before


@pytest.mark.parametrize("wrong", [False, True])
def test_the_image_is_judged_by_frames_that_the_network_was_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: bool
) -> None:
    """The true object of the other frames leaves next to the R of the noise, some pixels of which no part is drawn
    aside, and passes; the same without its phase does not.
    """
    scene, clean = star(jitter=0.0), star(jitter=0.0, noise=False)  # on whole pixels: nothing is interpolated
    path = saved(tmp_path, scene)
    of = MeasuredScan.read(settings(path), 32)
    fitted = ptycho.reconstruct(of.measured, ptycho.Options("5*EPIE", hold_out=0.5, turn=False))
    ptycho.write(fitted, tmp_path / "fitted.npz")
    shown: list[int] = []

    def drawing(measured: ptycho.Measurement, network: object) -> Any:
        shown.extend(measured.ids.tolist())
        corners = scene.positions[measured.ids].astype(int)
        parts = np.stack([scene.object[r : r + 32, c : c + 32] for r, c in corners])
        parts = np.abs(parts) if wrong else parts
        return SimpleNamespace(parts=parts.astype(np.complex64), frames=np.arange(len(measured)))

    monkeypatch.setattr(scan_network, "drawn", drawing)
    found = judge(of, tmp_path / "fitted.npz", object())  # type: ignore[arg-type]
    assert shown == of.fitted.tolist()
    assert found.engine == fitted.report.r_held_out
    modulus, mean = (np.sqrt(made.counts[of.held_out]) for made in (scene, clean))
    noise = float(np.abs(modulus - mean).sum() / modulus.sum())
    assert (found.network < 3 * noise) == (not wrong)
    assert found.passed == (not wrong)


def test_the_same_part_of_another_window_is_drawn() -> None:
    """The half of 64 is that of 128."""
    half = from_dict({"frame": [64, 64], "box": [32, 32], "measured": {}})
    found = for_window(half, (128, 128), settings(Path("scan.npz")))
    assert (found.frame, found.box) == ((128, 128), (64, 64))
