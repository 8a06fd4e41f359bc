"""The options that say how a measurement is read stand at every door, and mean the same there."""

import inspect
import io
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import typer
from numpy.typing import NDArray

import inphase as library
from inphase.formats import Reading, npz
from inphase.formats.scan import FileReading
from inphase.preprocess.corrections import Corrections
from service import cli
from service.api.reconstructions import FileCall
from service.api.series import SeriesCall
from service.intake.options import ReadingOptions

OPTIONS = {part.name for part in fields(Reading)}


def options(*path: str) -> set[str]:
    """The long options of a command."""
    command: Any = typer.main.get_command(cli.app)
    for name in path:
        command = command.commands[name]
    return {option.removeprefix("--") for parameter in command.params for option in parameter.opts}


def properties(schema: dict[str, Any], kind: str) -> set[str]:
    """What the JSON of a type may hold."""
    return set(schema["$defs"][kind]["properties"])


def test_every_reading_option_stands_at_every_door() -> None:
    """`reconstruct` (also with --url), `series submit`, bodies and query of HTTP, and Python bear the same names."""
    assert len(OPTIONS) == 13
    assert options("reconstruct") >= OPTIONS
    assert options("series", "submit") >= OPTIONS
    assert properties(FileCall.model_json_schema(), "FileSource") == OPTIONS | {"kind", "path"}
    assert properties(SeriesCall.model_json_schema(), "CommonReading") == OPTIONS
    assert set(ReadingOptions.model_fields) == OPTIONS
    assert set(inspect.signature(library.read).parameters) == OPTIONS | {"path", "domain", "limits"}


def test_series_submit_sends_every_option(inphase, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    """What is given comes in the body, and nothing else does."""
    bodies = []

    def answer(self: httpx.Client, method: str, url: str, **arguments: Any) -> httpx.Response:
        bodies.append(json.loads(b"".join(arguments["content"])))
        return httpx.Response(202, json={"id": "0" * 32}, request=httpx.Request(method, url))

    monkeypatch.setattr(httpx.Client, "request", answer)
    given = {
        "dataset": "a", "dark": "d.tif", "flat": "f.tif", "mask": "m.edf", "masked": "0:2,:", "roi": "0:4,0:4",
        "region": "0:8,0:8", "beamline": "ID01", "spec": "s.spec", "scan": 7, "sample": "S1", "detector": "mpx1x4",
        "set": {"distance": 1.0, "energy": 9.0},
    }  # fmt: skip
    assert set(given) == OPTIONS
    arguments = [f"--{name}={value}" for name, value in given.items() if name != "set"]
    code, _, err = inphase("series", "submit", "x.h5", *arguments, "--set", "distance=1", "--set", "energy=9")
    assert code == 0, err
    inphase("series", "submit", "x.h5")
    assert [body["reading"] for body in bodies] == [given, {}]
    assert SeriesCall.model_validate(bodies[0]).reading.spec == Path("s.spec")


def test_detector_maps_survive_the_way_to_a_service(tmp_path: Path) -> None:
    """dark, flat and roi come out of the npz that `reconstruct --url` sends, bit for bit."""
    counts = np.arange(4 * 5 * 6, dtype=np.uint16).reshape(4, 5, 6)
    maps: dict[str, NDArray[Any]] = {"dark": np.eye(8, dtype=np.int32), "flat": np.linspace(0.5, 2, 64).reshape(8, 8)}
    for name, array in {"scan": counts, **maps}.items():
        np.save(tmp_path / f"{name}.npy", array)
    scan = library.read(tmp_path / "scan.npy", dark=tmp_path / "dark.npy", flat=tmp_path / "flat.npy", roi="1:6,2:8")
    body = npz.encode(scan)
    back = npz.decode(io.BytesIO(body), "body", FileReading(Path()))
    assert "detector maps" in back.chosen
    for found in (scan.corrections, back.corrections):
        assert isinstance(found, Corrections)
        assert found.roi == ((1, 6), (2, 8))
        assert np.array_equal(found.dark, maps["dark"])
        assert np.array_equal(found.flat, maps["flat"])
