"""Bad input: the right status, one clear message, the service stays up, nothing stays behind (issue: bad input)."""

import asyncio
import os
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import h5py
import httpx
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from inphase.pattern import digest
from service.door.budget import working_bytes
from service.settings import Bounds, Settings
from tests.service.api.calls import URL, check, post_file, write_folder, write_hdf5
from tests.service.api.conftest import NPY, OCTETS, npy, npy_header
from tests.service.conftest import AppContext
from tests.toy import counts

GOOD = npy(counts(shape=(32, 32, 32)))


@pytest.fixture(autouse=True)
async def stays_well(client: httpx.AsyncClient, settings: Settings) -> AsyncIterator[None]:
    """After every bad request: a good one, of a small pattern, works, no bytes are held, and the store is empty."""
    yield
    answer = await client.post(URL, params={"refine": "none"}, content=GOOD, headers=NPY)
    assert answer.status_code == 200, answer.text
    assert client.app.state.services.budget.used == 0  # type: ignore[attr-defined]
    assert list(settings.store_dir.iterdir()) == []


async def send(client: httpx.AsyncClient, array: NDArray[Any], **query: Any) -> httpx.Response:
    """An npy body, refine=none."""
    return await client.post(URL, params={"refine": "none", **query}, content=npy(array), headers=NPY)


# ---- files


def cut(path: Path, keep: float) -> None:
    """Keep the first part of a file."""
    os.truncate(path, int(path.stat().st_size * keep))


@pytest.mark.parametrize("keep", [0.0, 0.02, 0.5, 0.95])
async def test_a_truncated_tiff(
    client: httpx.AsyncClient, data_root: Path, pattern: NDArray[np.uint32], keep: float
) -> None:
    """A stack that was cut off anywhere is refused, naming the file."""
    tifffile.imwrite(data_root / "scan.tif", pattern, photometric="minisblack")
    cut(data_root / "scan.tif", keep)
    check(await post_file(client, "scan.tif"), 422, "scan.tif")


@pytest.mark.parametrize("keep", [0.0, 0.02, 0.5, 0.95])
async def test_a_truncated_hdf5(
    client: httpx.AsyncClient, data_root: Path, pattern: NDArray[np.uint32], keep: float
) -> None:
    """A file that was cut off anywhere is refused, naming it."""
    write_hdf5(data_root / "scan.h5", pattern)
    cut(data_root / "scan.h5", keep)
    check(await post_file(client, "scan.h5"), 422, "scan.h5")


async def test_a_truncated_frame(client: httpx.AsyncClient, data_root: Path, pattern: NDArray[np.uint32]) -> None:
    """The one bad frame of a folder is named."""
    write_folder(data_root / "scan", pattern)
    cut(data_root / "scan" / "scan_00017.tif", 0.5)
    check(await post_file(client, "scan"), 422, "scan_00017.tif")


async def test_a_missing_frame(client: httpx.AsyncClient, data_root: Path, pattern: NDArray[np.uint32]) -> None:
    """The missing number is named."""
    write_folder(data_root / "scan", pattern)
    (data_root / "scan" / "scan_00017.tif").unlink()
    check(await post_file(client, "scan"), 422, "17")


@pytest.mark.parametrize("name", ["", "empty.npy", "notes.txt", "fake.h5", "fake.tif", "fake.npz", "hollow"])
async def test_files_that_are_no_measurement(client: httpx.AsyncClient, data_root: Path, name: str) -> None:
    """Empty, unknown and disguised files, and an empty folder, are refused."""
    (data_root / "hollow").mkdir()
    (data_root / "empty.npy").touch()
    for fake in ("notes.txt", "fake.h5", "fake.tif", "fake.npz"):
        (data_root / fake).write_text("this is not data")
    check(await post_file(client, name), 422)


async def test_a_dataset_that_is_not_there(
    client: httpx.AsyncClient, data_root: Path, pattern: NDArray[np.uint32]
) -> None:
    """The message says what is there."""
    write_hdf5(data_root / "scan.h5", pattern)
    check(await post_file(client, "scan.h5", dataset="entry/nothing"), 422, "entry/nothing", "entry/data/data")


async def test_a_declared_hundred_gigabytes_in_hdf5(client: httpx.AsyncClient, data_root: Path) -> None:
    """A small file that declares 100 GB is 413 before anything is allocated."""
    with h5py.File(data_root / "huge.h5", "w") as file:
        file.create_dataset("data", (25_000, 1000, 1000), "f4", chunks=(1, 1000, 1000), compression="gzip")
    check(await post_file(client, "huge.h5"), 413, "93.1 GiB")


# ---- paths


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "../secret.npy", "sub/../../secret.npy", "/no/such/thing", "link.npy", "links/x.npy", "~/x.npy"],
)
async def test_paths_outside_the_roots(
    client: httpx.AsyncClient, data_root: Path, pattern: NDArray[np.uint32], path: str
) -> None:
    """Whether or not it exists, what lies outside is 403, also behind links; the answer does not tell which."""
    np.save(data_root.parent / "secret.npy", pattern)
    (data_root / "sub").mkdir()
    (data_root / "link.npy").symlink_to(data_root.parent / "secret.npy")
    (data_root / "links").symlink_to("/etc")
    if path == "~/x.npy":  # no shell: a folder named ~ does not exist
        check(await post_file(client, path), 404)
        return
    check(await post_file(client, path), 403, "outside the data roots")


async def test_a_folder_with_a_frame_that_leads_out(
    client: httpx.AsyncClient, data_root: Path, pattern: NDArray[np.uint32]
) -> None:
    """A link among the frames is no way out either."""
    write_folder(data_root / "scan", pattern)
    outside = data_root.parent / "outside.tif"
    (data_root / "scan" / "scan_00003.tif").rename(outside)
    (data_root / "scan" / "scan_00003.tif").symlink_to(outside)
    check(await post_file(client, "scan"), 403, "scan_00003.tif")


async def test_links_inside_the_roots_are_fine(
    client: httpx.AsyncClient, data_root: Path, pattern: NDArray[np.uint32]
) -> None:
    """Beamlines link their data about."""
    np.save(data_root / "scan.npy", pattern)
    (data_root / "link.npy").symlink_to(data_root / "scan.npy")
    assert (await post_file(client, "link.npy")).status_code == 200


async def test_a_hdf5_that_links_out_of_its_folder(
    client: httpx.AsyncClient, data_root: Path, pattern: NDArray[np.uint32]
) -> None:
    """External links and external storage do not read other files of the host."""
    write_hdf5(data_root.parent / "secret.h5", pattern)
    with h5py.File(data_root / "linked.h5", "w") as file:
        file["data"] = h5py.ExternalLink("../secret.h5", "entry/data/data")
    check(await post_file(client, "linked.h5"), 422, "outside")
    with h5py.File(data_root / "external.h5", "w") as file:
        file.create_dataset("data", (8, 8, 8), "u1", external=[("/etc/passwd", 0, 512)])
    check(await post_file(client, "external.h5"), 422, "external")


@pytest.mark.parametrize("path", ["nothing.npy", "sub/nothing.npy", "x" * 300])
async def test_files_that_do_not_exist(client: httpx.AsyncClient, path: str) -> None:
    """Nothing there, below a root: 404; also for a name that no file can have."""
    check(await post_file(client, path), 404, "does not exist")


async def test_a_null_byte_in_a_path(client: httpx.AsyncClient) -> None:
    """No path of a file system has one."""
    check(await post_file(client, "a\0b.npy"), 422, "null byte")


async def test_a_fifo_does_not_hang_the_service(client: httpx.AsyncClient, data_root: Path) -> None:
    """Only regular files are opened."""
    os.mkfifo(data_root / "pipe.npy")
    check(await asyncio.wait_for(post_file(client, "pipe.npy"), 10), 422, "regular file")


async def test_without_roots_no_file_is_read(serving: AppContext, settings: Settings) -> None:
    """The message says how to allow it."""
    async with serving(settings.model_copy(update={"data_roots": ()})) as client:
        check(await post_file(client, "scan.npy"), 403, "--data-root")


# ---- arrays


@pytest.mark.parametrize("shape", [(64,), (2, 2, 64, 64), (1, 2, 2, 64, 64), ()])
async def test_wrong_dimensions(client: httpx.AsyncClient, shape: tuple[int, ...]) -> None:
    """Anything but two or three dimensions is refused with the shape, as a body and declared for octets."""
    check(await send(client, np.ones(shape, np.float32)), 422, "three")
    if shape:
        query = {"refine": "none", "dtype": "float32", "shape": ",".join(map(str, shape))}
        check(await client.post(URL, params=query, content=b"", headers=OCTETS), 422, "three")


async def test_a_single_frame_is_not_for_a_network_of_volumes(client: httpx.AsyncClient) -> None:
    """It is refused with what to do, as a body and as octets."""
    frame = np.ones((64, 64), np.float32)
    check(await send(client, frame), 422, "2 axes", "start=random")
    query = {"refine": "none", "dtype": "float32", "shape": "64,64"}
    answer = await client.post(URL, params=query, content=frame.tobytes(), headers=OCTETS)
    check(answer, 422, "2 axes", "start=random")


async def test_further_axes_of_length_one_are_dropped(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """As a body with a header, in both orders of memory, and declared for octets."""
    for array in (pattern[None], np.asfortranarray(pattern[:, None])):
        answer = await send(client, array)
        assert answer.status_code == 200
        assert answer.json()["input"]["digest"] == digest(pattern)
    query = {"refine": "none", "dtype": "uint32", "shape": "1,64,64,64"}
    answer = await client.post(URL, params=query, content=pattern.tobytes(), headers=OCTETS)
    assert answer.json()["input"]["shape"] == [64, 64, 64]


@pytest.mark.parametrize("bad", [np.nan, -1.0, np.inf])
async def test_many_bad_counts(client: httpx.AsyncClient, pattern: NDArray[np.uint32], bad: float) -> None:
    """A scan with NaN, negative or infinite counts in a tenth of its voxels is refused."""
    array = pattern.astype(np.float32)
    array[np.random.default_rng(0).random(array.shape) < 0.1] = bad
    check(await send(client, array), 422, "the first at")


async def test_few_bad_counts_are_masked(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """A handful is masked instead."""
    array = pattern.astype(np.float32)
    array[5, 6, 7:9] = np.nan
    array[5, 6, 9] = -3
    answer = await send(client, array)
    assert answer.status_code == 200, answer.text
    assert answer.json()["preprocess"]["valid_fraction"] < 1.0


async def test_an_empty_scan(client: httpx.AsyncClient) -> None:
    """All zero: nothing to reconstruct."""
    check(await send(client, np.zeros((64, 64, 64), np.uint16)), 422, "empty")


async def test_a_peak_at_the_border(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """A scan that ends at its peak is refused, or used with a warning; never an internal error."""
    answer = await send(client, pattern[32:])
    assert answer.status_code in (200, 422), answer.text
    if answer.status_code == 422:
        check(answer, 422, "border")
    else:
        shares = [s["numbers"] for s in answer.json()["preprocess"]["steps"] if s["name"] == "centring"]
        assert min(shares[0]["measured_share"]) < 0.6


@pytest.mark.parametrize("dtype", ["c8", "U4", "bool", "M8[s]"])
async def test_types_that_are_no_numbers(client: httpx.AsyncClient, dtype: str) -> None:
    """Complex, text, truth and time are no counts."""
    check(await send(client, np.zeros((16, 16, 16), dtype)), 422)


async def test_python_objects_are_never_loaded(client: httpx.AsyncClient) -> None:
    """A pickle in an npy body is refused unread."""
    body = npy_header((16, 16, 16), "|O") + b"cos\nsystem\n(S'true'\ntR."
    check(await client.post(URL, content=body, headers=NPY), 422, "pickled")


# ---- bodies


HUGE = (25_000, 1000, 1000)  # 100 GB of float32


@pytest.mark.parametrize("kind", ["npy", "octets"])
async def test_a_declared_hundred_gigabytes(client: httpx.AsyncClient, kind: str) -> None:
    """100 GB declared in 128 bytes is 413 before anything is allocated."""
    tracemalloc.start()
    if kind == "npy":
        answer = await client.post(URL, content=npy_header(HUGE) + b"\0" * 128, headers=NPY)
    else:
        query = {"dtype": "float32", "shape": "25000,1000,1000"}
        answer = await client.post(URL, params=query, content=b"\0" * 128, headers=OCTETS)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    check(answer, 413, "93.1 GiB", "crop")
    assert peak < 50e6  # bytes; the array would need 1e11


@pytest.mark.parametrize(
    "shape", ["99999999999,99999999999,99999999999", "0,64,64", "-1,64,64", "64", "a,b,c", "64,,64"]
)
async def test_strange_shapes_of_octets(client: httpx.AsyncClient, shape: str) -> None:
    """Products beyond 64 bits, nothing, negatives and words: refused."""
    answer = await client.post(URL, params={"dtype": "uint16", "shape": shape}, content=b"", headers=OCTETS)
    assert answer.status_code in (413, 422)
    check(answer, answer.status_code)


@pytest.mark.parametrize("query", [{}, {"shape": "64,64,64"}, {"dtype": "uint16"}, {"dtype": "O", "shape": "4,4,4"}])
async def test_octets_need_type_and_shape(client: httpx.AsyncClient, query: dict[str, str]) -> None:
    """Without them, or with a type that is none, the message shows how."""
    check(await client.post(URL, params=query, content=b"\0" * 64, headers=OCTETS), 422, "dtype")


@pytest.mark.parametrize("change", [-1, 1, -200_000, 200_000])
async def test_a_body_of_another_length_than_declared(
    client: httpx.AsyncClient, pattern: NDArray[np.uint32], change: int
) -> None:
    """Cut off or too long, with and without Content-Length: 400 that says both numbers."""
    body = npy(pattern)
    body = body[:change] if change < 0 else body + b"\0" * change
    check(await client.post(URL, content=body, headers=NPY), 400, str(pattern.nbytes))

    async def stream() -> AsyncIterator[bytes]:
        for begin in range(0, len(body), 65536):
            yield body[begin : begin + 65536]

    check(await client.post(URL, content=stream(), headers=NPY), 400, str(pattern.nbytes))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x93NUM",
        b"not an npy file at all",
        b"\x93NUMPY\x01\x00\xff\xff" + b"x" * 100,
        b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + b"x" * 100,
        b"\x93NUMPY\x09\x00\x10\x00" + b" " * 16,
        b"\x93NUMPY\x01\x00\x10\x00{'descr': __imp}",
        npy_header((-5, 64, 64)),
    ],
)
async def test_damaged_npy_headers(client: httpx.AsyncClient, body: bytes) -> None:
    """No signature, no end, another version, no dictionary: 400."""
    check(await client.post(URL, content=body, headers=NPY), 400, "npy")


@pytest.mark.parametrize("kind", ["application/x-zarr", "text/plain", "multipart/form-data", ""])
async def test_other_bodies_are_not_taken(client: httpx.AsyncClient, kind: str) -> None:
    """415 with what is taken."""
    check(await client.post(URL, content=b"x", headers={"Content-Type": kind}), 415, "application/x-npy")


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "br", "deflate, gzip", "identity, zstd", "nonesuch"])
@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (URL, "application/x-npy"),
        (URL, "application/x-npz"),
        (f"{URL}?dtype=uint32&shape=64,64,64", "application/octet-stream"),
        (URL, "application/json"),
        ("/v1/series", "application/json"),
    ],
)
async def test_compressed_bodies_are_not_taken(client: httpx.AsyncClient, path: str, kind: str, coding: str) -> None:
    """415 with the coding, and Accept-Encoding with what is taken (RFC 9110, 12.5.3); nothing of the body is read."""

    async def never() -> AsyncIterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    answer = await client.post(path, content=never(), headers={"Content-Type": kind, "Content-Encoding": coding})
    check(answer, 415, coding.lower().removeprefix("identity, "), "without compression")
    assert answer.headers["accept-encoding"] == "identity"


async def test_the_coding_that_is_none(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """identity says that nothing is coded; no Accept-Encoding where another thing is wrong (RFC 9110, 12.5.3)."""
    headers = NPY | {"Content-Encoding": "identity"}
    answer = await client.post(URL, params={"refine": "none"}, content=npy(pattern), headers=headers)
    assert answer.status_code == 200, answer.text
    other = await client.post(URL, content=b"x", headers={"Content-Type": "text/plain"})
    assert (other.status_code, "accept-encoding" in other.headers) == (415, False)


async def test_bodies_above_the_bound(serving: AppContext, settings: Settings, pattern: NDArray[np.uint32]) -> None:
    """A longer body than allowed is 413, by its length or by its header."""
    small = settings.model_copy(update={"bounds": Bounds(body_bytes=100_000)})
    body = npy(pattern)

    async def stream() -> AsyncIterator[bytes]:
        yield body

    async with serving(small) as client:
        check(await client.post(URL, content=body, headers=NPY), 413, "limit")
        check(await client.post(URL, content=stream(), headers=NPY), 413, "limit")


async def test_json_above_the_bound(serving: AppContext, settings: Settings) -> None:
    """JSON is for options, not for arrays."""
    async with serving(settings.model_copy(update={"bounds": Bounds(json_bytes=1000)})) as client:
        answer = await client.post(URL, json={"source": {"path": "x" * 2000}})
        check(answer, 413, "npy or octets")


async def test_bytes_in_flight_are_bounded(
    serving: AppContext, settings: Settings, pattern: NDArray[np.uint32]
) -> None:
    """While most of one body has come, a second that does not fit beside it into its owner's share is 429 with
    Retry-After; afterwards it is taken.
    """
    body = npy(pattern)
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield body[:-1000]
        begun.set()
        await go_on.wait()
        yield body[-1000:]

    bounds = Bounds(bytes_in_flight=int(1.5 * working_bytes(pattern.size, pattern.nbytes)))
    async with serving(settings.model_copy(update={"bounds": bounds})) as client:
        first = asyncio.create_task(client.post(URL, params={"refine": "none"}, content=slow(), headers=NPY))
        await begun.wait()
        await asyncio.sleep(0.1)  # until the first request holds its share
        second = await client.post(URL, params={"refine": "none"}, content=body, headers=NPY)
        go_on.set()
        check(second, 429, "one owner's share")
        assert second.headers["retry-after"]
        assert (await first).status_code == 200
        assert (await client.post(URL, params={"refine": "none"}, content=body, headers=NPY)).status_code == 200


# ---- options


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ({"model": "nonesuch"}, 404, ["nonesuch", "inphase-bcdi"]),
        ({"model": "inphase-bcdi@7"}, 404, ["versions: 1"]),
        ({"refine": "50*EX"}, 422, ["EX", "HIO", "^"]),
        ({"refine": "50*ER |"}, 422, ["^"]),
        ({"refine": "99999999*ER"}, 422, ["^"]),
        ({"refine": "quick"}, 422, ["quick"]),
        ({"preprocess": "magic"}, 422, ["magic", "auto"]),
        ({"start": "elsewhere"}, 422, ["start"]),
        ({"starts": "0"}, 422, ["starts"]),
        ({"seed": "-1"}, 422, ["seed"]),
        ({"domain": "photons"}, 422, ["domain"]),
        ({"wait": "nan"}, 422, ["wait"]),
        ({"refin": "none"}, 422, ["refin"]),
        ({"refine": "none", "start": "random"}, 422, ["choose one"]),
    ],
)
async def test_options_that_cannot_be(
    client: httpx.AsyncClient, pattern: NDArray[np.uint32], query: dict[str, str], status: int, words: list[str]
) -> None:
    """Unknown names and impossible numbers are refused with what is known; in the query and in the JSON alike."""
    check(await client.post(URL, params=query, content=npy(pattern), headers=NPY), status, *words)
    body = {"source": {"kind": "file", "path": "any.npy"}, **query}
    if query.get("wait") != "nan":
        check(await client.post(URL, json=body), status, *words)


async def test_options_are_checked_before_the_body_is_read(client: httpx.AsyncClient) -> None:
    """A typo in the recipe is told without waiting for gigabytes."""
    sent = 0

    async def stream() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(100):
            sent += 1
            yield b"\0" * 1000

    check(await client.post(URL, params={"refine": "50*EX"}, content=stream(), headers=NPY), 422)
    assert sent <= 1


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'{"source": "scan.npy"}', b'{"source": {"kind": "url", "path": "x"}}', b"{}", b"\xff\xfe"],
)
async def test_json_that_is_none(client: httpx.AsyncClient, body: bytes) -> None:
    """Broken or incomplete JSON is 422 and says where."""
    problem = check(await client.post(URL, content=body, headers={"Content-Type": "application/json"}), 422, "body")
    assert problem["errors"]


async def test_nothing_there_and_wrong_method(client: httpx.AsyncClient) -> None:
    """Unknown addresses and methods are problem documents too."""
    check(await client.get("/v1/nothing"), 404, "/docs")
    check(await client.put(URL), 405)


async def test_an_unexpected_error_does_not_leak(
    client: httpx.AsyncClient, pattern: NDArray[np.uint32], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of ours is 500 with the request's id, and nothing of its inside."""

    def fault(*_: object) -> None:
        raise RuntimeError("secret inside")

    with monkeypatch.context() as patch:
        patch.setattr("inphase.imaging.way.cleaned", fault)
        answer = await client.post(URL, params={"refine": "none"}, content=npy(pattern), headers=NPY)
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "secret" not in answer.text


async def test_out_of_memory_is_an_answer(
    client: httpx.AsyncClient, pattern: NDArray[np.uint32], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A volume that does not fit into memory is 503, not a dead service."""

    def no_memory(*_: object, **__: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr("inphase.imaging.way.cleaned", no_memory)
        answer = await client.post(URL, params={"refine": "none"}, content=npy(pattern), headers=NPY)
    assert answer.status_code == 503
    assert "memory" in answer.json()["detail"]
