"""The command line reads in a process apart where it can, and in its own elsewhere."""

import os
import platform
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import psutil
import pytest
from typer.testing import CliRunner

from inphase.formats import RawScan, Reading
from service import cli
from service.cli.files import Scans, reader
from service.sandbox.order import FileOrder
from tests.service.cli.processes import ROOT


@pytest.fixture
def warm_templates() -> None:
    """Here the process that reads is started as it always is: they are counted."""


@pytest.mark.parametrize(("system", "processes"), [("Linux", 1), ("Darwin", 0)])
def test_both_read_the_same(system: str, processes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One template process lives beside the command on Linux, none elsewhere; the counts are those of the file."""
    counts = np.arange(8 * 8 * 8, dtype=np.uint16).reshape(8, 8, 8)
    np.save(tmp_path / "scan.npy", counts)
    monkeypatch.setattr(platform, "system", lambda: system)
    before = len(psutil.Process().children())
    with ExitStack() as held:
        read = reader(held)
        assert np.array_equal(read(FileOrder(tmp_path / "scan.npy")).array, counts)
        assert len(psutil.Process().children()) - before == processes


def test_a_stack_is_read_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its frames have no peak in common, whatever region a curve would have; one that is asked for is read."""
    asked: list[str | None] = []

    def read(order: FileOrder) -> RawScan:
        asked.append(order.reading.region)
        return RawScan(np.ones((3, 8, 8), np.uint16), None, "", "")

    scans = Scans(read)
    assert len(scans.frames(FileOrder(Path("a.h5")))) == 3
    scans.frames(FileOrder(Path("a.h5"), Reading(region="0:8,0:8")))
    scans(FileOrder(Path("a.h5")))
    assert asked == ["whole", "0:8,0:8", None]


COMMANDS = [
    (*command, "none.npz", *rest)
    for command, rest in (
        (("reconstruct",), ("-o", "x.npz")),
        (("ptycho",), ("-o", "x.npz")),
        (("show",), ()),
        (("strain",), ()),
        (("orthogonalise",), ("-o", "x.cxi")),
        (("convert",), ("x.cxi",)),
        (("compare", "there.npz"), ()),
        (("compare",), ("there.npz",)),
        (("rank", "there.npz"), ()),
        (("reconstruct", "there.npz", "--dark"), ("-o", "x.npz")),
        (("reconstruct", "there.npz", "--mask"), ("-o", "x.npz")),
        (("convert", "there.npz", "x.cxi", "--measured"), ()),
        (("rank", "there.npz", "--measured"), ()),
        (("strain", "there.npz", "--measured", "there.npz", "--spec"), ()),
    )
]


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_missing_file_is_told(
    inphase, arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # type: ignore[no-untyped-def]
    """In one sentence, by every command that reads files, wherever the file is named."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.npz").touch()
    code, out, err = inphase(*arguments)
    assert (code, out, err) == (1, "", "inphase: none.npz: no such file or folder\n")
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["there.npz"]


def test_a_missing_file_is_told_before_anything_is_loaded(tmp_path: Path) -> None:
    """No network, no process that reads, nothing that takes seconds to load."""
    code = (
        "import sys; from service import cli; sys.argv = ['inphase', 'reconstruct', 'none.npy', '-o', 'x.npz']\n"
        "try:\n    cli.main()\nexcept SystemExit:\n    print(*{name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=os.environ | {"PYTHONPATH": ROOT}, capture_output=True,
        text=True, check=True, timeout=60,
    )  # fmt: skip
    assert "no such file" in done.stderr
    assert not {"h5py", "onnxruntime", "scipy", "skimage", "torch"} & set(done.stdout.split())


@pytest.mark.parametrize(
    "command",
    [
        "reconstruct a.npz -o a.npz",
        "reconstruct b.npz -o folder/../b.npz",
        "reconstruct a.npz b.npz -o .",
        "reconstruct a.npz -o map.npz --dark map.npz",
        "ptycho a.npz -o a.npz",
        "strain a.npz -o a.npz",
        "strain a.npz -o b.npz --measured b.npz",
        "convert a.npz a.npz",
        "orthogonalise a.npz -o a.npz",
        "show a.npz -o a.npz",
        "compare a.npz b.npz -o b.npz",
        "watch folder -o folder/",
    ],
)
def test_nothing_is_written_over_what_is_read(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, models_dir: Path
) -> None:
    """By no command, under no spelling of the name, and before anything is read."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INPHASE_MODELS_DIR", str(models_dir))
    (tmp_path / "folder").mkdir()
    for name in ("a", "b", "map"):
        np.savez(tmp_path / f"{name}.npz", data=np.ones((2, 2, 2), np.uint16))
    before = {path: path.read_bytes() for path in tmp_path.glob("*.npz")}
    done = CliRunner().invoke(cli.app, command.split())
    assert done.exit_code == 1
    assert "would be written over" in str(done.exception)
    assert {path: path.read_bytes() for path in tmp_path.glob("*.npz")} == before
