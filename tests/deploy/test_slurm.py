"""The worker as a job of Slurm: the script is carried out, with a worker and the variables of Slurm made here."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.deploy.known import DEPLOY, SETTINGS

SCRIPT = DEPLOY / "slurm" / "inphase-worker.sbatch"
WORKER = """#!/bin/bash
echo "$@" > "$OUT/arguments"
env | grep ^INPHASE_ > "$OUT/environment"
trap 'sleep 0.3; echo drained > "$OUT/drained"; exit 0' TERM
touch "$OUT/started"
while :; do sleep 0.05; done
"""


def test_a_worker_is_told_to_leave_and_waited_for(tmp_path: Path) -> None:
    """SIGTERM to the script alone, as Slurm sends it, reaches the worker, which has the time to finish."""
    program = tmp_path / "inphase"
    program.write_text(WORKER)
    program.chmod(0o755)
    ours = {"OUT": str(tmp_path), "PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "7"}
    slurm = {"SLURM_CPUS_PER_TASK": "4", "STORE": "/shared/store", "INPHASE_REDIS_URL": "redis://queue:6379"}
    process = subprocess.Popen(["bash", SCRIPT], env=ours | slurm)
    try:
        end = time.monotonic() + 30
        while not (tmp_path / "started").exists():
            assert time.monotonic() < end
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
    assert (tmp_path / "drained").exists()
    assert (tmp_path / "arguments").read_text().split() == ["worker", "--store", "/shared/store", "--threads", "4"]
    told = dict(line.split("=", 1) for line in (tmp_path / "environment").read_text().splitlines())
    assert told.keys() <= SETTINGS
    signalled = int(re.findall(r"--signal=B:TERM@(\d+)", SCRIPT.read_text())[0])
    assert signalled >= int(told["INPHASE_DRAIN_S"]) + 30  # as docs/how-to/operate-workers.md asks for


@pytest.mark.parametrize("missing", ["STORE", "INPHASE_REDIS_URL"])
def test_what_is_missing_is_named(missing: str) -> None:
    """Before a worker starts."""
    given = {"STORE": "/x", "INPHASE_REDIS_URL": "redis://x", "PATH": os.environ["PATH"], "SLURM_JOB_ID": "7"}
    del given[missing]
    done = subprocess.run(["bash", SCRIPT], env=given, capture_output=True, text=True, timeout=30)
    assert done.returncode != 0
    assert missing in done.stderr
