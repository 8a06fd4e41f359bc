"""Bodies that are files: kept in the store's scratch room while a process of their own reads them."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Final, TypeVar

import anyio.to_thread
from fastapi import Request

from inphase.errors import DataError
from inphase.formats import RawScan, Reading
from inphase.pattern import Domain
from inphase.ptycho.formats.contents import Given
from inphase.ptycho.measurement import Measurement
from service.api.bodies.arrays import array_limits
from service.api.bodies.media import FILES, media_type
from service.api.bodies.stream import bounded, chunks_of, declared_length
from service.door.budget import Share, carried_bytes, working_bytes
from service.errors import ApiError
from service.intake.sources import found, with_maps
from service.jobs.store import Store
from service.lifecycle import Services
from service.sandbox.order import BodyOrder, PtychogramOrder

Data = TypeVar("Data", RawScan, Measurement)
T = TypeVar("T")
_BLOCK: Final = 2**20  # is written at once


async def receive_file(
    request: Request,
    reading: Reading,
    domain: Domain,
    roots: tuple[Path, ...],
    services: Services,
    share: Share,
    name: str = "",
) -> RawScan:
    """The measurement of a body that is a file, with all that it brings, read as the same file would be by its path.

    roots: of the files that the reading names. name: what its sender calls it, for its source and for errors. The
    share holds what has come and, before it is unpacked, what work on its arrays takes. Raises ApiError 400, 408, 413;
    DataError for what is no measurement; as `sources.found`, `Share.grow_to` and `Store.scratch`.
    """
    named = await services.compute(lambda: found(reading, roots))
    limits = replace(array_limits(services.settings.bounds), roots=roots)

    def read(path: Path, received: int) -> RawScan:
        order = BodyOrder(path, named, domain, limits)
        return services.sandbox.read_body(
            order, lambda voxels, nbytes: share.grow_to(received + working_bytes(voxels, nbytes))
        )

    return await _read_file(request, read, services, share, name)


async def receive_ptychogram(
    request: Request,
    given: Given,
    roots: tuple[Path, ...],
    services: Services,
    share: Share,
    name: str = "",
) -> Measurement:
    """The same of a ptychographic measurement. given: what the file lacks, or has wrong, and its detector maps, which
    lie below the roots. Raises as `receive_file`.
    """
    named = await services.compute(lambda: with_maps(given, roots))
    limits = replace(array_limits(services.settings.bounds), roots=roots)

    def read(path: Path, received: int) -> Measurement:
        order = PtychogramOrder(path, named, limits, sent=True)
        return services.sandbox.read_ptychogram(
            order, lambda elements, nbytes: share.grow_to(received + carried_bytes(elements, nbytes))
        )

    return await _read_file(request, read, services, share, name)


async def _read_file(
    request: Request, read: Callable[[Path, int], Data], services: Services, share: Share, name: str
) -> Data:
    """What `read`, which is told the length of a body, makes of it. The share holds what has come. The file is called
    by its name, or body.h5 and so on where it has none.
    """
    bounds = services.settings.bounds
    length = declared_length(request)
    bounded(length or 0, bounds)
    share.check(length or 0)
    received = 0

    async def counted() -> AsyncIterator[bytes]:
        nonlocal received
        async for chunk in chunks_of(request, bounds):
            received += len(chunk)
            bounded(received, bounds)
            share.grow_to(received)
            yield chunk
        if length is not None and received != length:
            raise ApiError(400, f"the body holds {received} bytes of the {length} that it declares: it was cut off")

    stored = f"body{FILES[media_type(request)]}"
    async with _kept(counted(), stored, services.store) as path:
        try:
            held = await services.compute(lambda: read(path, received))
        except DataError as error:
            raise type(error)(str(error).replace(stored, name or stored)) from error
    return replace(held, source=held.source.replace(stored, name or stored))


@asynccontextmanager
async def _kept(chunks: AsyncIterator[bytes], name: str, store: Store) -> AsyncIterator[Path]:
    """A file that holds what comes, in a folder of its own, gone after the block. The disk is waited for in threads."""
    async with _entered(store.scratch()) as folder:
        with (folder / name).open("xb", buffering=0) as file:
            block = bytearray()
            async for chunk in chunks:
                block += chunk
                if len(block) >= _BLOCK:
                    await anyio.to_thread.run_sync(_write, file, bytes(block))
                    block.clear()
            await anyio.to_thread.run_sync(_write, file, bytes(block))
        yield folder / name


@asynccontextmanager
async def _entered(context: AbstractContextManager[T]) -> AsyncIterator[T]:
    """A context whose two ends touch the disk, entered and left in threads, also by a request that is cancelled."""
    entered = await anyio.to_thread.run_sync(context.__enter__)
    try:
        yield entered
    except BaseException as error:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(context.__exit__, type(error), error, error.__traceback__)
        raise
    await anyio.to_thread.run_sync(context.__exit__, None, None, None)


def _write(file: IO[bytes], content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]
