"""What the locks pin in the images."""

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.deploy.known import DEPLOY

LINUX = {
    "sys_platform": "linux",
    "platform_machine": "x86_64",
    "python_full_version": "3.11.14",
    "python_version": "3.11",
}


def pins(name: str) -> dict[str, Version]:
    """What a lock installs in the images."""
    lines = (DEPLOY / "locks" / f"{name}.txt").read_text().splitlines()
    requirements = [Requirement(line) for line in lines if line and not line.startswith("#")]
    found = [r for r in requirements if r.marker is None or r.marker.evaluate(LINUX)]
    return {canonicalize_name(r.name): Version(str(r.specifier).removeprefix("==")) for r in found}
