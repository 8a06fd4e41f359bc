"""`inphase ptycho` does what the library does."""

import json
from dataclasses import asdict
from pathlib import Path

import httpx
import numpy as np
import pytest
from typer.testing import CliRunner

from inphase.client import Client
from inphase.ptycho import Options, read, read_reconstruction, reconstruct
from service import cli
from tests.inphase.ptycho.scenes import small
from tests.toy import write_scan_model


def saved(tmp_path: Path) -> Path:
    """A scan whose columns are reversed, with an empty frame."""
    of = small(frames=5)
    of.counts[7] = 0
    path = tmp_path / "scan.npz"
    np.savez(path, diff3d=of.counts, ycoords=of.positions[:, 0], xcoords=-of.positions[:, 1], probeGuess=of.probe[0])
    return path


def test_result_is_that_of_the_library(tmp_path: Path) -> None:
    """The same numbers, and the report as JSON."""
    path, output = saved(tmp_path), tmp_path / "image.npz"
    done = CliRunner().invoke(cli.app, ["ptycho", str(path), "-o", str(output), "--refine", "4*EPIE", "--json"])
    assert done.exit_code == 0, done.output
    expected = reconstruct(read(path), Options("4*EPIE"))
    report = json.loads(done.stdout)
    assert report["r_factor"] == expected.report.r_factor
    with np.load(output) as held:
        np.testing.assert_array_equal(held["object"], expected.object)


def test_the_beam_of_a_reconstruction_is_taken(tmp_path: Path) -> None:
    """Its probe and its turned positions, in place of those of the file; so many frames are hidden as one says."""
    path, first, second = saved(tmp_path), tmp_path / "first.npz", tmp_path / "second.npz"
    common = ["ptycho", str(path), "--json", "--hold-out", "0.25"]
    done = CliRunner().invoke(cli.app, [*common, "-o", str(first), "--refine", "3*EPIE"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["frames_held_out"] == 6
    again = [*common, "-o", str(second), "--refine", "2*EPIE", "--no-turn", "--probe-start", "99"]
    done = CliRunner().invoke(cli.app, [*again, "--beam-of", str(first)])
    assert done.exit_code == 0, done.output
    earlier = read_reconstruction(first)
    expected = reconstruct(read(path).in_beam_of(earlier), Options("2*EPIE", hold_out=0.25, turn=False, probe_start=99))
    there = CliRunner().invoke(
        cli.app, [*again, "--beam-of", str(first), "--url", "http://inphase"], env={"COLUMNS": "200"}
    )
    assert there.exit_code == 2
    assert "leave --beam-of or --url out" in there.stderr
    over = CliRunner().invoke(cli.app, [*common, "-o", str(first), "--beam-of", str(first)])
    assert "would be written over" in str(over.exception)
    found = read_reconstruction(second)
    np.testing.assert_array_equal(found.object, expected.object)
    np.testing.assert_array_equal(found.positions_px, earlier.positions_px)


def test_table_tells_what_was_altered(tmp_path: Path) -> None:
    """The frame that was left out, and the positions that were turned."""
    arguments = ["ptycho", str(saved(tmp_path)), "-o", str(tmp_path / "a.cxi"), "--refine", "2*RPIE"]
    done = CliRunner().invoke(cli.app, arguments)
    assert done.exit_code == 0, done.output
    assert "left out (7)" in done.stdout
    assert "columns reversed" in done.stdout


def test_mistyped_recipe_and_output_are_told_before_anything_is_read(tmp_path: Path) -> None:
    """The scan is none, and it is not what is complained of."""
    (tmp_path / "none.cxi").write_bytes(b"no scan")
    for wrong in (["-o", "a.tif"], ["-o", str(tmp_path / "a.npz"), "--refine", "HIO"]):
        done = CliRunner().invoke(cli.app, ["ptycho", str(tmp_path / "none.cxi"), *wrong])
        assert done.exit_code != 0
        assert "none.cxi" not in str(done.exception)


def test_a_model_gives_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By name, from the model repository; the notes tell, and one that does not fit is refused with the reason."""
    write_scan_model(tmp_path / "models")
    write_scan_model(tmp_path / "models", name="dim", photons=1e3)
    monkeypatch.setenv("INPHASE_MODELS_DIR", str(tmp_path / "models"))
    arguments = ["ptycho", str(saved(tmp_path)), "-o", str(tmp_path / "a.npz"), "--refine", "1*EPIE", "--no-turn"]
    done = CliRunner().invoke(cli.app, [*arguments, "--model", "scans"])
    assert done.exit_code == 0, done.output
    assert "begun from the image of scans@1, which drew 24 of 24 frames" in done.stdout.replace("\n", " ")
    refused = CliRunner().invoke(cli.app, [*arguments, "--model", "dim@1"])
    assert "trained on 1e+03 counts a pattern" in str(refused.exception)


def test_a_service_is_given_the_file_and_its_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file goes as it is; what comes back is told as if it had been made here."""
    path, output = saved(tmp_path), tmp_path / "image.npz"
    made = reconstruct(read(path), Options("1*EPIE", turn=False))
    scan = {"report": asdict(made.report), "size": made.object.shape}
    asked: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        document = {"id": "x", "state": "succeeded", "reason": "", "ptychography": scan}
        return httpx.Response(200, json=document) if request.method == "POST" else httpx.Response(200, content=b"image")

    monkeypatch.setattr(
        "inphase.client.Client", lambda url, key="": Client(url, key, transport=httpx.MockTransport(handler))
    )
    arguments = ["ptycho", str(path), "-o", str(output), "--refine", "1*EPIE", "--focus", "inf", "--seed", "4",
                 "--unit", "pixel"]  # fmt: skip
    done = CliRunner().invoke(cli.app, [*arguments, "--url", "http://inphase", "--no-turn"])
    assert done.exit_code == 0, done.output
    assert f"{made.report.r_factor:.3g}" in done.stdout
    assert "left out (7)" in done.stdout
    assert output.read_bytes() == b"image"
    first = asked[0]
    assert first.read() == path.read_bytes()
    assert dict(first.url.params) == {
        "refine": "1*EPIE", "probe_start": "2", "search_px": "0.0", "turn": "false", "hold_out": "0.05", "seed": "4",
        "focus_m": "inf", "unit": "pixel", "wait": "0.5", "name": path.name,
    }  # fmt: skip
