"""The doors: the library in a process that may die, the sandbox, and a running service, by path and by body."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from inphase.errors import InphaseError
from inphase.formats import Limits
from inphase.pattern import Domain
from service.door.budget import Budget
from service.intake.sources import FileSource, load
from service.sandbox.errors import SandboxError, SandboxUnavailableError
from service.sandbox.sandbox import Sandbox
from tests.hostile.crafted import Case
from tests.hostile.house import House, serving
from tests.hostile.outcome import Outcome, wrong

READ_S: Final = 3.0  # of the sandbox: the service's own 10 s would leave nothing of the time that a caller may wait
_ROOT: Final = Path(__file__).parents[2]
_LIMITS: Final = 2**28  # bytes of a measurement
_WORK: Final = 2**33


def library(folder: Path, cases: list[Case]) -> Iterator[Outcome]:
    """Damaged files by the readers alone, without a sandbox around them: what they raise, and nothing is mended by a
    boundary further out. A crash or a hang of a C library is no fault here: the sandbox is made for it.
    """
    done = subprocess.run(
        [sys.executable, "-m", "tests.hostile.child", str(folder / "root" / "damaged")],
        cwd=_ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True,
    )  # fmt: skip
    known = {case.name for case in cases}
    for name, told in map(json.loads, done.stdout.splitlines()):
        kind = told.partition(" ")[0].rstrip(":")
        assert name in known
        yield Outcome("library", name, kind, told, kind in ("escaped", "unforeseen"))


def reader(folder: Path, cases: list[Case]) -> Iterator[Outcome]:
    """Every case in the service's sandbox."""
    root = (folder / "root").resolve()
    with Sandbox(READ_S, (root,)) as sandbox:
        assert sandbox.protections is not None  # warm
        for case in cases:
            yield _read(sandbox, root, case)


def _read(sandbox: Sandbox, root: Path, case: Case) -> Outcome:
    begun, counts = time.monotonic(), None
    try:
        with Budget(_WORK).share("stranger") as share:
            scan = load(FileSource(**case.source), Domain.COUNTS, Limits(_LIMITS, (root,)), sandbox, share)
        kind, told, counts = "read", f"{scan.source} {scan.chosen} {scan.metadata}", scan.array
        told.encode()
    except SandboxError as error:
        kind, told = "ended", str(error)  # the process, and with it nothing else
    except SandboxUnavailableError as error:
        return Outcome("reader", case.name, "unavailable", str(error), fault=True)
    except InphaseError as error:
        kind, told = "refused", str(error)
    except Exception as error:
        return Outcome("reader", case.name, "escaped", f"{type(error).__name__}: {error}", fault=True)
    return _judged("reader", case, kind, told, wrong(time.monotonic() - begun, told, counts, case.leads_out))


def _judged(door: str, case: Case, kind: str, told: str, fault: str) -> Outcome:
    if fault:
        word, _, why = fault.partition(": ")
        return Outcome(door, case.name, word, f"{why} ({kind}: {told[:300]})", fault=True)
    return Outcome(door, case.name, kind, told)


def path(folder: Path, cases: list[Case]) -> Iterator[Outcome]:
    """Every case named to a running service."""
    with serving(folder, "path", READ_S, _LIMITS) as house:
        yield from _asked("path", house, [_named(case) for case in cases])
        yield from house.aftermath()


def body(folder: Path, cases: list[Case]) -> Iterator[Outcome]:
    """Every case that is one file sent to a running service, with its options in the query."""
    with serving(folder, "body", READ_S, _LIMITS) as house:
        yield from _asked("body", house, [each for case in cases for each in _sent(folder / "root", case)])
        yield from house.aftermath()


def either(folder: Path, cases: list[Case]) -> Iterator[Outcome]:
    """Every case once to one running service: every second one that is one file is sent, the others are named."""
    with serving(folder, "either", READ_S, _LIMITS) as house:
        calls = [next(_sent(folder / "root", case), None) if number % 2 else None for number, case in enumerate(cases)]
        yield from _asked("either", house, [call or _named(case) for case, call in zip(cases, calls, strict=True)])
        yield from house.aftermath()


_Call = tuple[Case, str, Mapping[str, Any], bytes]


def _named(case: Case) -> _Call:
    return case, "application/json", {}, json.dumps({"source": {"kind": "file", **case.source}}).encode()


def _sent(root: Path, case: Case) -> Iterator[_Call]:
    from service.api.bodies.media import FILES, NPY

    kinds = {suffix: media for media, suffix in FILES.items()} | {".npy": NPY}
    options = {name: value for name, value in case.source.items() if name != "path"}
    named = root / case.source["path"]
    media = kinds.get(named.suffix)
    if media is not None and named.is_file() and not named.is_symlink() and not (media == NPY and options):
        yield case, media, options, named.read_bytes()


def _asked(door: str, house: House, calls: list[_Call]) -> Iterator[Outcome]:
    """Two at a time, as many as the service reads at a time."""

    def one(call: _Call) -> Outcome:
        case, media, options, content = call
        kind, told, fault = house.call(media, options, content, leads_out=case.leads_out)
        return _judged(door, case, kind, told, fault)

    with ThreadPoolExecutor(2) as threads:
        yield from threads.map(one, calls)


DOORS: Final = {"library": library, "reader": reader, "body": body, "path": path}
