"""Many crystals by several processes, into shards; what was stopped goes on where it was."""

import fcntl
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.simulate.atomistic import relaxation, shards
from training.simulate.atomistic.crystal import block, cut, deform, draw_deformation, draw_planes
from training.simulate.atomistic.settings import AtomisticSettings
from training.simulate.atomistic.shards import Crystal
from training.simulate.atomistic.voxels import voxels


class ProducerError(RuntimeError):
    """The folder cannot be used as asked, or a worker died; the message says what to do."""


@dataclass(frozen=True)
class Progress:
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
    progress: Callable[[Progress], None] = lambda _: None,
) -> list[Path]:
    """Make crystals 0 .. `crystals` - 1 of a seed in shards of `shard_size`; those that the folder has are kept.

    Each crystal is on disk as soon as it is done: its shard is written anew. Interrupted or killed, nothing is lost but
    the crystals that were being made; the same call goes on. More crystals may be asked for later.

    Raises ProducerError where the folder holds crystals of other settings, another producer writes there or a worker dies,
    and relaxation.AtomisticExtraError where LAMMPS is missing.
    """
    relaxation.require()
    folder.mkdir(parents=True, exist_ok=True)
    with _only_producer(folder):
        wanted = [_Shard(folder, settings, seed, k, shard_size, crystals) for k in range(-(-crystals // shard_size))]
        missing = {s: shard for shard in wanted for s in shard.seeds if s not in shard.crystals}
        done, started = crystals - len(missing), time.monotonic()
        for i, crystal in enumerate(_made(settings, list(missing), processes), 1):
            missing[crystal.seeds].add(crystal)
            left = (time.monotonic() - started) / i * (len(missing) - i)
            progress(Progress(crystal, done + i, crystals, left))
    return [shard.path for shard in wanted]


class _Shard:
    """A shard that is filled crystal by crystal, in the order of the seeds."""

    def __init__(
        self, folder: Path, settings: AtomisticSettings, seed: int, number: int, size: int, crystals: int
    ) -> None:
        self.path = folder / f"seed{seed:05d}-{number:04d}.h5"
        self.settings = settings
        first = number * size
        self.seeds = [(seed << 32) + i for i in range(first, min(first + size, crystals))]
        self.crystals: dict[int, Crystal] = {}
        if not self.path.exists():
            return
        if (found := shards.settings(self.path)) != settings:
            raise ProducerError(
                f"{self.path} was made with other settings ({_difference(found, settings)}): take those, or another folder"
            )
        self.crystals = {int(crystal.seeds): crystal for crystal in shards.crystals(self.path)}
        if not all((seed << 32) + first <= s < (seed << 32) + first + size for s in self.crystals):
            raise ProducerError(f"{self.path} was made with shards of another size: take that size, or another folder")

    def add(self, crystal: Crystal) -> None:
        self.crystals[crystal.seeds] = crystal
        shards.write(self.path, [self.crystals[s] for s in sorted(self.crystals)], self.settings)


def _difference(found: AtomisticSettings, wanted: AtomisticSettings) -> str:
    pairs = ((name, value, getattr(wanted, name)) for name, value in vars(found).items())
    return ", ".join(f"{name} {a} there, {b} asked for" for name, a, b in pairs if a != b)


@contextmanager
def _only_producer(folder: Path) -> Iterator[None]:
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise ProducerError(f"another producer is writing into {folder}: wait for it, or take another folder") from None
    finally:
        os.close(handle)


def _made(settings: AtomisticSettings, seeds: list[int], processes: int) -> Iterator[Crystal]:
    """Crystals as they get done. Whatever ends this, no worker outlives it."""
    if not seeds:
        return
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(
        min(processes, len(seeds)), mp_context=multiprocessing.get_context("spawn"), initializer=_begin_worker
    )
    try:
        futures: list[Future[Crystal]] = [pool.submit(make, settings, seed) for seed in seeds]
        for future in as_completed(futures):
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
