"""Which scans the arguments of `inphase reconstruct` mean."""

import glob
from pathlib import Path

from inphase.errors import InphaseError


def scans_of(paths: list[Path], beamline: str | None) -> list[Path]:
    """What the arguments mean: patterns are for shells that leave them as they are, a beamline's folder is one scan."""
    from service.intake.sources import in_order, scans_in

    found: list[Path] = []
    for path in paths:
        if glob.has_magic(str(path)) and not path.exists():
            found += in_order(matches([path]))
        else:
            inside = scans_in(path) if beamline is None else [path]
            if not inside:
                raise InphaseError(f"{path} holds no scan: neither files that are read nor folders of TIFF frames")
            found += inside
    return found


def matches(paths: list[Path]) -> list[Path]:
    """Paths, and in the place of a pattern all that match it, by their names. Raises InphaseError where none does."""
    found: list[Path] = []
    for path in paths:
        if not glob.has_magic(str(path)) or path.exists():
            found.append(path)
            continue
        matched = sorted(Path(name) for name in glob.glob(str(path)))
        if not matched:
            raise InphaseError(f"nothing matches {path}")
        found += matched
    return found
