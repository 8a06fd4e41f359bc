"""The form of the log."""

import json
import subprocess
import sys
from typing import Any

import pytest

WRITES = """
import logging, warnings
from structlog.contextvars import bound_contextvars
from service.logs import configure_logging, log
configure_logging(PROCESS)
with bound_contextvars(job="j", owner="ada", request_id="r"):
    log.info("job read", frames=3)
    logging.getLogger("service.jobs.worker").info("attempt %d", 2)
    try:
        1 / 0
    except ZeroDivisionError:
        logging.getLogger("library").exception("it failed")
log.info("later")
"""


@pytest.mark.parametrize("process", ["api", "worker"])
def test_every_process_writes_the_same_lines(process: str) -> None:
    """JSON with where it comes from; what belongs to a job says whose it is, whoever logs it, and nothing else does."""
    code = WRITES.replace("PROCESS", repr(process))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    lines: list[dict[str, Any]] = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["event"] for line in lines] == ["job read", "attempt 2", "it failed", "later"]
    for line in lines:
        assert {"ts", "level", "pid"} <= line.keys()
        assert line["process"] == process
    for line in lines[:3]:
        assert (line["job"], line["owner"], line["request_id"]) == ("j", "ada", "r")
    assert "ZeroDivisionError" in lines[2]["exception"]
    assert not {"job", "owner", "request_id"} & lines[3].keys()
