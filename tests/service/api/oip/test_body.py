"""Bodies, as they come and as they should not."""

import gzip
import json
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import numpy as np
import pytest

from service.settings import Bounds, Settings
from tests.service.api.oip.calls import LENGTH, binary, features, heard, read, refused
from tests.service.conftest import AppContext

URL = "/v2/models/echo/infer"


async def test_a_body_may_come_in_pieces_of_any_size(client: httpx.AsyncClient) -> None:
    """The JSON and the tensors are found wherever the pieces end, also without a Content-Length."""
    body, headers = binary(features())
    for size in (1_000, 99_991, len(body)):

        async def pieces(size: int = size) -> AsyncIterator[bytes]:
            for start in range(0, len(body), size):
                yield body[start : start + size]

        _, found = read(await client.post(URL, content=pieces(), headers=headers))
        np.testing.assert_allclose(found["amplitude"], 1 + heard()[0], rtol=1e-6)


@pytest.mark.parametrize(("coding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
async def test_packed_bodies_are_unpacked(client: httpx.AsyncClient, coding: str, pack: Any) -> None:
    """The length of the JSON is that of the unpacked one."""
    body, headers = binary(features())
    answer = await client.post(URL, content=pack(body), headers=headers | {"Content-Encoding": coding})
    np.testing.assert_allclose(read(answer)[1]["phase"], heard()[0], rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda packed: packed[:-20], "ends before its gzip stream does"),
        (lambda packed: packed[: len(packed) // 2], "ends before its gzip stream does"),
        (lambda packed: packed + packed, "goes on behind the end of its gzip stream"),
        (lambda packed: b"no" + packed, "no gzip stream"),
        (lambda packed: packed[:200] + bytes(50) + packed[250:], "no gzip stream"),
    ],
)
async def test_damaged_streams_are_refused(client: httpx.AsyncClient, change: Any, words: str) -> None:
    """Also those that end well and go on."""
    random = {name: np.random.default_rng(1).random(a.shape, np.float32) for name, a in features().items()}
    body, headers = binary(random)
    packed = change(gzip.compress(body, 1))
    refused(await client.post(URL, content=packed, headers=headers | {"Content-Encoding": "gzip"}), 400, words)


async def test_no_more_comes_out_than_was_declared(client: httpx.AsyncClient) -> None:
    """150 kilobytes that unpack to 128 MiB are read no further than the tensors that their JSON declares."""
    body, headers = binary(features())
    stream = zlib.compressobj(wbits=31)
    bomb = stream.compress(body) + b"".join(stream.compress(bytes(2**24)) for _ in range(8)) + stream.flush()
    assert len(bomb) < 150_000
    tracemalloc.start()
    answer = await client.post(URL, content=bomb, headers=headers | {"Content-Encoding": "gzip"})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    refused(answer, 400, "goes on behind the tensors")
    assert peak < 64 * 2**20  # the body twice, and what httpx holds


async def test_other_codings_are_refused(client: httpx.AsyncClient) -> None:
    """With those that are taken."""
    body, headers = binary(features())
    answer = await client.post(URL, content=body, headers=headers | {"Content-Encoding": "zstd"})
    refused(answer, 415, "zstd", "gzip, deflate")
    assert answer.headers["accept-encoding"] == "gzip, deflate"
    twice = await client.post(URL, content=body, headers=headers | {"Content-Encoding": "gzip, gzip"})
    refused(twice, 415, "gzip, gzip")


async def test_lengths_have_to_agree(client: httpx.AsyncClient) -> None:
    """That of the JSON, of each tensor, and of the body."""
    body, headers = binary(features())
    head = int(headers[LENGTH])
    refused(await client.post(URL, content=body[:-4], headers=headers), 400, "the tensors that it declares")
    refused(await client.post(URL, content=body + b"1234", headers=headers), 400, "the tensors that it declares")
    refused(await client.post(URL, content=body, headers={LENGTH: str(head - 1)}), 400, "not that of the protocol")
    refused(await client.post(URL, content=body, headers={LENGTH: str(head + 1)}), 400, "not that of the protocol")
    refused(await client.post(URL, content=b"{}", headers={LENGTH: "3"}), 400, "has 2 bytes")
    refused(await client.post(URL, content=body, headers={LENGTH: "0"}), 400, "without JSON")
    for wrong in ("-1", "1e3", "", "9" * 30):
        refused(await client.post(URL, content=body, headers={LENGTH: wrong}), 400, "number of bytes")
    refused(await client.post(URL, content=body[:head]), 400, "no header Inference-Header-Content-Length")

    async def short() -> AsyncIterator[bytes]:
        yield body[:-4]

    async def long() -> AsyncIterator[bytes]:
        yield body + b"1"

    refused(await client.post(URL, content=short(), headers=headers), 400, "ends 4 bytes before the end of the input")
    refused(await client.post(URL, content=long(), headers=headers), 400, "goes on behind the tensors")


async def test_tensors_as_text_are_bounded(client: httpx.AsyncClient) -> None:
    """Whoever sends a volume as JSON is told of the octets."""
    data = [0.5] * 64**3
    inputs = [{"name": "modulus", "datatype": "FP32", "shape": [1, 64, 64, 64], "data": data}]
    text = json.dumps({"inputs": inputs}).encode() + b" " * 2**20
    refused(await client.post(URL, content=text), 413, "1 MiB", "binary_data_size")
    refused(await client.post(URL, content=text, headers={LENGTH: str(len(text))}), 413, "binary_data_size")


async def test_who_promises_a_body_holds_what_has_come_of_it(client: httpx.AsyncClient) -> None:
    """Twice, and no more; in the end, nothing."""
    body, headers = binary(features(8))
    budget = client.app.state.services.budget  # type: ignore[attr-defined]
    seen = []

    async def pieces() -> AsyncIterator[bytes]:
        yield body[:100_000]
        yield body[100_000:200_000]
        seen.append(budget.used)
        yield body[200_000:]

    read(await client.post(URL, content=pieces(), headers=headers | {"Content-Length": str(len(body))}))
    assert 100_000 < seen[0] <= 400_000
    assert budget.used == 0


async def test_bodies_are_bounded(serving: AppContext, settings: Settings, echoing: Any) -> None:
    """By the bound on bodies, packed or not, and by the memory that requests may hold."""
    body, headers = binary(features())
    small = settings.model_copy(update={"models_dir": echoing, "bounds": Bounds(body_bytes=2**21)})
    async with serving(small) as client:
        refused(await client.post(URL, content=body, headers=headers), 413, "2 MiB")
        packed = headers | {"Content-Encoding": "gzip"}
        refused(await client.post(URL, content=gzip.compress(body), headers=packed), 413, "2 MiB")
    tight = settings.model_copy(update={"models_dir": echoing, "bounds": Bounds(bytes_in_flight=2**22)})
    async with serving(tight) as client:
        refused(await client.post(URL, content=body, headers=headers), 413, "may take")
        assert client.app.state.services.budget.used == 0  # type: ignore[attr-defined]
