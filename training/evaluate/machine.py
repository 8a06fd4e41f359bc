"""On what a table was measured."""

import importlib.metadata
import os
import platform
from datetime import UTC, datetime
from pathlib import Path

PACKAGES = ("torch", "numba", "numpy", "scipy", "onnxruntime", "onnxruntime-openvino")


def processor() -> str:
    """The processor's name as the system gives it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def versions() -> str:
    """Installed versions of what decides the speed."""
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


def header() -> str:
    """One paragraph: date, processor, cores, versions."""
    count = len(os.sched_getaffinity(0))
    cores = f"{count} core{'s' * (count > 1)}"
    today = datetime.now(UTC).date().isoformat()
    return f"Measured {today} on {processor()}, {cores}, Python {platform.python_version()}, {versions()}."


def busyness() -> str:
    """One sentence: how busy the machine was until now. It counts what the caller itself did before."""
    return f"The load of the machine was {os.getloadavg()[0]:.1f} over the minute before this began, whoever caused it."
