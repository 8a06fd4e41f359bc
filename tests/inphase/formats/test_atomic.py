"""Files and folders that appear whole or not at all."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from inphase.formats.atomic import replacing, replacing_folder

KILLED = """
import os, signal, sys
from pathlib import Path
from inphase.formats.atomic import {kind}
with {kind}(Path(sys.argv[1])) as partial:
    {write}
    os.kill(os.getpid(), signal.SIGKILL)
"""


def write_half(path: Path) -> None:
    """Fail in mid-writing."""
    with replacing(path) as partial:
        partial.write_text("half")
        raise OSError("no room")


def write_half_a_folder(path: Path) -> None:
    """The same for a folder."""
    with replacing_folder(path) as partial:
        (partial / "new.npy").write_text("half")
        raise OSError("no room")


def test_a_file_is_there_at_the_end_of_the_block(tmp_path: Path) -> None:
    """Until then its name holds what it held before, and nothing else is left beside it."""
    path = tmp_path / "result.npz"
    path.write_text("before")
    with replacing(path) as partial:
        partial.write_text("after")
        assert path.read_text() == "before"
    assert path.read_text() == "after"
    assert os.listdir(tmp_path) == ["result.npz"]


def test_an_error_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    """And nothing of what was written."""
    path = tmp_path / "result.npz"
    path.write_text("before")
    with pytest.raises(OSError, match="no room"):
        write_half(path)
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["result.npz"]


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    """Files of the folder that stood there are gone with it; an error brings it back."""
    path = tmp_path / "results"
    path.mkdir()
    (path / "old.npy").write_text("before")
    with pytest.raises(OSError, match="no room"):
        write_half_a_folder(path)
    assert os.listdir(path) == ["old.npy"]
    with replacing_folder(path) as partial:
        (partial / "new.npy").write_text("after")
    assert os.listdir(path) == ["new.npy"]
    assert os.listdir(tmp_path) == ["results"]


@pytest.mark.parametrize(
    ("kind", "write", "name"),
    [
        ("replacing", "partial.write_text('half')", "result"),
        ("replacing_folder", "(partial / 'inside').write_text('half')", "result/inside"),
    ],
)
def test_a_writer_that_is_killed_leaves_what_was_there(tmp_path: Path, kind: str, write: str, name: str) -> None:
    """SIGKILL in mid-writing: the name holds what it held before. Only a hidden partial file is left over."""
    held = tmp_path / name
    held.parent.mkdir(exist_ok=True)
    held.write_text("before")
    script = KILLED.format(kind=kind, write=write)
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "result")], check=False)
    assert done.returncode == -signal.SIGKILL
    assert held.read_text() == "before"
    assert [found for found in os.listdir(tmp_path) if not found.startswith(".")] == ["result"]
