"""What deployment files may refer to."""

import re
from collections.abc import Mapping
from pathlib import Path

from service.settings import Bounds, Settings

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
SETTINGS = {
    "INPHASE_SECRETS_DIR",
    *(f"INPHASE_{name.upper()}" for name in Settings.model_fields if name != "bounds"),
    *(f"INPHASE_BOUNDS__{name.upper()}" for name in Bounds.model_fields),
}
SECRETS = {"inphase_api_key", "inphase_redis_password"}


def unknown(environment: Mapping[str, object]) -> set[str]:
    """Names in an environment that look like settings and are none."""
    return {name for name in environment if name.startswith("INPHASE_")} - SETTINGS


def drain_s(environment: Mapping[str, object]) -> float:
    """How long the service may take to finish its work, by its environment."""
    return float(str(environment["INPHASE_DRAIN_S"]))


REST_BYTES = 3 * 2**29  # of the service, its network and its template at rest: benchmarks/results/memory.md, and air


def needed_bytes(environment: Mapping[str, object]) -> int:
    """Memory that the API may take with these settings: at rest, and all that requests and readings may hold."""
    name = "INPHASE_BOUNDS__BYTES_IN_FLIGHT"
    return REST_BYTES + int(str(environment.get(name, Bounds().bytes_in_flight)))


def in_bytes(text: str) -> int:
    """A limit as compose (12g) and Kubernetes (12Gi) write it."""
    number, unit = re.fullmatch(r"(\d+)([gm])i?", text.lower()).groups()  # type: ignore[union-attr]
    return int(number) * {"g": 2**30, "m": 2**20}[unit]
