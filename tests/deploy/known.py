"""What deployment files may refer to."""

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
