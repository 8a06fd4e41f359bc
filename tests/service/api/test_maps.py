"""Detector maps at every door: sent with the scan, named beside a file, or applied in this process."""

from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
from numpy.typing import NDArray

import inphase
from inphase.formats import RawScan, npz
from inphase.preprocess.corrections import Corrections
from service.intake.submission import upload_arrays, uploaded
from service.settings import Settings
from tests.service.api.calls import URL, load
from tests.service.api.conftest import NPY, npy

NPZ = {"Content-Type": "application/x-npz"}


def write(folder: Path, pattern: NDArray[np.uint32]) -> None:
    """A scan, and maps of a chip of 80 x 80 pixels that it shows a part of: ten bad pixels and an uneven response."""
    dark, flat = np.zeros((80, 80), np.float32), np.linspace(0.8, 1.2, 6400).reshape(80, 80)
    dark[20, 20:30] = 7
    for name, array in (("scan", pattern), ("dark", dark), ("flat", flat)):
        np.save(folder / f"{name}.npy", array)


async def test_maps_give_the_same_bits_at_every_door(
    client: httpx.AsyncClient, settings: Settings, data_root: Path, pattern: NDArray[np.uint32]
) -> None:
    """Named in JSON, sent as npz (as `reconstruct --url` does) and in this process: one image; without maps another."""
    write(data_root, pattern)
    scan = inphase.read(
        data_root / "scan.npy", dark=data_root / "dark.npy", flat=data_root / "flat.npy", roi="8:72,8:72"
    )
    source = {"kind": "file", "path": "scan.npy", "dark": "dark.npy", "flat": "flat.npy", "roi": "8:72,8:72"}
    asked = {"refine": "none", "format": "npz"}
    named = await client.post(URL, json={"source": source, "refine": "none"}, params={"format": "npz"})
    sent = await client.post(URL, params=asked, content=npz.encode(scan), headers=NPZ)
    bare = await client.post(URL, params=asked, content=npy(pattern), headers=NPY)
    for answer in (named, sent, bare):
        assert answer.status_code == 200, answer.text
    computed = inphase.reconstruct(scan, refine="none", models=settings.models_dir)
    steps = {step.name: step.numbers for step in computed.report.preprocess.steps}
    assert steps["corrections"]["bad_pixels"] == 10
    for name in ("object", "modulus", "mask"):
        assert np.array_equal(load(named)[name], computed.arrays[name]), name
        assert np.array_equal(load(sent)[name], computed.arrays[name]), name
    assert not np.array_equal(load(bare)["modulus"], computed.arrays["modulus"])


def test_what_was_sent_is_stored_whole(pattern: NDArray[np.uint32], tmp_path: Path) -> None:
    """A job that is read later has everything that came with its scan: maps and the detector's saturation too."""
    np.savez(tmp_path / "scan.npz", data=pattern, saturation=60_000, flat=np.full((64, 64), 2.0), mask=pattern == 1)
    scan = inphase.read(tmp_path / "scan.npz")
    back = uploaded(upload_arrays(scan))
    assert back.saturation == scan.saturation
    assert back.saturation is not None
    assert same(back.corrections, scan.corrections)
    bare = RawScan(pattern, None, "body", "all", {"energy": "9"})
    assert replace(uploaded(upload_arrays(bare)), array=pattern) == bare


def same(one: Corrections | None, other: Corrections | None) -> bool:
    """Whether two have the same maps."""
    assert one is not None
    assert other is not None
    return one.dark is other.dark is None and one.roi == other.roi and np.array_equal(one.flat, other.flat)  # type: ignore[arg-type]
